package link

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Trap is a way to a server that is cut at one message of the client's: either before the server has it, or after the
// server has answered it and before the client has the answer. A test that sets it to one message after the other goes
// through every instant at which a connection, or a client, can be lost.
type Trap struct {
	listener net.Listener
	network  string
	target   string
	running  sync.WaitGroup

	mu       sync.Mutex
	seen     int // messages since Set
	at       int // 0: none is cut
	answered bool
	sprung   bool
}

// NewTrap forwards to target, a host:port or, with network "unix", a socket's path, until the test is over. It listens
// on loopback.
func NewTrap(t testing.TB, network, target string) *Trap {
	t.Helper()
	return newTrap(t, network, target, "tcp", "127.0.0.1:0")
}

// NewUnixTrap is a trap that listens at path, for clients and servers to whom a unix socket is another thing.
func NewUnixTrap(t testing.TB, path, target string) *Trap {
	t.Helper()
	return newTrap(t, "unix", target, "unix", path)
}

func newTrap(t testing.TB, network, target, listens, at string) *Trap {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), listens, at)
	if err != nil {
		t.Fatal(err)
	}
	p := &Trap{listener: listener, network: network, target: target}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.running.Wait()
	})
	return p
}

// Address is where the trap listens.
func (p *Trap) Address() string { return p.listener.Addr().String() }

// Set has it cut the nth message from now on, counted over all connections; with answered the server handles the
// message before. 0: none.
func (p *Trap) Set(n int, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.at, p.answered, p.sprung = 0, n, answered, false
}

// Sprung tells whether there were as many messages.
func (p *Trap) Sprung() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sprung
}

// next counts a message, and tells whether it is cut, and whether the server gets it all the same.
func (p *Trap) next() (cut, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	if p.at == 0 || p.seen != p.at {
		return false, false
	}
	p.sprung = true
	return true, p.answered
}

func (p *Trap) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.carry(client) })
	}
}

// carry forwards one connection. Whoever ends first closes both sides.
func (p *Trap) carry(client net.Conn) {
	defer client.Close()                                                                  //nolint:errcheck // it is over
	server, err := new(net.Dialer).DialContext(context.Background(), p.network, p.target) //nolint:forbidigo // the connections end it
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it is over
	var gone atomic.Bool // nobody gets the server's answers any more
	ended := make(chan struct{})
	p.running.Go(func() {
		defer close(ended)
		defer client.Close() //nolint:errcheck // it is over
		buffer := make([]byte, 32<<10)
		for {
			n, err := server.Read(buffer)
			if gone.Load() {
				return
			}
			if n > 0 {
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	buffer := make([]byte, 32<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		cut, answered := p.next()
		if cut && !answered {
			return
		}
		if cut {
			gone.Store(true)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if cut {
			<-ended // the server's answer, or its end
			return
		}
	}
}
