package egress_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

const short = 50 * time.Millisecond

// TestUpstreamFailures has an upstream that fails in each way, up to the header.
func TestUpstreamFailures(t *testing.T) {
	tests := []struct {
		name    string
		serve   func(net.Conn)
		code    fault.Code
		details string
	}{
		{"reset", func(c net.Conn) { readHeader(c); reset(c) }, fault.UpstreamReset, "connection reset"},
		{"closed", readHeader, fault.UpstreamReset, "connection closed"},
		{"half a header", answer("HTTP/1.1 200 OK\r\n"), fault.UpstreamReset, "connection closed"},
		{"stalls", stall, fault.UpstreamTimeout, "response header"},
		{"not HTTP", answer("SSH-2.0-OpenSSH_9.2 CANARY\r\n\r\n"), fault.UpstreamMalformed, "header"},
		{"bad status", answer("HTTP/1.1 abc OK\r\n\r\n"), fault.UpstreamMalformed, "header"},
		{"bad header", answer("HTTP/1.1 200 OK\r\nCANARY\r\n\r\n"), fault.UpstreamMalformed, "header"},
		{"two lengths", answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), fault.UpstreamMalformed, "header"},
		{"bad length", answer("HTTP/1.1 200 OK\r\nContent-Length: CANARY\r\n\r\nab"), fault.UpstreamMalformed, "header"},
		{"unknown transfer coding", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: CANARY\r\n\r\nab"), fault.UpstreamMalformed, "header"},
		{"endless header", answer("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), fault.UpstreamMalformed, "header"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := rawServer(t, tt.serve)
			tr := transport(t, api, func(o *egress.Options) {
				if tt.name == "stalls" {
					o.ResponseHeader = short
				}
			})
			_, err := get(t, tr, api)
			wantFault(t, egress.Classify(err), tt.code, tt.details)
		})
	}
}

// TestBodyFailures has an upstream that fails behind the header.
func TestBodyFailures(t *testing.T) {
	tests := []struct {
		name    string
		serve   func(net.Conn)
		code    fault.Code
		details string
	}{
		{"short of its length", answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), fault.UpstreamTruncated, ""},
		{"no last chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), fault.UpstreamTruncated, ""},
		{"in the trailer", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"), fault.UpstreamTruncated, ""},
		{"endless chunk extension", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 1<<16) + "\r\nabc"), fault.UpstreamMalformed, ""},
		{"in a chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"), fault.UpstreamTruncated, ""},
		{"bad chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nCANARY\r\nabc"), fault.UpstreamMalformed, ""},
		{"reset", func(c net.Conn) {
			answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")(c)
			_, _ = c.Read(make([]byte, 1)) // until the test has read what came
			reset(c)
		}, fault.UpstreamReset, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := rawServer(t, tt.serve)
			pr, pw := io.Pipe()
			defer pw.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if tt.name == "reset" {
				req.Body = pr
			}
			resp, err := transport(t, api, nil).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if tt.name == "reset" {
				if _, err := io.ReadFull(resp.Body, make([]byte, 3)); err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = pw.Write([]byte("x")) }()
			}
			_, err = io.Copy(io.Discard, resp.Body)
			wantFault(t, egress.ClassifyBody(err), tt.code, tt.details)
		})
	}
}

// answer reads a request's header and sends text.
func answer(text string) func(net.Conn) {
	return func(c net.Conn) {
		readHeader(c)
		_, _ = io.WriteString(c, text)
	}
}

// stall takes everything and answers nothing, until the other side gives up.
func stall(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// reset makes closing the connection a RST.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func TestDialFailures(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = get(t, transport(t, closed, nil), closed)
	wantFault(t, egress.Classify(err), fault.UpstreamRefused, "connection refused")

	late := transport(t, closed, func(o *egress.Options) { o.Dial = time.Nanosecond })
	_, err = get(t, late, closed)
	wantFault(t, egress.Classify(err), fault.UpstreamTimeout, "dial")
}

