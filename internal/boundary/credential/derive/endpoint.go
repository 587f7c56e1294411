package derive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// Limits of a call to a token endpoint.
const (
	// DefaultTimeout bounds one call: connecting, asking, and the whole response.
	DefaultTimeout = 20 * time.Second
	// MaxAnswer is the largest response that is read, in bytes.
	MaxAnswer = 1 << 20
	// MaxSkew is how far the provider's clock, by the Date of its responses, may differ from this machine's and be
	// followed.
	MaxSkew = 5 * time.Minute
)

// DefaultToken is where RFC 6749 section 5.1 has the token.
const DefaultToken = "/access_token"

// UserAgent is what calls to token endpoints say that they are from, unless Headers say otherwise. Some providers
// refuse those that name a library alone.
const UserAgent = "Sallyport"

// Endpoint is where tokens are asked for. It does not change once a Minter has it.
type Endpoint struct {
	URL       string            // https, or http
	Transport http.RoundTripper // guards and dials; redirects are not followed
	Headers   map[string]secret.Value
	Params    map[string]secret.Value // more parameters of the form; they may not replace those of the grant
	Timeout   time.Duration           // 0: DefaultTimeout
	// of a grant: JSON pointer to the token in the response; "": DefaultToken. What belongs to it stands beside it
	Token    string
	Lifetime time.Duration // of a token whose answer names none; 0: DefaultLifetime
}

func (e *Endpoint) check() error {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil:
		return errors.New("the URL of the token endpoint cannot be read")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.User != nil, u.Fragment != "":
		return fmt.Errorf("the token endpoint has to be an https URL without user and fragment, and is %q",
			u.Redacted())
	case e.Transport == nil:
		return errors.New("the token endpoint has no transport")
	}
	for name, value := range e.Headers {
		if !headerName(name) || !headerValue(value.Reveal()) {
			return fmt.Errorf("the header %q for the token endpoint has a character that no header can have", name)
		}
	}
	return nil
}

func headerName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func headerValue(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// EndpointError is what went wrong in asking for a token. It quotes nothing of the response but the provider's error
// code, and that only in the form of a code.
type EndpointError struct {
	Host       string
	Status     int           // of the response; 0 if there was none
	Code       string        // `error` of RFC 6749 section 5.2, [A-Za-z0-9_.-]{1,64}, or ""
	Reason     string        // in words, one of a fixed set
	RetryAfter time.Duration // as the provider said; 0 if it did not
	fate       fate
	dead       bool  // the provider has called the refresh token dead: saysDead
	cause      error // of this process: a context's end, or the fault of the machine beneath it
}

// fate is what has become of a call that failed, as far as spending something is concerned.
type fate int

const (
	unclear fate = iota // it may have been carried out
	unsent              // nothing was written to the provider
	refused             // the provider says that it did not carry it out
)

func (e *EndpointError) Error() string {
	var b strings.Builder
	b.WriteString("the token endpoint at " + e.Host + " ")
	if e.Code != "" {
		b.WriteString("refused: " + e.Code)
	} else {
		b.WriteString(e.Reason)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Code != "" && e.Reason != "" {
		b.WriteString("; " + e.Reason)
	}
	return b.String()
}

// Unwrap returns what of this process ended the call: a context's error, or a fault that is Sallyport's own.
func (e *EndpointError) Unwrap() error { return e.cause }

// caller makes calls to one endpoint and learns how far the provider's clock is off.
type caller struct {
	Endpoint
	host string
	skew atomic.Int64 // time.Duration: the provider's clock minus ours
}

func newCaller(e Endpoint) (*caller, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, errors.New("the URL of the token endpoint cannot be read")
	}
	if e.Timeout <= 0 {
		e.Timeout = DefaultTimeout
	}
	return &caller{Endpoint: e, host: u.Host}, nil
}

// now is the time as the provider has it, as far as is known.
func (c *caller) now() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

// call is one request to the endpoint.
type call struct {
	method  string
	url     string
	header  http.Header
	body    []byte
	secrets []secret.Value // what has been sent, and may not come back as an error code
}

// do sends the request once and reads the whole response. Any status is a response.
func (c *caller) do(ctx context.Context, r *call) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var p progress
	req, err := http.NewRequestWithContext(p.trace(ctx), r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, &EndpointError{Host: c.host, Reason: "has a URL or method that cannot be used", fate: unsent}
	}
	req.Header = r.header
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", UserAgent)
	secrets := slices.Clone(r.secrets)
	for name, value := range c.Headers {
		secrets = append(secrets, value)
		canonical := http.CanonicalHeaderKey(name)
		req.Header[canonical] = []string{string(value.Reveal())}
		if canonical == "Host" {
			req.Host = string(value.Reveal())
		}
	}
	for name := range c.Headers {
		egress.Spell(req.Header, http.CanonicalHeaderKey(name), name)
	}
	started := time.Now()
	res, err := c.Transport.RoundTrip(req)
	if err != nil {
		return nil, c.transportError(ctx, err, &p)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	if err != nil {
		p.written.Store(true)
		failed := c.transportError(ctx, err, &p)
		failed.Status = res.StatusCode
		return nil, failed
	}
	a := &answer{
		host: c.host, status: res.StatusCode, header: res.Header, body: plainly(res.Header, body),
		started: started, secrets: secrets,
	}
	c.learn(a)
	return a, nil
}

// progress is how far a call has come, where the transport tells (net/http/httptrace).
type progress struct{ asked, connected, written atomic.Bool }

func (p *progress) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { p.asked.Store(true) },
		GotConn:      func(httptrace.GotConnInfo) { p.connected.Store(true) },
		WroteHeaders: func() { p.written.Store(true) },
	})
}

