package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// connectPatience is how long a person has to give consent.
const connectPatience = 10 * time.Minute

// ConnectOptions say how the browser comes back from the page of consent.
type ConnectOptions struct {
	RedirectURL string // as registered at the provider; "": one on a free port of this machine, or of the admin listener
	Callback    bool   // by the admin listener of the running gate; so does a RedirectURL that is not of this machine
}

// Consent is a page of consent that waits for a person. Await or Close ends it.
type Consent struct {
	URL         string
	RedirectURL string
	await       func(ctx context.Context) (*Connected, error)
	end         func() error
}

// Await waits until the person has given consent, and what came of it is on record and active.
func (c *Consent) Await(ctx context.Context) (*Connected, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectPatience, errors.New("nobody gave consent within 10 minutes"))
	defer cancel()
	return c.await(ctx)
}

// Close ends a Consent that nobody awaits.
func (c *Consent) Close() error { return c.end() }

// Connected is what a consent has brought.
type Connected struct {
	Service string    `json:"service"`
	Scopes  []string  `json:"scopes"`
	Expires time.Time `json:"expires"` // of the first token; it is refreshed before
}

// consenting is a credential that consent is given for.
type consenting struct {
	name    string // of the derived token
	connect *derive.Connect
	path    string           // where a gate is called back; see callbackFor
	service *service.Service // its own, for the way to the token endpoint
}

// Connect begins the authorization-code flow for a service, or for its Nth credential: SERVICE/N.
func (s *State) Connect(ctx context.Context, name string, o ConnectOptions) (*Consent, error) {
	if _, err := connectable(s.Config, name); err != nil {
		return nil, err
	}
	if o.Callback || o.RedirectURL != "" && !derive.OnLoopback(o.RedirectURL) {
		return s.connectByGate(ctx, name, o.RedirectURL)
	}
	return s.connectHere(ctx, name, o.RedirectURL)
}

// connectHere waits for the browser in this process.
func (s *State) connectHere(ctx context.Context, name, redirect string) (*Consent, error) {
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
	c, err := s.consentFor(ctx, s.Config, name, l.RedirectURL)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &Consent{URL: c.connect.URL(), RedirectURL: l.RedirectURL, end: l.Close, await: func(ctx context.Context) (*Connected, error) {
		code, err := l.Await(ctx, c.connect)
		if err != nil {
			return nil, refusedConsent(err)
		}
		connected, err := s.finish(ctx, c, code, c.connect.State())
		if err == nil {
			err = s.Changed(ctx, pool.Topic(c.name))
		}
		return connected, err
	}}, nil
}

// consentFor makes the flow of a credential.
func (s *State) consentFor(ctx context.Context, c *config.Config, name, redirect string) (*consenting, error) {
	which, err := connectable(c, name)
	if err != nil {
		return nil, err
	}
	svc, of, err := s.outside(ctx, c, which.service)
	if err != nil {
		return nil, err
	}
	refresher, err := assemble.Consent(svc, which.credential, of)
	if err != nil {
		return nil, err
	}
	in := of.Reader()
	params := make(map[string]string, len(which.credential.AuthorizeParams))
	for key, t := range which.credential.AuthorizeParams {
		params[key] = in.Plain(t)
	}
	issuer := in.Plain(which.credential.Issuer)
	if err := in.Err(); err != nil {
		return nil, err
	}
	connect, err := derive.NewConnect(derive.ConnectOptions{
		AuthorizeURL: which.credential.AuthorizeURL, Issuer: issuer, RedirectURL: redirect, Params: params, For: refresher,
		WithoutPKCE: which.credential.PKCE == "off",
	})
	if err != nil {
		return nil, fmt.Errorf("connecting %q: %w", name, err)
	}
	return &consenting{name: pool.Name(which.service, which.index), connect: connect, service: svc}, nil
}

