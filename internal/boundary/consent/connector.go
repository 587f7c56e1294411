package consent

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
)

// ErrNoGate is what a Call returns where no gate runs.
var ErrNoGate = errors.New("no gate is running here")

// Connector connects and disconnects services.
type Connector struct {
	Config *config.Config
	Vault  derive.Vault // where the tokens are kept
	Owner  derive.Owner
	// Secrets builds one service of c outside any gate, and reads what its credentials are made of.
	Secrets func(ctx context.Context, c *config.Config, name string) (*service.Service, *assemble.Secrets, error)
	// Changed has all replicas act by another record of a derived token, whose pool.Topic it is given.
	Changed func(ctx context.Context, topic string) error
	// Call calls the running gate, which passes it to Gate.Begin and Gate.Result. Errors: ErrNoGate.
	Call func(ctx context.Context, method, path string, body []byte) ([]byte, error)
}

// flow is a credential that consent is given for.
type flow struct {
	name    string // of the derived token
	connect *derive.Connect
	path    string           // where a gate is called back; see callbackFor
	service *service.Service // its own, for the way to the token endpoint
}

// Connect begins the authorization-code flow for a service, or for its Nth credential: SERVICE/N.
func (k *Connector) Connect(ctx context.Context, name string, o Options) (*Consent, error) {
	if _, err := connectable(k.Config, name); err != nil {
		return nil, err
	}
	if o.Callback || o.RedirectURL != "" && !derive.OnLoopback(o.RedirectURL) {
		return k.connectByGate(ctx, name, o.RedirectURL)
	}
	return k.connectHere(ctx, name, o.RedirectURL)
}

// connectHere waits for the browser in this process.
func (k *Connector) connectHere(ctx context.Context, name, redirect string) (*Consent, error) {
	var l *derive.Loopback
	var err error
	if redirect == "" {
		l, err = derive.ListenLoopback(ctx)
	} else {
		l, err = derive.ListenRedirect(ctx, redirect)
	}
	if err != nil {
		return nil, err
	}
	c, err := k.begin(ctx, k.Config, name, l.RedirectURL)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &Consent{
		URL: c.connect.URL(), RedirectURL: l.RedirectURL, end: l.Close,
		await: func(ctx context.Context) (*Connected, error) {
			code, err := l.Await(ctx, c.connect)
			if err != nil {
				return nil, refused(err)
			}
			connected, err := k.finish(ctx, c, code, c.connect.State())
			if err == nil {
				err = k.Changed(ctx, pool.Topic(c.name))
			}
			return connected, err
		},
	}, nil
}

// begin makes the flow of a credential.
func (k *Connector) begin(ctx context.Context, c *config.Config, name, redirect string) (*flow, error) {
	which, err := connectable(c, name)
	if err != nil {
		return nil, err
	}
	svc, of, err := k.Secrets(ctx, c, which.service)
	if err != nil {
		return nil, err
	}
	asked, err := assemble.Consent(svc, which.settings, of)
	if err != nil {
		return nil, err
	}
	connect, err := derive.NewConnect(derive.ConnectOptions{
		AuthorizeURL: asked.AuthorizeURL, Issuer: asked.Issuer, RedirectURL: redirect,
		Params: asked.Params, For: asked.For,
		WithoutPKCE: asked.WithoutPKCE,
	})
	if err != nil {
		return nil, fmt.Errorf("connecting %q: %w", name, err)
	}
	return &flow{name: pool.Name(which.service, which.index), connect: connect, service: svc}, nil
}

// finish turns the code into tokens and puts them on record.
func (k *Connector) finish(ctx context.Context, c *flow, code, state string) (*Connected, error) {
	defer c.service.Close()
	got, err := c.connect.Exchange(ctx, code, state)
	if err != nil {
		return nil, fmt.Errorf("connecting %q: %w", c.name, err)
	}
	if err := k.install(ctx, c.name, got); err != nil {
		return nil, fmt.Errorf("connecting %q: putting the tokens on record: %w", c.name, err)
	}
	return &Connected{Service: c.name, Scopes: c.connect.Granted(), Expires: got.Expiry}, nil
}

// install is derive.Install, again if a gate that knows nothing of it has minted in between.
func (k *Connector) install(ctx context.Context, name string, state derive.State) error {
	err := derive.ErrStale
	for range 5 {
		if err = derive.Install(ctx, k.Vault, k.Owner, name, state); !errors.Is(err, derive.ErrStale) {
			break
		}
	}
	return err
}

// Disconnect drops the tokens of a service that are on record and in memory. It tells whether there were any.
func (k *Connector) Disconnect(ctx context.Context, name string) (was bool, err error) {
	if which, err := connectable(k.Config, name); err == nil {
		name = pool.Name(which.service, which.index)
	} else if _, known := k.Config.Services[name]; known {
		return false, err
	}
	state, version, err := k.Vault.Load(ctx, name)
	if err != nil {
		return false, err
	}
	if version == 0 || vacant(state) {
		return false, nil
	}
	// The grant stays: a first refresh token in configuration, which may have been spent, does not become active again.
	if err := k.install(ctx, name, derive.State{Grant: state.Grant}); err != nil {
		return false, fmt.Errorf("disconnecting %q: %w", name, err)
	}
	return true, k.Changed(ctx, pool.Topic(name))
}

// vacant tells that a record holds nothing any more: that someone has disconnected.
func vacant(s derive.State) bool {
	return s.Token.IsZero() && s.Refresh.IsZero() && s.Rejected == ""
}

// Disconnected tells whether the derived token of that name has been dropped.
func (k *Connector) Disconnected(ctx context.Context, name string) (bool, error) {
	state, version, err := k.Vault.Load(ctx, name)
	return err == nil && version > 0 && vacant(state), err
}
