package check_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
)

// party is a server with a certificate of its own, which is its own CA in the file that is returned.
func party(t *testing.T, name string, ends time.Time, conf *tls.Config) (address *url.URL, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: ends.Add(-365 * 24 * time.Hour), NotAfter: ends,
	}
	if ip := net.ParseIP(name); ip != nil {
		form.IPAddresses = []net.IP{ip}
	} else {
		form.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = conf
	server.TLS.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	server.StartTLS()
	t.Cleanup(server.Close)
	address, err = url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return address, ca
}

func urls(ca string, list ...*url.URL) *site.Site {
	return &site.Site{
		URLs: list, CAFile: ca,
		Config: func() (*config.Config, config.Warnings, error) { return config.Default(config.Kinds{}), nil, nil },
	}
}

func TestTLS(t *testing.T) {
	year := time.Now().Add(365 * 24 * time.Hour)
	for _, c := range []struct {
		name, called string
		ends         time.Time
		conf         *tls.Config
		want         doctor.Status
		text         string
	}{
		{"well", "127.0.0.1", year, &tls.Config{MinVersion: tls.VersionTLS12}, doctor.OK, "offers TLS 1.3"},
		{"only 1.2", "127.0.0.1", year, &tls.Config{MaxVersion: tls.VersionTLS12}, doctor.Warning, "TLS 1.2 at best"},
		{"1.0 too", "127.0.0.1", year, &tls.Config{MinVersion: tls.VersionTLS10}, doctor.Failed, "accepts TLS 1.1"},
		{"another name", "n8n.example.com", year, &tls.Config{}, doctor.Failed, "another name"},
		{"ended", "127.0.0.1", time.Now().Add(-time.Hour), &tls.Config{}, doctor.Failed, "has ended"},
		{"ends soon", "127.0.0.1", time.Now().Add(5 * 24 * time.Hour), &tls.Config{}, doctor.Warning, "ends on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, ca := party(t, c.called, c.ends, c.conf)
			r := one(t, "tls", urls(ca, address))
			if r.Status != c.want {
				t.Errorf("got %q: %+v", r.Status, r.Seen)
			}
			has(t, r, c.want, c.text)
		})
	}
	address, _ := party(t, "127.0.0.1", year, &tls.Config{})
	r := one(t, "tls", urls("", address))
	golden(t, "tls", r, address.Host, "ADDRESS", year.UTC().Format("2006-01-02"), "DATE")
	has(t, r, doctor.Failed, "nobody who is trusted here")
}

// TestTLSInTheClear: plain HTTP beyond this machine fails, wherever the configuration or a flag has it.
func TestTLSInTheClear(t *testing.T) {
	r := one(t, "tls", urls("", &url.URL{Scheme: "http", Host: "n8n.example.com"}))
	has(t, r, doctor.Failed, "plain HTTP")
	on := configured(t, "insecure: true\nlisten: {gateway: '0.0.0.0:8470'}\n"+
		"database: postgres://sallyport@db.example.com/n?sslmode=disable\n"+
		"stores: {corp: {kind: vault, address: 'http://vault.example.com:8200', auth: {token_file: /dev/null}}}\n")
	r = one(t, "tls", on)
	for _, text := range []string{
		"serves plain HTTP to other machines", "is reached over plain HTTP", "sslmode=disable",
	} {
		has(t, r, doctor.Failed, text)
	}
}

// TestTLSStrangers: what speaks something else, hangs or is not there has proved nothing.
func TestTLSStrangers(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	at := func(host string) *url.URL { return &url.URL{Scheme: "https", Host: host} }
	r := one(t, "tls", urls("", at(strings.TrimPrefix(plain.URL, "http://"))))
	has(t, r, doctor.Failed, "speaks plain HTTP")

	if r := one(t, "tls", urls("", at("127.0.0.1:1"))); r.Status != doctor.Unseen {
		t.Errorf("nobody there: %+v", r.Seen)
	}
	short, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer short.Close()
	go func() {
		for {
			conn, err := short.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(conn, "\x15\x03")
			_ = conn.Close()
		}
	}()
	if r := one(t, "tls", urls("", at(short.Addr().String()))); r.Status != doctor.Unseen {
		t.Errorf("half a record: %+v", r.Seen)
	}
}