// finish turns the code into tokens and puts them on record.
func (s *State) finish(ctx context.Context, c *consenting, code, state string) (*Connected, error) {
	defer c.service.Close()
	got, err := c.connect.Exchange(ctx, code, state)
	if err != nil {
		return nil, fmt.Errorf("connecting %q: %w", c.name, err)
	}
	if err := s.install(ctx, c.name, got); err != nil {
		return nil, fmt.Errorf("connecting %q: putting the tokens on record: %w", c.name, err)
	}
	return &Connected{Service: c.name, Scopes: c.connect.Granted(), Expires: got.Expiry}, nil
}

// install is derive.Install, again if a gate that knows nothing of it has minted in between.
func (s *State) install(ctx context.Context, name string, state derive.State) error {
	err := derive.ErrStale
	for range 5 {
		if err = derive.Install(ctx, s.vault, s.owner, name, state); !errors.Is(err, derive.ErrStale) {
			break
		}
	}
	return err
}

// refusedConsent adds what a person can do.
func refusedConsent(err error) error {
	if _, ok := errors.AsType[*derive.RefusalError](err); ok {
		return fault.WithHint(err, "nothing has changed; `sallyport service connect` begins again, and the provider's documentation says what the code means")
	}
	return err
}

// Disconnect drops the tokens of a service that are on record and in memory. It tells whether there were any.
func (s *State) Disconnect(ctx context.Context, name string) (was bool, err error) {
	if which, err := connectable(s.Config, name); err == nil {
		name = pool.Name(which.service, which.index)
	} else if _, known := s.Config.Services[name]; known {
		return false, err
	}
	state, version, err := s.vault.Load(ctx, name)
	if err != nil {
		return false, err
	}
	if version == 0 || vacant(state) {
		return false, nil
	}
	// The grant stays: a first refresh token in configuration, which may have been spent, does not become active again.
	if err := s.install(ctx, name, derive.State{Grant: state.Grant}); err != nil {
		return false, fmt.Errorf("disconnecting %q: %w", name, err)
	}
	return true, s.Changed(ctx, pool.Topic(name))
}

// vacant tells that a record holds nothing any more: that someone has disconnected.
func vacant(s derive.State) bool {
	return s.Token.IsZero() && s.Refresh.IsZero() && s.Rejected == ""
}

// disconnected tells whether the derived token of that name has been dropped.
func (s *State) disconnected(ctx context.Context, name string) (bool, error) {
	state, version, err := s.vault.Load(ctx, name)
	return err == nil && version > 0 && vacant(state), err
}

// connection is a credential that a person can connect.
type connection struct {
	service    string
	index      int
	credential *config.Credential
}

// connectable finds the credential that SERVICE or SERVICE/N means.
func connectable(c *config.Config, name string) (*connection, error) {
	owner, number, counted := strings.Cut(name, "/")
	svc, ok := c.Services[owner]
	if !ok {
		return nil, NoService(c, owner)
	}
	placements := svc.Placements()
	var found []*connection
	for i := range placements {
		wanted := !counted || number == strconv.Itoa(i+1)
		if placements[i].Kind == config.KindRefreshToken && wanted {
			found = append(found, &connection{owner, i, &placements[i]})
		}
	}
	switch {
	case len(found) == 0:
		return nil, fault.WithHint(fmt.Errorf("%q has no credential of kind %s", name, config.KindRefreshToken), "nothing else needs a person's consent: `sallyport service test` shows whether the credential works")
	case len(found) > 1:
		return nil, fault.WithHint(fmt.Errorf("%q has %d credentials of kind %s", name, len(found), config.KindRefreshToken), "name one by its number: "+owner+"/"+strconv.Itoa(found[0].index+1))
	case found[0].credential.AuthorizeURL == "":
		return nil, fault.WithHint(fmt.Errorf("%q has no page of consent", name), "set `authorize_url` of the credential")
	}
	return found[0], nil
}
