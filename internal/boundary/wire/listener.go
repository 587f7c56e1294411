package wire

import (
	"net"
	"time"
)

// Listen wraps every accepted connection of l, as many at one time as limit allows. Wrap outside TLS: the Conn must see plain HTTP.
func Listen(l net.Listener, maxHead int, limit Limit) net.Listener {
	return listener{l, maxHead, newRegister(limit)}
}

type listener struct {
	net.Listener
	maxHead  int
	register *register
}

func (l listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := NewConn(nc, l.maxHead)
		c.idle.Store(time.Now().UnixNano())
		if l.register.add(c) {
			return c, nil
		}
		c.abandon()
	}
}
