package localfile

import (
	"crypto/x509"
	"errors"
	"fmt"
)

// ErrNoCertificate means that a file that should hold certificates holds none in PEM.
var ErrNoCertificate = errors.New("it holds no PEM certificate")

// CertPool reads a file that the operator named, of certificates in PEM: those that are trusted instead of the
// system's. With "" it is nil, which is the system's.
func CertPool(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // nil is the system's pool
	}
	pem, err := Read(name, Small)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if err := AddCertificates(pool, pem); err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	return pool, nil
}

// AddCertificates adds what such a file holds. Error: ErrNoCertificate.
func AddCertificates(pool *x509.CertPool, pem []byte) error {
	if !pool.AppendCertsFromPEM(pem) {
		return ErrNoCertificate
	}
	return nil
}
