package egress

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/proxy"
)

// maxConnectHead is the largest response to CONNECT, in bytes, that is read.
const maxConnectHead = 16 << 10

// via is the way through a proxy. The destination is looked up and checked here, and the proxy is asked for that very
// address: what it would look up itself nobody could check. The proxy's own address is the operator's word; only a
// metadata service is refused.
type via struct {
	url     *url.URL
	address string // of the proxy, host:port
	user    func() *url.Userinfo
	dialer  net.Dialer
}

func newVia(o Options) *via {
	if o.Proxy == nil {
		return nil
	}
	port := o.Proxy.Port()
	if port == "" {
		port = "80"
		if o.Proxy.Scheme != "http" {
			port = "1080"
		}
	}
	v := &via{url: o.Proxy, address: net.JoinHostPort(o.Proxy.Hostname(), port), user: o.ProxyUser}
	anywhere := append([]netip.Prefix{prefix("0.0.0.0/0"), prefix("::/0")}, o.AllowPrivate...)
	v.dialer = net.Dialer{
		Timeout: max(o.Dial, 0), Resolver: o.Resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(address)
			if err != nil {
				return &ProhibitedError{Class: Invalid}
			}
			if o.Own != nil && o.Own().Has(ip) {
				return &ProhibitedError{Addr: ip.Addr(), Class: OwnListener}
			}
			return Check(ip.Addr(), anywhere)
		},
	}
	return v
}

func checkProxy(u *url.URL) error {
	switch {
	case u == nil:
		return nil
	case u.Scheme != "http" && u.Scheme != "socks5":
		return fmt.Errorf("reading proxy: the scheme %q is neither http nor socks5", u.Scheme)
	case u.User != nil:
		return errors.New("reading proxy: user and password do not belong in the URL")
	}
	return checkHost(u.Hostname())
}

// dialVia opens a connection to the destination through the proxy.
func (d *dialer) dialVia(ctx context.Context) (net.Conn, error) {
	if d.net.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.net.Timeout)
		defer cancel()
	}
	targets, err := d.checked(ctx)
	if err != nil {
		return nil, &phaseError{phase: phaseDial, named: d.named, err: err}
	}
	for _, target := range targets {
		var conn net.Conn
		if conn, err = d.via.connect(ctx, target); err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// checked looks the destination up and returns the addresses that may be dialled.
func (d *dialer) checked(ctx context.Context) ([]string, error) {
	host, port, err := net.SplitHostPort(d.target)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	addrs, err := lookUp(ctx, d.net.Resolver, host)
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, addr := range addrs {
		if refusal := Check(addr, d.allow); refusal != nil {
			err = refusal
			continue
		}
		targets = append(targets, netip.AddrPortFrom(addr.Unmap(), uint16(n)).String())
	}
	if len(targets) == 0 {
		return nil, err
	}
	return targets, nil
}

func lookUp(ctx context.Context, r *net.Resolver, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if r == nil {
		r = net.DefaultResolver
	}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, err
}

// connect asks the proxy for an address.
func (v *via) connect(ctx context.Context, target string) (net.Conn, error) {
	if v.url.Scheme != "http" {
		return v.socks(ctx, target)
	}
	conn, err := v.dialer.DialContext(ctx, "tcp", v.address)
	if err != nil {
		return nil, &proxyError{what: proxyUnreachable, err: err}
	}
	if err := v.tunnel(ctx, conn, target); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// tunnel is CONNECT (RFC 9110 section 9.3.6).
func (v *via) tunnel(ctx context.Context, conn net.Conn, target string) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	var head strings.Builder
	head.WriteString("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n")
	if user, password, ok := v.userinfo(); ok {
		head.WriteString("Proxy-Authorization: Basic " +
			base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n")
	}
	head.WriteString("\r\n")
	if _, err := io.WriteString(conn, head.String()); err != nil {
		stop()
		return &proxyError{what: proxyBroken, err: err}
	}
	r := bufio.NewReader(io.LimitReader(conn, maxConnectHead))
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // the connection is the tunnel
	switch {
	case !stop():
		err = &proxyError{what: proxyBroken, err: context.Cause(ctx)}
	case err != nil:
		err = &proxyError{what: proxyBroken, err: err}
	case resp.StatusCode == http.StatusProxyAuthRequired:
		err = &proxyError{what: proxyDenies}
	case resp.StatusCode/100 != 2:
		err = &proxyError{what: proxyRefuses, status: resp.StatusCode}
	case r.Buffered() > 0:
		err = &proxyError{what: proxyBroken, err: errors.New("something came before it was asked for")}
	}
	return err
}

func (v *via) userinfo() (user, password string, ok bool) {
	if v.user == nil {
		return "", "", false
	}
	u := v.user()
	if u == nil {
		return "", "", false
	}
	password, _ = u.Password()
	return u.Username(), password, true
}

// socks is RFC 1928, with RFC 1929 for user and password.
func (v *via) socks(ctx context.Context, target string) (net.Conn, error) {
	var auth *proxy.Auth
	if user, password, ok := v.userinfo(); ok {
		auth = &proxy.Auth{User: user, Password: password}
	}
	reached := &reachedDialer{dialer: &v.dialer}
	d, err := proxy.SOCKS5("tcp", v.address, auth, reached)
	if err != nil {
		return nil, &proxyError{what: proxyBroken, err: err}
	}
	with, ok := d.(proxy.ContextDialer)
	if !ok {
		return nil, &proxyError{what: proxyBroken, err: errors.New("the dialer knows no context")}
	}
	conn, err := with.DialContext(ctx, "tcp", target)
	if err == nil {
		return conn, nil
	}
	what := proxyRefuses
	switch text := err.Error(); {
	case reached.err != nil:
		what, err = proxyUnreachable, reached.err
	case strings.Contains(text, "authentication"):
		what = proxyDenies
	case ctx.Err() != nil, strings.Contains(text, "EOF"), strings.Contains(text, "version"):
		what = proxyBroken
	}
	return nil, &proxyError{what: what, err: err}
}

// reachedDialer tells the way to the proxy from what the proxy says.
type reachedDialer struct {
	dialer *net.Dialer
	err    error
}

// Dial implements proxy.Dialer; it is not called.
func (d *reachedDialer) Dial(string, string) (net.Conn, error) {
	return nil, errors.New("dialling proxy: no context")
}

// DialContext implements proxy.ContextDialer.
func (d *reachedDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dialer.DialContext(ctx, network, address)
	d.err = err
	return conn, err
}

// What can be wrong with a proxy.
const (
	proxyUnreachable = "can't be reached"
	proxyDenies      = "wants another user or password"
	proxyRefuses     = "refused to connect to the API"
	proxyBroken      = "answered in a way that is no proxy's, or not at all"
)

// proxyError is a failure on the way to or in the proxy. Its cause may quote what the proxy sent.
type proxyError struct {
	what   string
	status int // of the response to CONNECT, where there was one
	err    error
}

func (e *proxyError) Error() string {
	text := "dialling: the proxy " + e.what
	if e.status != 0 {
		text += " (status " + strconv.Itoa(e.status) + ")"
	}
	return text
}

func (e *proxyError) Unwrap() error { return e.err }
