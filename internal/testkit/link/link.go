// Package link is a way between a client and a server that a test can cut: a TCP proxy on loopback.
package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Link forwards connections to one address. Close it.
type Link struct {
	listener net.Listener
	network  string
	target   string
	running  sync.WaitGroup

	mu     sync.Mutex
	open   map[*pair]bool
	refuse bool
	stall  bool
}

// pair is a connection on both sides. While it is stalled no byte passes, and neither side is told.
type pair struct {
	client, server net.Conn
	gate           sync.RWMutex // held for writing while stalled
	stalled        bool
}

// New forwards to target, a host:port or, with network "unix", a socket's path, until the test is over.
func New(t testing.TB, network, target string) *Link {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{listener: listener, network: network, target: target, open: make(map[*pair]bool)}
	l.running.Go(l.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		l.Heal()
		l.Sever()
		l.running.Wait()
	})
	return l
}

// Address is where the link listens.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Stall lets no byte pass any more, on connections that are there and on new ones, and closes none: a network that
// drops everything.
func (l *Link) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stall = true
	l.stallOpen()
}

// StallOpen does so to the connections that are there; new ones work. A firewall that has forgotten them does that.
func (l *Link) StallOpen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stallOpen()
}

func (l *Link) stallOpen() {
	for p := range l.open {
		if !p.stalled {
			p.stalled = true
			p.gate.Lock()
		}
	}
}

// Cut closes every connection and refuses new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	l.refuse = true
	l.mu.Unlock()
	l.Sever()
}

// Heal lets everything pass again; what was held back arrives.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stall, l.refuse = false, false
	for p := range l.open {
		if p.stalled {
			p.stalled = false
			p.gate.Unlock()
		}
	}
}

// Sever closes the connections that are there.
func (l *Link) Sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.open {
		_ = p.client.Close()
		_ = p.server.Close()
	}
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		if p := l.join(client); p != nil {
			l.running.Go(func() { l.carry(p) })
		}
	}
}

func (l *Link) join(client net.Conn) *pair {
	l.mu.Lock()
	defer l.mu.Unlock()
	var server net.Conn
	err := net.ErrClosed
	if !l.refuse {
		server, err = new(net.Dialer).DialContext(context.Background(), l.network, l.target) //nolint:forbidigo // Close ends it
	}
	if err != nil {
		_ = client.Close()
		return nil
	}
	p := &pair{client: client, server: server}
	if l.stall {
		p.stalled = true
		p.gate.Lock()
	}
	l.open[p] = true
	return p
}

func (l *Link) carry(p *pair) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{p.client, p.server}, {p.server, p.client}} {
		both.Go(func() {
			err := p.copy(way[1], way[0])
			if errors.Is(err, io.EOF) {
				if half, ok := way[1].(interface{ CloseWrite() error }); ok {
					_ = half.CloseWrite()
				}
				return
			}
			_ = p.client.Close()
			_ = p.server.Close()
		})
	}
	both.Wait()
	_ = p.client.Close()
	_ = p.server.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, p)
	if p.stalled {
		p.gate.Unlock()
	}
}

// copy passes bytes on while the pair is not stalled; what arrives meanwhile waits.
func (p *pair) copy(to, from net.Conn) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.gate.RLock()
		p.gate.RUnlock() //nolint:staticcheck // to wait is all that is wanted
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}