// unsent tells that the provider has certainly got nothing: there never was a connection, or the error, unreachable, is
// one of making another after that had turned out to be dead.
func (p *progress) unsent(unreachable bool) bool {
	return !p.written.Load() && (unreachable || p.asked.Load() && !p.connected.Load())
}

// transportError says in fixed words what happened: texts of errors may quote what was received.
func (c *caller) transportError(ctx context.Context, err error, p *progress) *EndpointError {
	e := &EndpointError{Host: c.host, fate: unclear}
	f := egress.Classify(err)
	var op *net.OpError
	dial := errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
	unreachable := dial || f.Code == fault.UpstreamDNS || f.Code == fault.UpstreamRefused ||
		f.Code == fault.DestinationProhibited || f.Code == fault.UpstreamTLS
	ended := ctx.Err() != nil
	if p.unsent(unreachable && !ended) {
		e.fate = unsent
	}
	switch {
	case ended && e.fate == unsent:
		e.Reason, e.cause = "could not be reached in time", context.Cause(ctx)
	case ended:
		e.Reason, e.cause = "did not answer in time", context.Cause(ctx)
	case f.Row().Blame == fault.BlameSallyport:
		e.Reason, e.cause = "was not asked, or not to the end", f
	case unreachable:
		e.Reason = "could not be reached"
	default:
		e.Reason = "broke the connection off"
	}
	// vague: of another transport than the gate's
	if vague := dial && f.Code == fault.UpstreamReset; !ended && !vague && f.Details != "" {
		e.Reason += ": " + f.Details
	}
	return e
}

// learn keeps the difference of the clocks, if the provider tells its time and can be believed.
func (c *caller) learn(a *answer) {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return
	}
	skew := time.Until(date)
	switch {
	case skew.Abs() > MaxSkew:
		a.wildClock = true
		skew = 0
	case skew.Abs() < 5*time.Second: // Date has whole seconds, and the response was on its way
		skew = 0
	}
	a.skew = skew
	c.skew.Store(int64(skew))
}
