package sink

import (
	"crypto/tls"
	"fmt"

	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

// CheckTLS checks the keys ca_file, cert_file and key_file of settings. What is empty is left out.
func CheckTLS(r secret.Report, caFile, certFile, keyFile string) {
	r.Certificates("ca_file", caFile)
	switch {
	case certFile != "" && keyFile != "":
		r.Pair("", certFile, keyFile)
	case certFile != "":
		r.Fail("cert_file", "has no key_file beside it", "write key_file: FILE")
	case keyFile != "":
		r.Fail("key_file", "has no cert_file beside it", "write cert_file: FILE")
	}
}

// TLS is that of a client with these files; "" leaves one out.
func TLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if config.RootCAs, err = localfile.CertPool(caFile); err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	if certFile == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading cert_file and key_file: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
