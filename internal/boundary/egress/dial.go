package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/fault"
)

// dialer connects to one destination and to nothing else.
type dialer struct {
	target    string // host:port
	port      string
	named     string // what names the destination to a person
	allow     []netip.Prefix
	own       func() *Own
	net       net.Dialer
	via       *via // nil: straight
	tls       *tls.Config
	handshake time.Duration
	dialled   func(error)
	age       time.Duration
}

func newDialer(o Options, target string) *dialer {
	d := &dialer{
		target: target, port: o.Port, named: o.Named, allow: o.AllowPrivate, own: o.Own,
		handshake: o.TLSHandshake, via: newVia(o), dialled: o.Dialled, age: o.Age,
	}
	d.net = net.Dialer{Timeout: max(o.Dial, 0), Resolver: o.Resolver, ControlContext: d.control}
	if o.TLS == nil {
		return d
	}
	d.tls = o.TLS.Clone()
	d.tls.MinVersion = max(d.tls.MinVersion, tls.VersionTLS12)
	d.tls.NextProtos = []string{"http/1.1"}
	if o.HTTP2 {
		d.tls.NextProtos = []string{"h2", "http/1.1"}
	}
	if d.tls.ServerName == "" {
		d.tls.ServerName = strings.TrimSuffix(o.Host, ".")
	}
	if d.tls.ClientSessionCache == nil {
		d.tls.ClientSessionCache = tls.NewLRUClientSessionCache(tlsSessions)
	}
	return d
}

// told is dial, with whoever wants to know told how it ended.
func (d *dialer) told(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string,
	string) (net.Conn, error) {
	if d.dialled == nil {
		return dial
	}
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		defer func() {
			if v := recover(); v != nil { // nobody else would in the transport's goroutine
				if conn != nil {
					_ = conn.Close()
				}
				conn, err = nil, fault.Panicked("telling of a connection", v)
			}
		}()
		conn, err = dial(ctx, network, address)
		if !errors.Is(err, context.Canceled) && !errors.Is(ctx.Err(), context.Canceled) {
			d.dialled(err)
		}
		return conn, err
	}
}

// dial opens the connection, with address checked in control.
//
// The transport dials in goroutines of its own, so a panic is turned into an error here.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return keep(conn, conn, d.age), nil
}

func (d *dialer) connect(ctx context.Context, network, address string) (_ net.Conn, err error) {
	defer fault.Recover("dialling", &err)
	if !strings.EqualFold(address, d.target) {
		return nil, &otherDestinationError{got: address, only: d.target}
	}
	if d.via != nil {
		return d.dialVia(ctx)
	}
	conn, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, &phaseError{phase: phaseDial, named: d.named, err: err}
	}
	return newSocket(conn), nil
}

// dialTLS is dial with the handshake, which is done here so that its errors can be
// told from all others.
func (d *dialer) dialTLS(ctx context.Context, network, address string) (_ net.Conn, err error) {
	defer fault.Recover("dialling over TLS", &err)
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if d.handshake > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.handshake)
		defer cancel()
	}
	secure := tls.Client(conn, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the one to tell
		return nil, &phaseError{phase: phaseTLS, named: d.named, err: err}
	}
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		return secure, nil // net/http knows the protocol by the type
	}
	return keep(secure, conn, d.age), nil
}

// refuseTLS stands in dialTLS's place for a service over plain HTTP.
func (d *dialer) refuseTLS(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("dialling: the service is not over TLS")
}

// control sees every address before connect(2) does. Package net calls it in goroutines of its own where a name has
// addresses of both families.
func (d *dialer) control(_ context.Context, _, address string, _ syscall.RawConn) (err error) {
	defer fault.Recover("checking an address", &err)
	ip, err := netip.ParseAddrPort(address)
	if err != nil {
		return &ProhibitedError{Class: Invalid}
	}
	if strconv.Itoa(int(ip.Port())) != d.port {
		return &otherDestinationError{got: address, only: d.target}
	}
	return d.check(ip)
}

// check is Check, and never a listener of this process, whatever allow says.
func (d *dialer) check(to netip.AddrPort) error {
	if d.own != nil && d.own().Has(to) {
		return &ProhibitedError{Addr: to.Addr(), Class: OwnListener}
	}
	return Check(to.Addr(), d.allow)
}

// otherDestinationError is a request or a dial that is not for the service's
// upstream. It can only come from a mistake in Sallyport.
type otherDestinationError struct{ got, only string }

func (e *otherDestinationError) Error() string {
	return fmt.Sprintf("dialling %q: the service is bound to %q", e.got, e.only)
}

// The phases before a request is sent.
const (
	phaseDial = "dial"
	phaseTLS  = "TLS handshake"
)

// phaseError says how far a connection got.
type phaseError struct {
	phase string
	named string
	err   error
}

func (e *phaseError) Error() string { return e.phase + ": " + e.err.Error() }
func (e *phaseError) Unwrap() error { return e.err }
