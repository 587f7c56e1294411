package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
)

// Caller makes calls through the gate like any other client, with a token of its own that lives for minutes.
type Caller struct {
	Base  string // of the service: http://gate/s/NAME
	http  *http.Client
	token string
	end   func(context.Context) error
}

// callerLife is how long a Caller's token lives, should nobody revoke it.
const callerLife = 10 * time.Minute

// Call opens a Caller for a service: through the gate that runs on this data directory, or through one of its own on a
// free loopback port when none does. Close it.
func Call(ctx context.Context, o Options, name string) (_ *Caller, err error) {
	if _, ok := o.Config.Services[name]; !ok {
		return nil, service.Unknown(o.Config, name)
	}
	s, err := Open(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	c := &Caller{end: func(context.Context) error { return s.Close() }}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close(context.WithoutCancel(ctx)))
		}
	}()
	gate, err := s.control().gateway(ctx)
	if errors.Is(err, errNoGate) {
		var own *App
		if own, err = ownGate(ctx, o); err != nil {
			return c, err
		}
		c.end = func(ctx context.Context) error { return errors.Join(s.Close(), own.Stop(ctx)) }
		gate, err = url.Parse(own.GatewayURL())
	}
	if err != nil {
		return c, err
	}
	tlsConfig, err := s.ownTLS()
	if err != nil {
		return c, err
	}
	c.http = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: tlsConfig, MaxIdleConnsPerHost: 8},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.Base = gate.JoinPath("s", name).String()
	label := "call-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	value, g, err := s.Tokens.Issue(ctx, label, token.Scope{Services: []string{name}}, time.Now().Add(callerLife))
	if err != nil {
		return c, err
	}
	c.token = string(value.Reveal())
	before := c.end
	c.end = func(ctx context.Context) error {
		_, err := s.Tokens.Revoke(ctx, g.ID)
		_, told := s.tell(ctx, topicTokens)
		return errors.Join(err, told, before(ctx))
	}
	_, err = s.tell(ctx, topicTokens) // it is used at this gate alone
	return c, err
}

// ownGate runs a gate on free loopback ports.
func ownGate(ctx context.Context, o Options) (*App, error) {
	for key, value := range map[string]string{"listen.gateway": "127.0.0.1:0", "listen.admin": "127.0.0.1:0"} {
		if err := o.Config.Override(key, value, "this command"); err != nil {
			return nil, err
		}
	}
	a, err := New(ctx, o)
	if err != nil {
		return nil, err
	}
	return a, a.Start(ctx)
}

// accepted is what n8n asks for when it tries a credential out. Some APIs, MISP among them, take a key of such calls
// alone.
const accepted = "application/json, text/plain, */*"

// Do makes one call below Base. The caller closes the body.
func (c *Caller) Do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("calling the gate: %w", err)
	}
	req.Header.Set(boundary.HeaderToken, c.token)
	req.Header.Set("Accept", accepted)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("calling the gate: %w", err)
	}
	return resp, nil
}

// Close revokes the token and lets go of everything.
func (c *Caller) Close(ctx context.Context) error {
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	return c.end(ctx)
}
