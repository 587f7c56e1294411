package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"

	"sallyport/internal/boundary/ca"
)

// ownTLS trusts what the gate's own listener shows, under a name it shows: the address that is called is often none of
// them.
func (s *State) ownTLS() (*tls.Config, error) {
	t, c := &tls.Config{MinVersion: tls.VersionTLS12}, s.Config.TLS
	switch {
	case c.CA != "":
		authority, err := ca.Load(s.Config.Data)
		if err != nil {
			return nil, err
		}
		t.RootCAs, t.ServerName = authority.Pool(), c.Hosts[0]
	case c.CertFile != "":
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading tls.cert_file and tls.key_file: %w", err)
		}
		if t.RootCAs, err = x509.SystemCertPool(); err != nil {
			t.RootCAs = x509.NewCertPool()
		}
		for _, der := range pair.Certificate {
			if one, err := x509.ParseCertificate(der); err == nil {
				t.RootCAs.AddCert(one)
			}
		}
		t.ServerName = firstName(pair.Leaf)
	}
	return t, nil
}

func firstName(leaf *x509.Certificate) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return strings.Replace(leaf.DNSNames[0], "*", "gate", 1)
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return ""
}
