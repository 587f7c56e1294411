// Package ca is Sallyport's own certificate authority: init makes it, and it signs the certificates of its listeners.
//
// The private key stays in the data directory, mode 0600; clients trust ca.pem. It signs server certificates for the
// names it is told and nothing else.
package ca

import (
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
	"sync"
	"time"

	"sallyport/internal/localfile"
)

// The files in the data directory.
const (
	CertFile = "ca.pem" // give this to clients (NODE_EXTRA_CA_CERTS)
	KeyFile  = "ca.key"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	backdate = 5 * time.Minute // for clocks that are behind
)

// CA signs.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu   sync.Mutex
	leaf *tls.Certificate // the newest
}

// Create makes a CA in dir. It never replaces one: os.ErrExist is wrapped when there is a file of it already.
func Create(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a CA: %w", err)
	}
	template := template("Sallyport CA", caLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("making a CA: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("making a CA: %w", err)
	}
	d, err := localfile.MakeDir(dir)
	if err != nil {
		return fmt.Errorf("making a CA: %w", err)
	}
	if err = writeNew(d, KeyFile, "PRIVATE KEY", der, 0o600); err == nil {
		if err = writeNew(d, CertFile, "CERTIFICATE", cert, 0o644); err != nil {
			err = errors.Join(err, d.Remove(KeyFile)) // half a CA would pass for one that is there
		}
	}
	return errors.Join(err, d.Close())
}

func writeNew(dir *localfile.Dir, name, kind string, der []byte, mode os.FileMode) error {
	f, err := dir.Open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("making a CA: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		// a full disk must not leave half a file
		return errors.Join(fmt.Errorf("making a CA: %w", err), dir.Remove(name))
	}
	return nil
}

func template(name string, life time.Duration) *x509.Certificate {
	now := time.Now()
	// fails only when rand.Reader does, which ends the process
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
	}
}

// Load reads the CA of dir. Neither file may be a link or another user's: who decides which key is read decides whom
// clients trust.
func Load(dir string) (*CA, error) {
	cert, key, err := readBoth(dir)
	if err != nil {
		return nil, fmt.Errorf("reading Sallyport's CA: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading Sallyport's CA: %w", err)
	}
	signer, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("reading Sallyport's CA in %q: this is not a CA that init made", dir)
	}
	return &CA{cert: pair.Leaf, key: signer}, nil
}

func readBoth(dir string) (cert, key []byte, err error) {
	d, err := localfile.OpenDir(dir)
	if err != nil {
		return nil, nil, err
	}
	cert, errCert := readOne(d, CertFile)
	key, errKey := readOne(d, KeyFile)
	return cert, key, errors.Join(errCert, errKey, d.Close())
}

func readOne(dir *localfile.Dir, name string) ([]byte, error) {
	f, err := dir.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, localfile.Small))
	return text, errors.Join(err, f.Close())
}

// Pool trusts this CA alone.
func (c *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return pool
}

// ServerConfig serves a certificate for hosts, names or addresses, and renews it while it serves.
func (c *CA) ServerConfig(hosts []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.leaf == nil || time.Until(c.leaf.Leaf.NotAfter) < leafLife/3 {
				leaf, err := c.issue(hosts)
				if err != nil {
					return nil, err
				}
				c.leaf = leaf
			}
			return c.leaf, nil
		},
	}
}

func (c *CA) issue(hosts []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	t := template("Sallyport", leafLife)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, c.cert, &key.PublicKey, c.key)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, c.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
