package install

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

const defaultNomad = "http://127.0.0.1:4646"

// NomadOptions say where Nomad is. What is "" comes from the variables that Nomad's own command line reads: NOMAD_ADDR,
// NOMAD_NAMESPACE, NOMAD_REGION, NOMAD_TOKEN, NOMAD_CACERT, NOMAD_CLIENT_CERT, NOMAD_CLIENT_KEY, NOMAD_TLS_SERVER_NAME.
type NomadOptions struct {
	Address   string
	Namespace string
	Path      string // of the variable; "" is DefaultNomadPath
	Name      string // of its items; "" is DefaultName
	Lookup    func(name string) (string, bool)
}

func (o *NomadOptions) or(given, variable, otherwise string) string {
	if given != "" {
		return given
	}
	if value, _ := o.Lookup(variable); value != "" {
		return value
	}
	return otherwise
}

func (o *NomadOptions) client() (*nomadClient, error) {
	address := o.or(o.Address, "NOMAD_ADDR", defaultNomad)
	c := &nomadClient{
		namespace: o.or(o.Namespace, "NOMAD_NAMESPACE", "default"),
		region:    o.or("", "NOMAD_REGION", ""),
		token:     secret.NewValue([]byte(o.or("", "NOMAD_TOKEN", ""))),
	}
	transport := &http.Transport{ForceAttemptHTTP2: true} // no proxy: it may be Sallyport itself
	if socket, ok := strings.CutPrefix(address, "unix://"); ok {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
		address = defaultNomad
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, usage("Nomad's address is not one",
			"write https://HOST:4646, http://127.0.0.1:4646 or unix:///PATH")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, usage("Nomad would get the key in the clear",
			"use https, its socket, or a tunnel that ends on this machine")
	}
	c.address = u
	if transport.TLSClientConfig, err = o.tls(); err != nil {
		return nil, fmt.Errorf("setting up TLS for Nomad: %w", err)
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c, nil
}

func usage(what, hint string) error {
	return fault.WithExit(fault.WithHint(errors.New(what), hint), fault.ExitUsage)
}

func loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

func (o *NomadOptions) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.or("", "NOMAD_TLS_SERVER_NAME", "")}
	var err error
	if c.RootCAs, err = localfile.CertPool(o.or("", "NOMAD_CACERT", "")); err != nil {
		return nil, fmt.Errorf("reading NOMAD_CACERT: %w", err)
	}
	cert, key := o.or("", "NOMAD_CLIENT_CERT", ""), o.or("", "NOMAD_CLIENT_KEY", "")
	if cert == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	c.Certificates = []tls.Certificate{pair}
	return c, err
}
