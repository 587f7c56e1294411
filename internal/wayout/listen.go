package wayout

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sync/errgroup"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Heard is what a listener was sent.
type Heard struct {
	Time time.Time `json:"time"`
	From string    `json:"from"`
	On   string    `json:"on"` // "tcp 22", "udp 443"
}

// Listener is the other side of a check with targets of its own: it listens where the probes go, and responds.
type Listener struct {
	Address netip.Addr        // unspecified: all of this machine's
	Heard   func(Heard)       // by one goroutine at a time; may be nil
	Missing func(error)       // is told of a port that could not be listened on; may be nil
	Ready   func(ports []int) // is called when all listen; may be nil
	mu      sync.Mutex
}

// Ports of a listener.
func tcpPorts() []int { return []int{21, 22, 25, 53, 80, 443, 465, 587, 853, 993, 4444, 9418} }
func udpPorts() []int { return []int{53, 123, 443} }

// most connections that a listener has open, and how long each may last.
const (
	mostConns = 256
	connLife  = 5 * time.Second
)

// ErrNoPort means that a listener listens nowhere.
var ErrNoPort = errors.New("no port could be listened on")

// Run listens until ctx ends. Ports that it cannot listen on are named to Missing; the others are served.
func (l *Listener) Run(ctx context.Context) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	var closers []io.Closer
	group, open := new(errgroup.Group), make(chan struct{}, mostConns)
	var ports []int
	for _, port := range tcpPorts() {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", l.at(port))
		if err != nil {
			l.missing(err)
			continue
		}
		ports = append(ports, port)
		closers = append(closers, listener)
		group.Go(guard.Func("listening", func() error { return l.accept(listener, port, certificate, open) }))
	}
	for _, port := range udpPorts() {
		conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", l.at(port))
		if err != nil {
			l.missing(err)
			continue
		}
		ports = append(ports, port)
		closers = append(closers, conn)
		group.Go(guard.Func("listening", func() error { return l.datagrams(conn, port) }))
	}
	if len(ports) == 0 {
		return fault.WithHint(ErrNoPort, "ports below 1024 want root, or: setcap cap_net_bind_service=+ep sallyport")
	}
	if l.Ready != nil {
		l.Ready(ports)
	}
	<-ctx.Done()
	for _, c := range closers {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, group.Wait())
}

func (l *Listener) at(port int) string {
	if !l.Address.IsValid() || l.Address.IsUnspecified() {
		return ":" + strconv.Itoa(port)
	}
	return at(l.Address, port)
}

func (l *Listener) missing(err error) {
	if l.Missing != nil {
		l.Missing(err)
	}
}

func (l *Listener) heard(from net.Addr, network string, port int) {
	if l.Heard == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Heard(Heard{Time: time.Now().UTC(), From: from.String(), On: fmt.Sprint(network, " ", port)})
}

// accept serves connections until the listener is closed.
func (l *Listener) accept(listener net.Listener, port int, c *tls.Certificate, open chan struct{}) error {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		l.heard(conn.RemoteAddr(), "tcp", port)
		select {
		case open <- struct{}{}:
			guard.Go("serving a check", func() {
				defer func() { _ = conn.Close(); <-open }()
				serve(conn, port, c)
			}, func(*fault.Panic) {})
		default: // that it was accepted is what the other side looks at
			_ = conn.Close()
		}
	}
}

// serve responds as a server of the port does, as far as a check looks.
func serve(conn net.Conn, port int, c *tls.Certificate) {
	if conn.SetDeadline(time.Now().Add(connLife)) != nil {
		return
	}
	switch port {
	case 53:
		if q, err := framed(conn); err == nil {
			if a := respond(q); a != nil {
				_, _ = conn.Write(frame(a))
			}
		}
	case 80:
		respondHTTP(conn)
	case 443:
		respondHTTP(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*c}, MinVersion: tls.VersionTLS12}))
	}
}

// respondHTTP reads what comes first and responds to it, whatever it is.
func respondHTTP(conn net.Conn) {
	if n, err := conn.Read(make([]byte, maxHead)); err != nil || n == 0 {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 "+strconv.Itoa(http.StatusNoContent)+" No Content\r\nServer: "+agent+"\r\n"+
		"Connection: close\r\n\r\n")
}

// datagrams responds to each datagram until the socket is closed. A response is hardly longer than what came: nobody
// can use it to flood others.
func (l *Listener) datagrams(conn net.PacketConn, port int) error {
	buffer := make([]byte, maxDNS)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
		l.heard(from, "udp", port)
		response := []byte(agent)[:min(n, len(agent))]
		if port == 53 {
			response = respond(buffer[:n])
		}
		if len(response) > 0 {
			_, _ = conn.WriteTo(response, from)
		}
	}
}

// respond is the response to a DNS question: every name has a text, which is how a check knows that a resolver asked
// somewhere else than in itself.
func respond(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 || m.Response {
		return nil
	}
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RCode: dnsmessage.RCodeSuccess}
	q := m.Questions[0]
	m.Answers, m.Authorities, m.Additionals = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeTXT, Class: q.Class},
		Body:   &dnsmessage.TXTResource{TXT: []string{"ok"}},
	}}, nil, nil
	if q.Type != dnsmessage.TypeTXT {
		m.Answers = nil
	}
	raw, err := m.Pack()
	if err != nil {
		return nil
	}
	return raw
}

// selfSigned is a certificate of this process's life: no check looks whose it is.
func selfSigned() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(7 * 24 * time.Hour),
		DNSNames: []string{agent},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
