package wire

import "net"

// Listen wraps every accepted connection of l. Wrap outside TLS: the Conn must see plain HTTP.
func Listen(l net.Listener, maxHead int) net.Listener { return listener{l, maxHead} }

type listener struct {
	net.Listener
	maxHead int
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return NewConn(c, l.maxHead), nil
}
