package derive

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport/internal/secret"
)

// client asks an OAuth 2.0 token endpoint for grants.
type client struct {
	*caller
	auth      *ClientAuth // nil: the grant itself says who asks
	assertion bool        // the grant is an assertion, which says when it was made
	token     place       // where the response has the token
}

func newClient(e Endpoint, auth *ClientAuth) (*client, error) {
	c, err := newCaller(e)
	if err != nil {
		return nil, err
	}
	token, err := newPlace(e.Token)
	if err != nil {
		return nil, err
	}
	if auth == nil {
		return &client{caller: c, token: token}, nil
	}
	own := *auth
	if err := own.check(); err != nil {
		return nil, err
	}
	for name := range e.Params {
		if name == "grant_type" || name == "client_secret" || name == "client_assertion" {
			return nil, fmt.Errorf("the parameter %q is the grant's own", name)
		}
	}
	return &client{caller: c, auth: &own, token: token}, nil
}

func (c *client) fingerprint(kind string) *fingerprint {
	f := newFingerprint(kind)
	f.text(c.URL)
	f.values(c.Params)
	f.values(c.Headers)
	if c.Token != "" { // absent, so that tokens made before there was this key stay good
		f.text("token", c.Token)
	}
	if c.auth != nil {
		c.auth.fingerprint(f)
	}
	return f
}

// request is one asking for a grant: its form, and the secrets in it.
type request struct {
	form    url.Values
	secrets []secret.Value
}

// ask makes the request for the time the provider has, and reads the grant. A refusal of something signed is tried once
// more if the provider has just told another time than the one that was signed.
func (c *client) ask(ctx context.Context, build func(now time.Time) (request, error)) (*grant, error) {
	return retimed(c.caller, c.timely, func() (*grant, error) {
		a, err := c.post(ctx, build)
		if err != nil {
			return nil, err
		}
		return a.grant(c.token, c.Lifetime)
	})
}

// timely tells whether a refusal may be about the time at which something was signed.
func (c *client) timely(e *EndpointError) bool {
	if e.dead {
		return c.assertion // a refresh token or a code does not get better by another try
	}
	return c.assertion || c.auth != nil && c.auth.Method == AuthPrivateKeyJWT
}

// retimed calls try once, and again if that can help.
func retimed(c *caller, timely func(*EndpointError) bool, try func() (*grant, error)) (*grant, error) {
	before := c.skew.Load()
	g, err := try()
	var failed *EndpointError
	if errors.As(err, &failed) && failed.fate == refused && timely(failed) &&
		time.Duration(c.skew.Load()-before).Abs() >= 5*time.Second {
		return try()
	}
	return g, err
}

func (c *client) post(ctx context.Context, build func(now time.Time) (request, error)) (*answer, error) {
	now := c.now()
	r, err := build(now)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	if c.auth != nil {
		sent, err := c.auth.apply(c.URL, now, r.form, header)
		if err != nil {
			return nil, err
		}
		r.secrets = append(r.secrets, sent...)
	}
	for name, value := range c.Params {
		if !r.form.Has(name) {
			r.form.Set(name, string(value.Reveal()))
		}
		r.secrets = append(r.secrets, value)
	}
	return c.do(ctx, &call{
		method: http.MethodPost, url: c.URL, header: header, body: []byte(r.form.Encode()),
		secrets: r.secrets,
	})
}

// scoped sets the scope, if there is one (RFC 6749 section 3.3).
func scoped(form url.Values, scopes []string) url.Values {
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	return form
}
