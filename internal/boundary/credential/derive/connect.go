package derive

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// ConnectOptions are what a Connect needs.
type ConnectOptions struct {
	AuthorizeURL string
	Issuer       string            // the provider's, where its responses carry it (RFC 9207); "": see CheckIssuer
	RedirectURL  string            // as registered at the provider; Loopback has one for this machine
	Params       map[string]string // more parameters of the consent page, such as access_type=offline
	// for a provider that refuses a code_verifier: what protects the code is then the client's secret alone
	WithoutPKCE bool
	For         *RefreshToken // whose refresh token is to be obtained
}

// Connect is one run of the authorization-code flow (RFC 6749 section 4.1) with PKCE (RFC 7636, S256): a person opens
// URL, gives consent, and what comes back to the redirect URL goes to Exchange, once. Only WithoutPKCE does without
// PKCE.
type Connect struct {
	o               ConnectOptions
	state, verifier string
	used            atomic.Bool
	granted         atomic.Pointer[[]string]
}

// NewConnect returns a Connect with a state and a verifier of its own, or what is wrong with the options.
func NewConnect(o ConnectOptions) (*Connect, error) {
	if o.For == nil {
		return nil, errors.New("only a service with a refresh token can be connected")
	}
	if auth := o.For.client.auth; o.WithoutPKCE && (auth == nil || auth.Method == AuthNone) {
		return nil, errors.New("a client without a secret needs PKCE")
	}
	for what, text := range map[string]string{"authorize_url": o.AuthorizeURL, "redirect URL": o.RedirectURL} {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Fragment != "" {
			return nil, fmt.Errorf("the %s is not an https URL without fragment", what)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Params)) {
		if slices.Contains([]string{
			"client_id", "code_challenge", "code_challenge_method", "redirect_uri",
			"response_type", "state",
		}, name) {
			return nil, fmt.Errorf("the parameter %q is the flow's own", name)
		}
	}
	return &Connect{o: o, state: rand.Text(), verifier: oauth2.GenerateVerifier()}, nil
}

// URL is the page at the provider where a person gives consent.
func (c *Connect) URL() string {
	m := c.o.For
	config := oauth2.Config{
		ClientID: m.o.Client.ID, Scopes: m.o.Scopes, RedirectURL: c.o.RedirectURL,
		Endpoint: oauth2.Endpoint{AuthURL: c.o.AuthorizeURL},
	}
	var options []oauth2.AuthCodeOption
	if !c.o.WithoutPKCE {
		options = append(options, oauth2.S256ChallengeOption(c.verifier))
	}
	for name, value := range c.o.Params {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	return config.AuthCodeURL(c.state, options...)
}

// State tells this run from others when its callback comes.
func (c *Connect) State() string { return c.state }

// Exchange turns what came back to the redirect URL into a State, which Install puts on record. It works once: a code
// that has come twice may have been stolen.
func (c *Connect) Exchange(ctx context.Context, code, state string) (State, error) {
	switch {
	case subtle.ConstantTimeCompare([]byte(state), []byte(c.state)) != 1:
		return State{}, errors.New("the answer of the consent page is not for this attempt to connect")
	case code == "":
		return State{}, errors.New("the consent page has given no code")
	case !c.used.CompareAndSwap(false, true):
		return State{}, errors.New("this attempt to connect has been used")
	}
	m := c.o.For
	g, err := m.client.ask(ctx, func(time.Time) (request, error) {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.o.RedirectURL}}
		if !c.o.WithoutPKCE {
			form.Set("code_verifier", c.verifier)
		}
		return request{form: form, secrets: []secret.Value{
			secret.NewValue([]byte(code)),
			secret.NewValue([]byte(c.verifier)),
		}}, nil
	})
	switch {
	case err != nil:
		return State{}, err
	case g.refresh.IsZero() && !g.lasts():
		return State{}, fault.WithHint(errors.New("the provider has given a token, but no refresh token"),
			"most providers want a scope (offline_access) or a parameter of the consent page (access_type=offline, "+
				"prompt=consent) for one")
	}
	if g.refresh.IsZero() {
		g.expiry = time.Now().Add(g.lasting())
	}
	if g.scopes == nil {
		g.scopes = m.o.Scopes // RFC 6749 section 5.1: it says nothing if they are those that were asked for
	}
	c.granted.Store(&g.scopes)
	return m.connected(g), nil
}

// Some providers give no refresh token, but an access token that is good for months, or until someone takes it back.
const (
	minLasting = 24 * time.Hour // a shorter one would be of no use without a person at hand
	maxLasting = 10 * 365 * 24 * time.Hour
)

// lasts tells whether the token is good for long without a refresh token.
func (g *grant) lasts() bool { return g.named <= 0 || g.named >= minLasting.Seconds() }

// lasting is how long: as the response says, or until the API refuses it. Then only a new consent helps.
func (g *grant) lasting() time.Duration {
	if g.named <= 0 || g.named >= maxLasting.Seconds() {
		return maxLasting
	}
	return time.Duration(g.named) * time.Second
}

// Granted lists the scopes of what Exchange has returned.
func (c *Connect) Granted() []string {
	if list := c.granted.Load(); list != nil {
		return *list
	}
	return nil
}

// RefusalError is what a consent page answers instead of a code (RFC 6749 section 4.1.2.1).
type RefusalError struct{ Code string }

func (e *RefusalError) Error() string { return "the consent page answered: " + e.Code }

// ReadCallback reads the query of a request to the redirect URL.
func ReadCallback(query url.Values) (code, state string, err error) {
	state = query.Get("state")
	if refusal := query.Get("error"); refusal != "" {
		if !codeForm.MatchString(refusal) {
			refusal = "an error that has no code"
		}
		return "", state, &RefusalError{refusal}
	}
	if len(query["code"]) != 1 || len(query["state"]) != 1 || strings.TrimSpace(query.Get("code")) == "" {
		return "", state, errors.New("the callback has no code and state")
	}
	return query.Get("code"), state, nil
}
