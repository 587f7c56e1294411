package ca_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/boundary/ca"
	"sallyport/internal/localfile"
)

func create(t *testing.T) (*ca.CA, string) {
	t.Helper()
	dir := t.TempDir()
	if err := ca.Create(dir); err != nil {
		t.Fatal(err)
	}
	c, err := ca.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

func TestCreate(t *testing.T) {
	_, dir := create(t)
	info, err := os.Stat(filepath.Join(dir, ca.KeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v; want mode 0600", info.Mode(), err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, ca.CertFile))
	if err := ca.Create(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second Create: got %v, want os.ErrExist", err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, ca.CertFile))
	if string(before) != string(after) {
		t.Error("the CA was replaced")
	}
	block, _ := pem.Decode(after)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !cert.IsCA || !cert.MaxPathLenZero || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("got %+v, %v; want a CA that signs leaves alone", cert, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	if _, err := ca.Load(t.TempDir()); err == nil {
		t.Error("an empty folder: got no error")
	}
	_, first := create(t)
	_, second := create(t)
	key, _ := os.ReadFile(filepath.Join(second, ca.KeyFile))
	if err := os.WriteFile(filepath.Join(first, ca.KeyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Load(first); err == nil {
		t.Error("another CA's key: got no error")
	}
}

// handshake connects to a listener with config as a client that trusts the CA.
func handshake(t *testing.T, config, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	defer func() { _ = l.Close(); <-done }()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, client)
	err = c.Handshake()
	return c.ConnectionState(), err
}

func TestServerConfig(t *testing.T) {
	c, _ := create(t)
	config := c.ServerConfig([]string{"gate.internal", "127.0.0.1", "::1"})
	var serial string
	for _, name := range []string{"gate.internal", "127.0.0.1", "::1"} {
		state, err := handshake(t, config, &tls.Config{RootCAs: c.Pool(), ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		leaf := state.PeerCertificates[0]
		if leaf.IsCA || state.Version < tls.VersionTLS12 {
			t.Errorf("%s: got %+v, TLS %x", name, leaf, state.Version)
		}
		if serial != "" && serial != leaf.SerialNumber.String() {
			t.Error("each handshake makes a certificate of its own")
		}
		serial = leaf.SerialNumber.String()
	}
	other, _ := create(t)
	for name, client := range map[string]*tls.Config{
		"another name": {RootCAs: c.Pool(), ServerName: "other.internal"},
		"another CA":   {RootCAs: other.Pool(), ServerName: "gate.internal"},
		"old TLS":      {RootCAs: c.Pool(), ServerName: "gate.internal", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
	} {
		if _, err := handshake(t, config, client); err == nil {
			t.Errorf("%s: the handshake went through", name)
		}
	}
}

// TestLinksAreNotFollowed: neither made nor read through a link, nor in another user's folder.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, file := range []string{ca.KeyFile, ca.CertFile} {
		dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "shadow")
		link := filepath.Join(dir, file)
		if err := os.Symlink(elsewhere, link); err != nil {
			t.Fatal(err)
		}
		if err := ca.Create(dir); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s is a link: making gave %v", file, err)
		}
		if _, err := os.Stat(elsewhere); err == nil {
			t.Errorf("%s was written through a link", file)
		}
		whole := t.TempDir()
		if err := ca.Create(whole); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Rename(filepath.Join(whole, file), elsewhere),
			os.Symlink(elsewhere, filepath.Join(whole, file))); err != nil {
			t.Fatal(err)
		}
		if _, err := ca.Load(whole); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s is a link: reading gave %v", file, err)
		}
	}
	if os.Geteuid() != 0 {
		return // only root can make another user's folder to try
	}
	dir := t.TempDir()
	if err := errors.Join(ca.Create(dir), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Load(dir); !errors.Is(err, localfile.ErrForeign) {
		t.Errorf("another user's folder: reading gave %v", err)
	}
	if err := ca.Create(dir); !errors.Is(err, localfile.ErrForeign) {
		t.Errorf("another user's folder: making gave %v", err)
	}
}
