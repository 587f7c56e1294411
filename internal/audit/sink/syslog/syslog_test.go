package syslog_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/audit/sink"
	"sallyport/internal/audit/sink/sinktest"
	"sallyport/internal/audit/sink/syslog"
	"sallyport/internal/fault"
)

func TestKind(t *testing.T) { sinktest.Kind(t, syslog.Kind()) }

// strict is a server that reads as the RFCs say, and not one byte otherwise.
type strict struct {
	*sinktest.Receiver

	t       *testing.T
	config  *tls.Config
	address string
	mu      sync.Mutex
	l       net.Listener
	conns   map[net.Conn]bool
	silent  atomic.Bool // ends connections without a close_notify
}

// certificate is a self-signed one for 127.0.0.1, and the files of it and its key.
func certificate(t *testing.T) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "syslog"}, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "crt.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err = tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return pair, certFile, keyFile
}

func newStrict(t *testing.T) (*strict, *sinktest.World) {
	pair, certFile, keyFile := certificate(t)
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	s := &strict{Receiver: sinktest.NewReceiver(), t: t, conns: map[net.Conn]bool{}}
	s.config = &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}
	s.start()
	t.Cleanup(s.stop)
	return s, &sinktest.World{
		Receiver: s.Receiver, Stop: s.stop, Start: s.start, Without: []sinktest.Mode{sinktest.TooLarge},
		Open: func(t *testing.T) sink.Sink {
			settings := &syslog.Settings{
				Address: s.address, Facility: "audit", AppName: "sallyport", CAFile: certFile, CertFile: certFile,
				KeyFile: keyFile,
			}
			opened, err := settings.Open(t.Context(), sink.Host{Hostname: "node 1"})
			if err != nil {
				t.Fatal(err)
			}
			return opened
		},
	}
}

func (s *strict) start() {
	address := s.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.l, s.address = l, l.Addr().String()
	s.mu.Unlock()
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
}

func (s *strict) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.l.Close()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

func (s *strict) serve(raw net.Conn) {
	conn := tls.Server(raw, s.config)
	defer raw.Close()
	in := bufio.NewReader(conn)
	if _, err := in.Peek(1); err != nil {
		return
	}
	switch mode := s.Mode(); mode {
	case sinktest.Refuse, sinktest.Break: // with something unread: a reset
		return
	case sinktest.Block, sinktest.Slow:
		one := make([]byte, 1)
		for n := 0; mode == sinktest.Slow || n == 0; n++ {
			if _, err := in.Read(one); err != nil {
				break
			}
		}
		_, _ = io.Copy(io.Discard, raw) // until the sink has had enough
		return
	case sinktest.Lie:
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		_, _ = io.Copy(io.Discard, in)
		return
	}
	var taken []sinktest.Taken
	for {
		one, err := readFrame(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrUnexpectedEOF) {
				s.t.Errorf("reading a frame: %v", err)
			}
			return
		}
		taken = append(taken, one)
	}
	for _, one := range taken {
		s.Keep(one.Seq, one.Text)
	}
	if !s.silent.Load() {
		_ = conn.Close()
	}
}

// message is RFC 5424's grammar, as far as it applies.
var message = regexp.MustCompile(`(?s)^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ` +
	`([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) \[meta sequenceId="([1-9]\d*)"\] (.*)$`)

func readFrame(in *bufio.Reader) (sinktest.Taken, error) {
	length, err := in.ReadString(' ')
	if err != nil {
		if length == "" {
			return sinktest.Taken{}, err
		}
		return sinktest.Taken{}, fmt.Errorf("the length %q: %w", length, io.ErrUnexpectedEOF)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
	if err != nil || n < 1 || length[0] == '0' {
		return sinktest.Taken{}, fmt.Errorf("the length is %q", length)
	}
	msg := make([]byte, n)
	if _, err := io.ReadFull(in, msg); err != nil {
		return sinktest.Taken{}, err
	}
	m := message.FindStringSubmatch(string(msg))
	if m == nil {
		return sinktest.Taken{}, fmt.Errorf("no message of RFC 5424: %q", msg)
	}
	if pri, _ := strconv.Atoi(m[1]); pri/8 != 13 || m[3] != "node_1" || m[4] != "sallyport" {
		return sinktest.Taken{}, fmt.Errorf("the header is %q", m[1:7])
	}
	seq, err := strconv.Atoi(m[7])
	return sinktest.Taken{Seq: seq, Text: m[8]}, err
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) *sinktest.World {
		_, w := newStrict(t)
		return w
	})
}

// TestWithoutCloseNotify: a connection that just ends is no acknowledgement, although everything may have been read.
func TestWithoutCloseNotify(t *testing.T) {
	s, w := newStrict(t)
	s.silent.Store(true)
	opened := w.Open(t)
	batch := []sink.Item{{Seq: 1, Text: []byte("{}")}}
	err := opened.Ship(t.Context(), batch)
	if err == nil || !strings.Contains(fault.HintOf(err), "acknowledge: close") {
		t.Errorf("got %v", err)
	}
	s.silent.Store(false)
	if err := opened.Ship(t.Context(), batch); err != nil {
		t.Error(err)
	}
}

// TestNotTrusted: nothing is sent to a server whose certificate is not trusted, or with no certificate where it wants
// one.
func TestNotTrusted(t *testing.T) {
	s, _ := newStrict(t)
	_, otherCert, _ := certificate(t)
	for name, settings := range map[string]*syslog.Settings{
		"another CA":     {Address: s.address, CAFile: otherCert},
		"system's roots": {Address: s.address},
	} {
		opened, err := settings.Open(t.Context(), sink.Host{})
		if err != nil {
			t.Fatal(err)
		}
		err = opened.Ship(t.Context(), []sink.Item{{Seq: 1, Text: []byte("{}")}})
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := s.Got(); len(got) > 0 {
		t.Errorf("it has %v", got)
	}
}
