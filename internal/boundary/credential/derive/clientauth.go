package derive

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sallyport/internal/secret"
)

// How a client says who it is.
const (
	// RFC 6749 section 2.3.1: identifier and secret, each form-encoded, in Authorization
	AuthBasic         = "basic"
	AuthPost          = "post"            // RFC 6749 section 2.3.1: client_id and client_secret in the form
	AuthPrivateKeyJWT = "private_key_jwt" // RFC 7523 section 2.2: an assertion that the client signs
	// RFC 8705 section 2: client_id in the form, the certificate is the transport's
	AuthMTLS = "mtls"
	AuthNone = "none" // a public client: client_id in the form
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionLife is how long an assertion is valid. GitHub and most others allow ten minutes at the most.
const assertionLife = 5 * time.Minute

// assertionAge is how far back an assertion says it was issued, for clocks that are not quite together.
const assertionAge = 30 * time.Second

// ClientAuth is a client at a token endpoint.
type ClientAuth struct {
	Method   string // one of the constants; "": basic with a secret, private_key_jwt with a key, else none
	ID       string
	Secret   secret.Value
	Key      *Signer // private_key_jwt
	Audience string  // private_key_jwt; "": the URL of the token endpoint
}

func (c *ClientAuth) check() error {
	if c.Method == "" {
		c.Method = c.guess()
	}
	switch c.Method {
	case AuthBasic, AuthPost:
		if c.Secret.IsZero() {
			return fmt.Errorf("client authentication %q needs a client secret", c.Method)
		}
	case AuthPrivateKeyJWT:
		if c.Key == nil {
			return errors.New("client authentication \"private_key_jwt\" needs a key")
		}
	case AuthMTLS, AuthNone:
	default:
		return fmt.Errorf("no client authentication %q: there are basic, post, private_key_jwt, mtls, none", c.Method)
	}
	if c.ID == "" {
		return errors.New("the client has no client_id")
	}
	return nil
}

func (c *ClientAuth) guess() string {
	switch {
	case !c.Secret.IsZero():
		return AuthBasic
	case c.Key != nil:
		return AuthPrivateKeyJWT
	}
	return AuthNone
}

// apply puts the client onto a request to the endpoint. It returns the secrets that it has put there.
func (c *ClientAuth) apply(endpoint string, now time.Time, form url.Values,
	header http.Header,
) ([]secret.Value, error) {
	switch c.Method {
	case AuthBasic:
		pair := url.QueryEscape(c.ID) + ":" + url.QueryEscape(string(c.Secret.Reveal()))
		encoded := base64.StdEncoding.EncodeToString([]byte(pair))
		header.Set("Authorization", "Basic "+encoded)
		return []secret.Value{c.Secret, secret.NewValue([]byte(encoded))}, nil
	case AuthPost:
		form.Set("client_id", c.ID)
		form.Set("client_secret", string(c.Secret.Reveal()))
		return []secret.Value{c.Secret}, nil
	case AuthPrivateKeyJWT:
		assertion, err := c.assertion(endpoint, now)
		if err != nil {
			return nil, err
		}
		form.Set("client_id", c.ID)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
		return []secret.Value{secret.NewValue([]byte(assertion))}, nil
	}
	form.Set("client_id", c.ID)
	return nil, nil
}

func (c *ClientAuth) assertion(endpoint string, now time.Time) (string, error) {
	audience := c.Audience
	if audience == "" {
		audience = endpoint
	}
	claims := timed(now)
	claims["iss"], claims["sub"], claims["aud"] = c.ID, c.ID, audience
	return c.Key.Sign(claims)
}

func (c *ClientAuth) fingerprint(f *fingerprint) {
	f.text(c.Method, c.ID, c.Audience)
	f.bytes(c.Secret.Reveal())
	f.text(c.Key.Fingerprint())
}