func TestTLSFailures(t *testing.T) {
	now := time.Now()
	good := leaf{name: "127.0.0.1", from: now.Add(-time.Hour), to: now.Add(time.Hour)}
	expired, future, other := good, good, good
	expired.to = now.Add(-time.Minute)
	future.from = now.Add(time.Minute)
	other.name = "127.0.0.2"
	tests := []struct {
		name    string
		leaf    leaf
		change  func(server, client *tls.Config)
		details string
		hint    string
	}{
		{"unknown authority", good, func(_, c *tls.Config) {
			c.RootCAs = x509.NewCertPool()
		}, "unknown authority", "ca_file"},
		{"another name", other, nil, "name mismatch", "host"},
		{"expired", expired, nil, "expired", "renew"},
		{"not yet valid", future, nil, "expired", "clock"},
		{"wants a certificate", good, func(s, _ *tls.Config) {
			s.ClientAuth = tls.RequireAnyClientCert
			s.MaxVersion = tls.VersionTLS12
		}, "TLS alert", "client certificate"},
		{"wants a certificate, TLS 1.3", good, func(s, _ *tls.Config) {
			s.ClientAuth = tls.RequireAnyClientCert
			s.MinVersion = tls.VersionTLS13
		}, "TLS alert: client certificate", "client certificate"},
		{"too old", good, func(s, _ *tls.Config) {
			s.MinVersion = tls.VersionTLS10
			s.MaxVersion = tls.VersionTLS11
		}, "no shared TLS version", "1.2"},
		{"no shared cipher", good, func(s, _ *tls.Config) {
			s.MaxVersion = tls.VersionTLS12
			s.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} // what an old server has
		}, "handshake failure", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
		{"another server name", good, func(s, _ *tls.Config) {
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return nil, errors.New("no such name")
			}
		}, "TLS", "TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, client := configs(t, tt.leaf)
			if tt.change != nil {
				tt.change(server, client)
			}
			api := rawServer(t, func(c net.Conn) { _ = tls.Server(c, server).HandshakeContext(t.Context()) })
			api = strings.Replace(api, "http", "https", 1)
			_, err := get(t, transport(t, api, func(o *egress.Options) { o.TLS = client }), api)
			got := egress.Classify(err)
			wantFault(t, got, fault.UpstreamTLS, tt.details)
			if !strings.Contains(got.Hint, tt.hint) {
				t.Errorf("hint %q lacks %q", got.Hint, tt.hint)
			}
		})
	}
}

func TestTLSHandshakeFailures(t *testing.T) {
	tests := []struct {
		name    string
		serve   func(net.Conn)
		code    fault.Code
		details string
	}{
		{"plain HTTP", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = c.Read(make([]byte, 1<<10))
		}, fault.UpstreamTLS, "not TLS"},
		{"closes", func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<10)) }, fault.UpstreamTLS, "handshake failed"},
		{"stalls", stall, fault.UpstreamTimeout, "TLS handshake"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := strings.Replace(rawServer(t, tt.serve), "http", "https", 1)
			tr := transport(t, api, func(o *egress.Options) {
				o.TLS = &tls.Config{}
				if tt.name == "stalls" {
					o.TLSHandshake = short
				}
			})
			_, err := get(t, tr, api)
			wantFault(t, egress.Classify(err), tt.code, tt.details)
		})
	}
}

// leaf is what a test's server certificate says.
type leaf struct {
	name     string
	from, to time.Time
}

// configs returns a server with that certificate and a client that trusts its
// authority.
func configs(t *testing.T, l leaf) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.ParseIP(l.name)},
		NotBefore: l.from, NotAfter: l.to, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: pool}
}

func TestRequestBodyFailure(t *testing.T) {
	api := rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for _, tt := range []struct {
		err  error
		code fault.Code
	}{
		{io.ErrUnexpectedEOF, fault.ClientGone},
		{&http.MaxBytesError{Limit: 1}, fault.BodyTooLarge},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api+secretQuery, iotest.ErrReader(tt.err))
		if err != nil {
			t.Fatal(err)
		}
		_, err = transport(t, api, nil).RoundTrip(req)
		wantFault(t, egress.Classify(err), tt.code, "")
	}
}

func TestClassifyOthers(t *testing.T) {
	if egress.Classify(nil) != nil || egress.ClassifyBody(nil) != nil {
		t.Error("nil is a fault")
	}
	draining := fault.New(fault.Draining, "stopping")
	wrapped := &url.Error{
		Op: "Get", URL: "https://api.example.com/" + secretQuery,
		Err: fmt.Errorf("doing: %w", draining),
	}
	if got := egress.Classify(wrapped); got != draining {
		t.Errorf("a fault in the chain became %v", got)
	}
	if got := egress.ClassifyBody(wrapped); got != draining {
		t.Errorf("a fault in the chain became %v", got)
	}
	plain := &url.Error{Op: "Get", URL: "https://api.example.com/" + secretQuery, Err: context.DeadlineExceeded}
	wantFault(t, egress.Classify(plain), fault.UpstreamTimeout, "")
	wantFault(t, egress.ClassifyBody(plain), fault.UpstreamTimeout, "")
	wantFault(t, egress.ClassifyBody(context.Canceled), fault.ClientGone, "")
	if !errors.Is(egress.Classify(plain), context.DeadlineExceeded) {
		t.Error("the cause is lost")
	}
}
