package wayout

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// agent is what requests of a check call themselves, so that whoever sees one in a log knows what it was.
const agent = "sallyport-egress-check"

// maxHead is how much is read of what comes back, in bytes.
const maxHead = 8 << 10

// plainHTTP sends a request without any proxy, as a program does that reads no proxy variables. A response of the gate
// itself shows that a rule led there, and nothing left.
func plainHTTP(to, upgrade string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		conn, err := dial(ctx, "tcp", to)
		if err != nil {
			return "", err
		}
		defer func() { _ = conn.Close() }()
		host, _, _ := net.SplitHostPort(to)
		_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n%s\r\n", host, agent, upgrade)
		return headOf(conn)
	}
}

// headOf reads a response's head. The connection is there: that alone shows that something took it.
func headOf(conn io.Reader) (string, error) {
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxHead)), nil)
	if err != nil {
		return "connected, and no HTTP response", nil //nolint:nilerr // the connection is what is asked about
	}
	_ = resp.Body.Close()
	if strings.HasPrefix(resp.Header.Get("Proxy-Status"), "sallyport") {
		return "", noted{errBlocked, "the gate itself responded, " + resp.Status}
	}
	return "response " + resp.Status, nil
}

const webSocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: c2FsbHlwb3J0LWNoZWNrLg==\r\n"

// overTLS asks a DNS question over HTTPS (RFC 8484). Whose certificate it is does not matter: nothing secret is sent,
// and that anything responds is what is asked about.
func overTLS(to, name string, question []byte) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		plain, err := dial(ctx, "tcp", to)
		if err != nil {
			return "", err
		}
		defer func() { _ = plain.Close() }()
		conn := tls.Client(plain, &tls.Config{
			ServerName: name, MinVersion: tls.VersionTLS12,
			InsecureSkipVerify: true, //nolint:gosec // see above
		})
		if err = conn.HandshakeContext(ctx); err != nil {
			return "", noted{errDoubt, "connected, and no TLS: " + err.Error()}
		}
		_, err = fmt.Fprintf(conn, "POST /dns-query HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nConnection: close\r\n"+
			"Content-Type: application/dns-message\r\nContent-Length: %d\r\n\r\n%s",
			name, agent, len(question), question)
		if err != nil {
			return "", err
		}
		return headOf(conn)
	}
}

// quic sends a long header of a version that nobody speaks, which every server has to respond to with those that it
// speaks (RFC 9000, section 6.1): no handshake and no key.
func quic(to string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		packet := make([]byte, 1200) // less is not responded to
		if _, err := rand.Read(packet[:32]); err != nil {
			return "", err
		}
		packet[0] |= 0xc0
		binary.BigEndian.PutUint32(packet[1:], 0x1a2a3a4a)
		packet[5], packet[14] = 8, 8 // lengths of the connection IDs, which follow
		return exchange(ctx, to, packet, func(b []byte) (string, error) {
			if len(b) > 6 && b[0]&0x80 != 0 && binary.BigEndian.Uint32(b[1:]) == 0 {
				return "QUIC version negotiation", nil
			}
			return fmt.Sprintf("a datagram of %d bytes", len(b)), nil
		})
	}
}

// clock asks for the time (RFC 5905, a client's packet of version 4).
func clock(to string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		packet := make([]byte, 48)
		packet[0] = 0x23
		return exchange(ctx, to, packet, func(b []byte) (string, error) {
			return fmt.Sprintf("a datagram of %d bytes", len(b)), nil
		})
	}
}

// through asks a proxy for a tunnel, without credentials.
func through(proxy *url.URL, to string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		conn, err := dial(ctx, "tcp", withPort(proxy))
		if err != nil {
			return "", noted{errBlocked, "no connection to the proxy: " + reason(err)}
		}
		defer func() { _ = conn.Close() }()
		if proxy.Scheme == "https" {
			conn = tls.Client(conn, &tls.Config{
				ServerName: proxy.Hostname(), MinVersion: tls.VersionTLS12,
				InsecureSkipVerify: true, //nolint:gosec // nothing secret is sent
			})
		}
		_, _ = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n\r\n", to, to, agent)
		request := &http.Request{Method: http.MethodConnect}
		resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxHead)), request)
		if err != nil {
			return "", noted{errDoubt, "the proxy gave no HTTP response: " + err.Error()}
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return "the proxy made a tunnel for a caller without credentials", nil
		}
		return "", noted{errBlocked, "the proxy refused, " + resp.Status}
	}
}

// withPort is a proxy's address with its port.
func withPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// socket asks whether a socket of this machine takes a connection.
func socket(path string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return "", noted{errBlocked, "no connection: " + reason(err)}
		}
		return "connected", errors.Join(conn.Close())
	}
}
