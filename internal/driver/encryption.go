package driver

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

// Encryption is embedded by the settings of drivers that speak TLS without HTTP.
type Encryption struct {
	TLS        string `yaml:"tls" default:"verify" enum:"verify off" doc:"verify: TLS 1.2 or newer, and the server's certificate is checked. off: nothing is encrypted; for a unix socket, and for a server on this machine."`
	CAFile     string `yaml:"ca_file" path:"file" eg:"./db-ca.pem" doc:"PEM certificates to trust instead of the system's."`
	ServerName string `yaml:"server_name" eg:"db.internal" doc:"The name in the server's certificate, where it is not the host of the address."`
}

// TLSOff is the value of tls that encrypts nothing.
const TLSOff = "off"

// CheckEncryption reports what is wrong with the encryption of connections to addresses, which stand in key.
func (e Encryption) CheckEncryption(r secret.Report, key string, addresses ...string) {
	r.Certificates("ca_file", e.CAFile)
	for _, address := range addresses {
		if IsSocket(address) {
			continue
		}
		r.Address(key, address, "db.internal:5432")
		if e.TLS == TLSOff && !isLoopback(address) {
			r.Warn("tls", "is off, and "+address+" is not on this machine: the login can be read on the way",
				"have the server take TLS, and leave tls out")
		}
	}
}

// Config is that of connections to host. nil: they are not encrypted.
func (e Encryption) Config(host string) (*tls.Config, error) {
	if e.TLS == TLSOff {
		return nil, nil //nolint:nilnil // none is an answer
	}
	pool, err := localfile.CertPool(e.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	if e.ServerName != "" {
		host = e.ServerName
	}
	return &tls.Config{RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS12}, nil
}

// IsSocket tells whether an address is the path of a unix socket.
func IsSocket(address string) bool { return strings.HasPrefix(address, "/") }

// HostPort splits HOST or HOST:PORT.
func HostPort(address, port string) (string, string) {
	if host, given, err := net.SplitHostPort(address); err == nil {
		return host, given
	}
	return strings.Trim(address, "[]"), port
}

func isLoopback(address string) bool {
	host, _ := HostPort(address, "")
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
