package derive

import (
	"context"
	"errors"
	"net/url"
	"time"

	"sallyport/internal/secret"
)

// RefreshTokenOptions are what a RefreshToken needs.
type RefreshTokenOptions struct {
	Endpoint Endpoint
	Client   ClientAuth
	Scopes   []string
	Refresh  secret.Value // the first refresh token; zero if a Connect brings it

	// RefreshAt is where refreshes are asked for, where that is not the Endpoint, which takes the code. URL "": the
	// Endpoint.
	RefreshAt Endpoint

	// ReuseGrace is how long the provider takes a refresh token once more after it was spent. Within it one attempt is
	// made to recover from a lost response. 0: the provider takes a second use for theft, so there is none.
	ReuseGrace time.Duration

	// Reusable says that the provider takes a refresh token again, however often: it does not rotate them, or it leaves
	// the old ones valid. Then nothing is ever marked as being spent, and a lost response loses nothing.
	Reusable bool
}

// RefreshToken is the grant of RFC 6749 section 6, with rotation of the refresh token (RFC 9700 section 4.14.2).
//
// A refresh token is marked as being spent, on record, before it leaves. If its response is lost, or the process dies,
// the mark stays, and the token is not spent again but within ReuseGrace, once. The exception is a provider that has
// refreshed this grant before and has never yet answered with a new refresh token, or of which it is known that refresh
// tokens are Reusable: there, the old one stays good and nothing is marked.
type RefreshToken struct {
	client        *client // takes the code
	refresher     *client // takes the refresh token
	o             RefreshTokenOptions
	inputs, grant string
}

// NewRefreshToken returns a Minter, or what is wrong with the options.
func NewRefreshToken(o RefreshTokenOptions) (*RefreshToken, error) {
	c, err := newClient(o.Endpoint, &o.Client)
	if err != nil {
		return nil, err
	}
	refresher := *c
	if o.RefreshAt.URL != "" {
		other, err := newClient(o.RefreshAt, &o.Client)
		if err != nil {
			return nil, err
		}
		refresher = *other
	}
	refresher.token = c.token.forRefresh()
	// A refresh token outlives a change of the client's secret, so the grant is known by less than the token is.
	g := newFingerprint("refresh_token grant")
	g.text(c.URL, o.Client.ID)
	g.bytes(o.Refresh.Reveal())
	f := c.fingerprint("refresh_token")
	f.list(o.Scopes)
	f.text(g.String())
	if o.RefreshAt.URL != "" {
		f.text("refresh", o.RefreshAt.URL)
	}
	return &RefreshToken{client: c, refresher: &refresher, o: o, inputs: f.String(), grant: g.String()}, nil
}

// Inputs is the fingerprint of endpoint, client, scopes and the first refresh token.
func (m *RefreshToken) Inputs() string { return m.inputs }

// reconnectError says that only a person can help, by a new consent.
type reconnectError struct {
	reason string
	never  bool // there was none before
	cause  error
}

func (e *reconnectError) Error() string { return e.reason }
func (e *reconnectError) Unwrap() error { return e.cause }

// Spend marks the refresh token as being spent, if it may be.
func (m *RefreshToken) Spend(prev State, now time.Time) (State, error) {
	s := prev
	if s.Grant != m.grant { // another endpoint, client or first refresh token is configured than was
		s = State{Refresh: m.o.Refresh, Grant: m.grant}
	}
	switch {
	case s.Rejected != "":
		return State{}, &reconnectError{reason: "the provider has refused the refresh token: " + s.Rejected}
	case s.Refresh.IsZero():
		return State{}, &reconnectError{reason: "there is no refresh token", never: true}
	case m.o.Reusable:
		s.Spending, s.Recovering = time.Time{}, false // a mark from before this was known
	case s.Spending.IsZero() && s.Steady:
	case s.Spending.IsZero():
		s.Spending = now.Round(0)
	case s.Recovering, now.Sub(s.Spending).Abs() >= m.o.ReuseGrace:
		return State{}, &reconnectError{
			reason: "the provider's answer to spending the refresh token was lost, and spending it again could " +
				"revoke everything",
		}
	default:
		s.Recovering = true
	}
	return s, nil
}

// Mint spends the refresh token that Spend has marked.
func (m *RefreshToken) Mint(ctx context.Context, prev State) (State, error) {
	g, err := m.refresher.ask(ctx, func(time.Time) (request, error) {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(prev.Refresh.Reveal())}}
		// No scope: it means those that were granted (RFC 6749 section 6), and there are providers that refuse any.
		return request{form: form, secrets: []secret.Value{prev.Refresh}}, nil
	})
	if err != nil {
		return m.failed(prev, err)
	}
	next := State{Token: g.token, Expiry: g.expiry, Refresh: prev.Refresh, Grant: m.grant, Rotates: prev.Rotates}
	if !g.refresh.IsZero() && !g.refresh.Equal(prev.Refresh) {
		next.Refresh, next.Rotates = g.refresh, true
	}
	next.Steady = !next.Rotates
	return next, nil
}

// failed says what is on record after a call that has brought no token.
func (m *RefreshToken) failed(prev State, err error) (State, error) {
	var failed *EndpointError
	known := errors.As(err, &failed)
	switch {
	case known && failed.dead:
		dead := prev
		dead.Refresh, dead.Rejected, dead.Spending, dead.Recovering = secret.Value{}, failed.Code, time.Time{}, false
		if dead.Rejected == "" {
			dead.Rejected = "it says so in words, without an error code"
		}
		return dead, &reconnectError{reason: "the provider has refused the refresh token: " + dead.Rejected, cause: err}
	case !known, failed.fate != unclear: // nothing was spent: !known is an error of this process, before it called
		whole := prev
		if whole.Recovering {
			whole.Recovering = false
		} else {
			whole.Spending = time.Time{}
		}
		return whole, err
	case prev.Spending.IsZero(), m.o.ReuseGrace > 0 && !prev.Recovering:
		return State{}, err
	}
	return State{}, &reconnectError{reason: "the provider's answer to spending the refresh token was lost: " +
		failed.Error(), cause: err}
}

// connected is the State that a new consent begins with.
func (m *RefreshToken) connected(g *grant) State {
	return State{
		Token: g.token, Expiry: g.expiry, Minted: time.Now().Round(0), Inputs: m.inputs,
		Refresh: g.refresh, Grant: m.grant,
	}
}
