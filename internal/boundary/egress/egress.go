// Package egress is the only way out: one [Transport] per service, whose dialer
// knows a single destination and looks at the address before it connects.
//
// It does not know credentials, policy or who calls; it follows no redirects,
// reads no proxy settings from the environment, and decodes nothing.
//
// Invariant: no connection is opened to a host or port other than the service's,
// or to an address that is neither public nor named by the operator. The address
// is checked at every dial, after DNS, as the kernel is about to get it: a response
// that changes between two look-ups gains nothing.
package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxResponseHeader = 256 << 10 // bytes
	bufferSize        = 8 << 10   // bytes, for each direction of each connection
	tlsSessions       = 64        // per service
)

// Options describe one service's upstream. A duration of 0 means the default, a
// negative one none.
type Options struct {
	// Host and Port are the only destination. Host is a name or an IP literal
	// without brackets, Port a number.
	Host, Port string
	// Named is what a person knows the destination by, for hints; default "`upstream` of the service".
	Named string
	// AllowPrivate are the addresses that may be dialled although they are not
	// globally reachable.
	AllowPrivate []netip.Prefix

	// Own are the addresses on which this process listens, which are never dialled. May be nil, and return nil.
	Own func() *Own

	Dial           time.Duration // look-up and connection; default 10 s
	TLSHandshake   time.Duration // default 10 s
	ResponseHeader time.Duration // from the end of the request to the header of the response; default 5 min
	// BodyIdle is how long the upstream may be silent in the middle of a response's
	// body. Only the time that a Read waits is counted, so that a slow
	// caller is not taken for a stalled upstream. Default 5 min, which outlives the
	// pings of the event streams in use.
	BodyIdle time.Duration
	Idle     time.Duration // an unused connection is kept for; default 90 s
	// Age is the greatest age of a connection that is given to a request; default 1 min. It is what bounds how long an
	// address that the host's name had is still used.
	Age time.Duration

	// TLS is nil for plain HTTP. It is cloned; versions below 1.2 are switched off.
	TLS *tls.Config
	// HTTP2 offers HTTP/2 in the TLS handshake.
	HTTP2 bool
	// MaxIdle is how many unused connections are kept; default 256.
	MaxIdle int
	// Resolver looks Host up; nil is the system's.
	Resolver *net.Resolver

	// Dialled is told how each attempt to connect ended, handshake included, also when the request that began it is
	// gone. An attempt that was given up is not told. May be nil; it must not block.
	Dialled func(error)

	// Proxy is an http:// or socks5:// proxy on the way, without user and password; nil: none. The destination is
	// looked up and checked here all the same, and the proxy is asked for the address.
	Proxy *url.URL
	// ProxyUser returns what the proxy knows us by; nil, or a nil Userinfo: nothing.
	ProxyUser func() *url.Userinfo
}

// Transport sends requests to one service's upstream over pooled connections.
// It is safe for concurrent use.
type Transport struct {
	generation atomic.Pointer[generation]
	renew      func() *http.Transport // makes the next generation; nil: there is one for ever
	age        time.Duration
	upgrades   *Transport // for WebSocket handshakes, which HTTP/2 has not in that form; nil: only HTTP/1.1 is spoken
	scheme     string
	target     string // host:port
	bare       string // the same as a URL writes it without the default port
	bodyIdle   time.Duration
}

// New checks o and builds the Transport. It resolves and dials nothing.
func New(o Options) (*Transport, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &Transport{
		scheme: "http", target: net.JoinHostPort(o.Host, o.Port), bare: bare(o, "80"),
		bodyIdle: o.BodyIdle, age: o.Age,
	}
	d := newDialer(o, t.target)
	if o.TLS != nil {
		t.scheme, t.bare = "https", bare(o, "443")
		if o.HTTP2 {
			plain := o
			plain.HTTP2 = false
			var err error
			if t.upgrades, err = New(plain); err != nil {
				return nil, err
			}
			if o.Age > 0 {
				t.renew = func() *http.Transport { return newBase(o, d) }
			}
		}
	}
	t.generation.Store(&generation{base: newBase(o, d), born: time.Now()})
	return t, nil
}

// newBase is one generation of connections.
func newBase(o Options, d *dialer) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	base := &http.Transport{
		Proxy:                  nil,
		DialContext:            d.told(d.dial),
		DialTLSContext:         d.refuseTLS,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    o.MaxIdle,
		IdleConnTimeout:        max(o.Idle, 0),
		ResponseHeaderTimeout:  max(o.ResponseHeader, 0),
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxResponseHeader,
		WriteBufferSize:        bufferSize,
		ReadBufferSize:         bufferSize,
		Protocols:              &protocols,
	}
	if o.TLS != nil {
		base.DialTLSContext = d.told(d.dialTLS)
		protocols.SetHTTP2(o.HTTP2)
		base.ForceAttemptHTTP2 = o.HTTP2
		base.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
	}
	return base
}

