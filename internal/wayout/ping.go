package wayout

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// pinger is what differs between the two versions of ICMP.
type pinger struct {
	family, proto int
	raw           string
	echo          icmp.Type
}

// ping sends an echo request from a socket that needs no rights where net.ipv4.ping_group_range allows it, as in
// Docker's containers, or else from a raw one. Where this process may have neither, a workflow may not either.
func ping(host string, six bool) func(context.Context) (string, error) {
	p := pinger{syscall.AF_INET, syscall.IPPROTO_ICMP, "ip4:icmp", ipv4.ICMPTypeEcho}
	if six {
		p = pinger{syscall.AF_INET6, syscall.IPPROTO_ICMPV6, "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest}
	}
	return func(ctx context.Context) (string, error) {
		conn, err := p.dial(host)
		if is(err, syscall.EACCES, syscall.EPERM) {
			conn, err = new(net.Dialer).DialContext(ctx, p.raw, host)
		}
		if err != nil {
			return "", err
		}
		defer func() { _ = conn.Close() }()
		last, _ := ctx.Deadline()
		if err = conn.SetDeadline(last); err != nil {
			return "", err
		}
		data := []byte(agent)
		packet, err := (&icmp.Message{Type: p.echo, Body: &icmp.Echo{Seq: 1, Data: data}}).Marshal(nil)
		if err != nil {
			return "", err
		}
		if _, err = conn.Write(packet); err != nil {
			return "", err
		}
		return p.pong(conn, data)
	}
}

// dial makes a connected socket: only such a one is told of ICMP messages that refuse what it sends.
func (p pinger) dial(host string) (net.Conn, error) {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return nil, err
	}
	to := syscall.Sockaddr(&syscall.SockaddrInet6{Addr: a.As16()})
	if a.Is4() {
		to = &syscall.SockaddrInet4{Addr: a.As4()}
	}
	s, err := syscall.Socket(p.family, syscall.SOCK_DGRAM, p.proto)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(s)
	file := os.NewFile(uintptr(s), "ping")
	defer func() { _ = file.Close() }() // the connection has its own
	if err := errors.Join(syscall.SetNonblock(s, true), syscall.Connect(s, to)); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

// pong waits for the response that has the same data; others on the socket are about other things.
func (p pinger) pong(conn net.Conn, data []byte) (string, error) {
	buffer := make([]byte, 1500)
	read := conn.Read
	if packets, ok := conn.(net.PacketConn); ok { // a raw one strips the IP header in this way alone
		read = func(b []byte) (int, error) {
			n, _, err := packets.ReadFrom(b)
			return n, err
		}
	}
	for {
		n, err := read(buffer)
		if err != nil {
			return "", err
		}
		m, err := icmp.ParseMessage(p.proto, buffer[:n])
		if err != nil {
			continue
		}
		switch body := m.Body.(type) {
		case *icmp.Echo:
			if m.Type != p.echo && bytes.Equal(body.Data, data) {
				return "an echo", nil
			}
		case *icmp.DstUnreach:
			if bytes.Contains(body.Data, data) {
				return "", noted{errBlocked, "an ICMP message came back: destination unreachable"}
			}
		}
	}
}
