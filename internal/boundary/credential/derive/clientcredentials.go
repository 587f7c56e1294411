package derive

import (
	"context"
	"net/url"
	"time"
)

// ClientCredentialsOptions are what a ClientCredentials needs.
type ClientCredentialsOptions struct {
	Endpoint Endpoint
	Client   ClientAuth
	Scopes   []string
}

// ClientCredentials is the grant of RFC 6749 section 4.4: the client itself is who asks.
type ClientCredentials struct {
	client *client
	o      ClientCredentialsOptions
	inputs string
}

// NewClientCredentials returns a Minter, or what is wrong with the options.
func NewClientCredentials(o ClientCredentialsOptions) (*ClientCredentials, error) {
	c, err := newClient(o.Endpoint, &o.Client)
	if err != nil {
		return nil, err
	}
	f := c.fingerprint("client_credentials")
	f.list(o.Scopes)
	return &ClientCredentials{client: c, o: o, inputs: f.String()}, nil
}

// Inputs is the fingerprint of endpoint, client and scopes.
func (m *ClientCredentials) Inputs() string { return m.inputs }

// Mint asks for a token.
func (m *ClientCredentials) Mint(ctx context.Context, _ State) (State, error) {
	g, err := m.client.ask(ctx, func(time.Time) (request, error) {
		return request{form: scoped(url.Values{"grant_type": {"client_credentials"}}, m.o.Scopes)}, nil
	})
	if err != nil {
		return State{}, err
	}
	return State{Token: g.token, Expiry: g.expiry}, nil
}
