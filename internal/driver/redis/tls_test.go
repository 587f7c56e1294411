package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/driver"
)

// certificate writes a self-signed one for redis.internal, and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.internal"},
		DNSNames: []string{"redis.internal"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestTLS: the server's certificate is checked before anything is sent.
func TestTLS(t *testing.T) {
	certFile, keyFile := certificate(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = free.Close()
	b := newBed(t, 1, file, "tls-port "+port, "tls-cert-file "+certFile, "tls-key-file "+keyFile,
		"tls-auth-clients no")
	job := jobOf(first, "")
	for _, c := range []struct {
		name string
		e    driver.Encryption
		ok   bool
	}{
		{"its own authority", driver.Encryption{CAFile: certFile, ServerName: "redis.internal"}, true},
		{"another name", driver.Encryption{CAFile: certFile}, false},
		{"an authority that nobody knows", driver.Encryption{ServerName: "redis.internal"}, false},
		{"in clear", driver.Encryption{TLS: driver.TLSOff}, false},
	} {
		s := b.settings()
		s.Addresses, s.Encryption = []string{address}, c.e
		keys, err := open(t, s).Keys(t.Context(), job)
		if c.ok && (err != nil || len(keys) != 1) {
			t.Errorf("%s: keys %v, %v", c.name, keys, err)
		}
		if !c.ok {
			b.says(c.name, err, driver.ErrUnclear, "running")
		}
	}
}