// canceller is a context that a silent upstream may end itself; another one has a child made for that.
type canceller interface{ CancelCause(cause error) }

// RoundTrip implements http.RoundTripper. The request has to be for the scheme,
// host and port of the service. The errors are for [Classify], those of the
// answer's body for [ClassifyBody].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.upgrades != nil && req.Header["Upgrade"] != nil {
		return t.upgrades.RoundTrip(req)
	}
	if err := t.bound(req); err != nil {
		closeBody(req)
		return nil, err
	}
	ctx := req.Context()
	if t.bodyIdle <= 0 {
		return t.roundTrip(ctx, req)
	}
	body := &idleBody{idle: t.bodyIdle, release: func(error) {}}
	if c, ok := ctx.(canceller); ok {
		body.cancel = c.CancelCause
	} else {
		ctx, body.cancel = context.WithCancelCause(ctx)
		body.release = body.cancel
	}
	resp, err := t.roundTrip(ctx, req)
	if err != nil || resp.Body == http.NoBody {
		body.release(nil)
		return resp, err
	}
	// After a switch of protocols the connection is the caller's, silence is no
	// fault, and the context ends with the request's own.
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body.ReadCloser, resp.Body = resp.Body, body
	}
	return resp, nil
}

// roundTrip is RoundTrip over the connections that are kept.
func (t *Transport) roundTrip(ctx context.Context, req *http.Request) (*http.Response, error) {
	u := use{base: t.current()}
	defer u.end()
	resp, err := u.base.base.RoundTrip(markBody(u.trace(ctx), req))
	switch {
	case err != nil && ctx.Err() == nil && u.untouched() && !asType[*callerError](err):
		return nil, &unprocessedError{err}
	case err != nil:
		return nil, err
	case u.conn != nil && resp.Header["Keep-Alive"] != nil:
		u.conn.hinted(resp.Header["Keep-Alive"])
	}
	return resp, nil
}

// CloseIdle closes the connections that no request uses.
func (t *Transport) CloseIdle() {
	g := t.generation.Load()
	g.closeIdle()
	if before := g.before.Load(); before != nil {
		before.closeIdle()
	}
	if t.upgrades != nil {
		t.upgrades.CloseIdle()
	}
}

// bound refuses a request for anything but the service's upstream.
func (t *Transport) bound(req *http.Request) error {
	if req.URL == nil || req.URL.Scheme != t.scheme {
		return errors.New("sending request: not in the scheme of the service")
	}
	if host := req.URL.Host; !strings.EqualFold(host, t.target) && !strings.EqualFold(host, t.bare) {
		return &otherDestinationError{got: host, only: t.target}
	}
	return nil
}

// bare is the host of a URL for o: without the port if that is the default one.
func bare(o Options, defaultPort string) string {
	target := net.JoinHostPort(o.Host, o.Port)
	if o.Port == defaultPort {
		return strings.TrimSuffix(target, ":"+defaultPort)
	}
	return target
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // as http.RoundTripper demands
	}
}

func (o Options) withDefaults() Options {
	o.Named = cmp.Or(o.Named, "`upstream` of the service")
	o.Dial = cmp.Or(o.Dial, 10*time.Second)
	o.TLSHandshake = cmp.Or(o.TLSHandshake, 10*time.Second)
	o.ResponseHeader = cmp.Or(o.ResponseHeader, 5*time.Minute)
	o.BodyIdle = cmp.Or(o.BodyIdle, 5*time.Minute)
	o.Idle = cmp.Or(o.Idle, 90*time.Second)
	o.Age = cmp.Or(o.Age, time.Minute)
	o.MaxIdle = cmp.Or(o.MaxIdle, 256)
	return o
}

func (o Options) check() error {
	if err := checkHost(o.Host); err != nil {
		return err
	}
	if err := checkProxy(o.Proxy); err != nil {
		return err
	}
	if n, err := strconv.ParseUint(o.Port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != o.Port {
		return fmt.Errorf("reading upstream port %q: not a number from 1 to 65535", o.Port)
	}
	if o.TLS != nil && o.TLS.InsecureSkipVerify {
		return errors.New("reading upstream TLS settings: the certificate has to be verified, or the credential " +
			"could go to anyone")
	}
	return nil
}

// checkHost refuses what a resolver might take for an address in a spelling that
// nobody checked: 2130706433, 0x7f.1, 010.0.0.1 (WHATWG URL, "ends in a number").
func checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return fmt.Errorf("reading upstream host %q: an address with a zone is not supported", host)
		}
		return nil
	}
	if host == "" || strings.ContainsAny(host, ":/@?#[]%\\ \t\r\n\x00") {
		return fmt.Errorf("reading upstream host %q: not a host name", host)
	}
	if err, numeric := legacy(host); numeric {
		return fmt.Errorf("reading upstream host %q: write an IPv4 address as four decimal numbers: %w", host, err)
	}
	return nil
}
