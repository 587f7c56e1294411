package dockerapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/moby/moby/client"
)

const (
	// bytes of one answer of the engine, its head included; it has no values in it, but all that is known of services
	maxAnswer = 64 << 20
	maxHead   = 256 << 10 // bytes
	dialTime  = 10 * time.Second
)

var errAnswerTooLarge = errors.New("the engine's response is larger than 64 MiB")

// bounded makes a client whose answers have a bound: Docker's own client reads whatever comes. The bound is on the
// connection, because that client accepts no transport but net/http's; so nothing may be compressed below it. It gets
// the host first and the transport then, since a host sets up the transport that is there.
func bounded(host string) (*client.Client, error) {
	parsed, err := client.ParseHostURL(host)
	if err != nil {
		return nil, err
	}
	network, address := "tcp", ""
	transport := &http.Transport{
		MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		MaxResponseHeaderBytes: maxHead,
	}
	switch parsed.Scheme {
	case "unix":
		network, address = "unix", parsed.Host
	case "https":
		// Without it the client speaks plain HTTP to such a host.
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if network == "tcp" {
		transport.Proxy = http.ProxyFromEnvironment
	}
	dialer := &net.Dialer{Timeout: dialTime}
	transport.DialContext = func(ctx context.Context, _, asked string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, cmp.Or(address, asked))
		if err != nil {
			return nil, err
		}
		return &boundedConn{Conn: conn}, nil
	}
	return client.New(client.WithHost(host),
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}))
}

// boundedConn ends when more comes between two writes than an answer may have: in HTTP/1.1 a write begins the next
// request.
type boundedConn struct {
	net.Conn

	taken atomic.Int64
}

// Write implements net.Conn.
func (b *boundedConn) Write(p []byte) (int, error) {
	b.taken.Store(0)
	return b.Conn.Write(p)
}

// Read implements net.Conn.
func (b *boundedConn) Read(p []byte) (int, error) {
	if b.taken.Load() > maxAnswer {
		return 0, errAnswerTooLarge
	}
	n, err := b.Conn.Read(p)
	b.taken.Add(int64(n))
	return n, err
}
