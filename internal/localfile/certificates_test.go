package localfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/localfile"
)

func TestCertPool(t *testing.T) {
	const one = "-----BEGIN CERTIFICATE-----\n" + `MIIBJTCBzKADAgECAgEBMAoGCCqGSM49BAMCMA0xCzAJBgNVBAMTAmNh` +
		"\n-----END CERTIFICATE-----\n"
	broken := filepath.Join(t.TempDir(), "broken.pem")
	if err := os.WriteFile(broken, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(t.TempDir(), "good.pem")
	if err := os.WriteFile(good, []byte(one+certificate(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	if pool, err := localfile.CertPool(""); pool != nil || err != nil {
		t.Errorf("without a name: %v, %v, want the system's", pool, err)
	}
	if pool, err := localfile.CertPool(good); err != nil || pool == nil {
		t.Errorf("a certificate beside a broken one: %v", err)
	}
	if _, err := localfile.CertPool(broken); !errors.Is(err, localfile.ErrNoCertificate) ||
		!strings.Contains(err.Error(), broken) {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := localfile.CertPool(broken + ".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
