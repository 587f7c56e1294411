package derive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"sallyport/internal/secret"
)

const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// JWTBearerOptions are what a JWTBearer needs.
type JWTBearerOptions struct {
	Endpoint Endpoint
	Client   *ClientAuth // nil: the assertion alone says who asks
	Issuer   string
	Subject  string // "": no subject
	Audience string // "": the URL of the token endpoint
	Key      *Signer
	Scopes   []string       // sent as parameter and as claim: providers read one or the other
	Claims   map[string]any // more claims; they may not replace those of the grant
}

// JWTBearer is the grant of RFC 7523 section 2.1: a signed assertion says for whom.
type JWTBearer struct {
	client *client
	o      JWTBearerOptions
	inputs string
}

// NewJWTBearer returns a Minter, or what is wrong with the options.
func NewJWTBearer(o JWTBearerOptions) (*JWTBearer, error) {
	c, err := newClient(o.Endpoint, o.Client)
	if err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	c.assertion = true
	claims, err := json.Marshal(o.Claims)
	if err != nil {
		return nil, errors.New("the claims cannot be written as JSON")
	}
	f := c.fingerprint("jwt_bearer")
	f.text(o.Issuer, o.Subject, o.Audience, "access_token", o.Key.Fingerprint(), string(claims))
	f.list(o.Scopes)
	return &JWTBearer{client: c, o: o, inputs: f.String()}, nil
}

func (o *JWTBearerOptions) check() error {
	for _, name := range []string{"iss", "sub", "aud", "iat", "exp", "jti", "scope"} {
		if _, there := o.Claims[name]; there {
			return fmt.Errorf("the claim %q is the grant's own", name)
		}
	}
	switch {
	case o.Key == nil:
		return errors.New("a JWT bearer grant needs a key")
	case o.Issuer == "":
		return errors.New("a JWT bearer grant needs an issuer")
	}
	if o.Audience == "" {
		o.Audience = o.Endpoint.URL
	}
	return nil
}

// Inputs is the fingerprint of endpoint, key and claims.
func (m *JWTBearer) Inputs() string { return m.inputs }

// Mint signs an assertion and asks for a token.
func (m *JWTBearer) Mint(ctx context.Context, _ State) (State, error) {
	g, err := m.client.ask(ctx, func(now time.Time) (request, error) {
		assertion, err := m.o.Key.Sign(m.claims(now))
		if err != nil {
			return request{}, err
		}
		form := url.Values{"grant_type": {jwtBearerGrant}, "assertion": {assertion}}
		return request{form: scoped(form, m.o.Scopes), secrets: []secret.Value{secret.NewValue([]byte(assertion))}}, nil
	})
	if err != nil {
		return State{}, err
	}
	return State{Token: g.token, Expiry: g.expiry}, nil
}

func (m *JWTBearer) claims(now time.Time) map[string]any {
	claims := timed(now)
	maps.Copy(claims, m.o.Claims)
	claims["iss"], claims["aud"] = m.o.Issuer, m.o.Audience
	if m.o.Subject != "" {
		claims["sub"] = m.o.Subject
	}
	if len(m.o.Scopes) > 0 {
		claims["scope"] = strings.Join(m.o.Scopes, " ")
	}
	return claims
}

// ServiceAccount fills in, from the file that Google gives for a service account as it comes, what the options leave
// open: the issuer, the key, and the token endpoint.
func (o JWTBearerOptions) ServiceAccount(file secret.Value) (JWTBearerOptions, error) {
	var account struct {
		Type         string `json:"type"`
		ClientEmail  string `json:"client_email"`
		PrivateKey   string `json:"private_key"`
		PrivateKeyID string `json:"private_key_id"`
		TokenURI     string `json:"token_uri"`
	}
	if json.Unmarshal(file.Reveal(), &account) != nil {
		return o, errors.New("the service account is not JSON: the file has to be there as it was downloaded")
	}
	if account.Type != "service_account" || account.ClientEmail == "" || account.PrivateKey == "" {
		return o, errors.New("the service account has no type \"service_account\", client_email or private_key")
	}
	key, err := NewSigner(secret.NewValue([]byte(account.PrivateKey)), "", account.PrivateKeyID)
	if err != nil {
		return o, fmt.Errorf("reading private_key of the service account: %w", err)
	}
	o.Key = key
	if o.Issuer == "" {
		o.Issuer = account.ClientEmail
	}
	if o.Endpoint.URL == "" {
		o.Endpoint.URL = account.TokenURI
	}
	return o, nil
}
