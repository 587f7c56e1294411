package swarm

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/docker/docker/client"
)

const (
	maxAnswer = 64 << 20  // bytes of one answer of the engine, its head included; it has no values in it, but all that is known of services
	maxHead   = 256 << 10 // bytes
)

var errAnswerTooLarge = errors.New("the engine's answer is larger than 64 MiB")

// bounded makes a client whose answers have a bound: Docker's own client reads whatever comes. The bound is on the connection,
// because that client accepts no transport but net/http's; so nothing may be compressed below it.
func bounded(host string) (*client.Client, error) {
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second, DisableCompression: true, MaxResponseHeaderBytes: maxHead}
	c, err := client.NewClientWithOpts(client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, err
	}
	dial := transport.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &boundedConn{Conn: conn}, nil
	}
	return c, nil
}

// boundedConn ends when more comes between two writes than an answer may have: in HTTP/1.1 a write begins the next request.
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
