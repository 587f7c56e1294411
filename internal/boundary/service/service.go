// Package service holds the external APIs that the gate knows: where each one is, what may be asked of it, what it is
// given.
//
// A Service is built once from configuration and does not change; only the credential in its Holder and the counters of
// its Limits move. The package decides about paths and methods; it makes no calls of its own.
//
// Invariant: scheme, host and port of every request come from here and never from a caller.
package service

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/config"
	"sallyport/internal/config/preset"
	"sallyport/internal/localfile"
)

// DefaultSlot is where a token is looked for when the service is unknown.
var DefaultSlot = credential.Slot{Header: "Authorization"} //nolint:gochecknoglobals // a constant in all but syntax

// maxIdle is how many connections to one API are kept for the next request. Fewer than there are requests at one time,
// and each of the others pays for a TLS handshake.
const maxIdle = 1024

// Service is one external API.
type Service struct {
	Name     string
	Scheme   string // http or https
	Host     string // host, or host:port where the port is not the scheme's own; sent as Host
	BasePath string // escaped, without a trailing slash; "" for none

	Specs      []credential.Spec // one for each credential, in the order of Config.Placements
	Slots      []credential.Slot // where those stand in a request
	Beside     []string          // canonical names of the headers that they set beside their slots
	Credential *credential.Holder
	Expiry     *Expiry // how the API says that a token has expired; nil: it has none that expire
	Replays    bool    // a request may have to be sent twice
	Rules      []Rule  // empty: everything is allowed
	Limits     *Limits
	Circuit    *Circuit
	MaxBody    int64 // 0: none

	Transport      http.RoundTripper
	FetchRedirects bool
	PassCookies    bool
	Paths          PathForm
	Headers        map[string]string // canonical names
	Override       map[string]bool   // those of Headers that replace the caller's
	Spelled        []Spelling        // the names that the configuration writes in another way

	Config      *config.Service // what it was built from; not to be changed
	egress      egress.Options
	own         *atomic.Pointer[egress.Own]
	ca          []byte // content of Config.CAFile when it was built
	rejected    atomic.Bool
	certificate *certificate
	proxySecret *atomic.Pointer[url.Userinfo]
	tokens      transports
}

// New builds a service. The error names the setting at fault.
func New(name string, c *config.Service) (*Service, error) {
	tlsConfig, ca, err := clientTLS(c)
	if err != nil {
		return nil, fmt.Errorf("building service %q: %w", name, err)
	}
	expiry, err := newExpiry(c.Placements())
	if err != nil {
		return nil, fmt.Errorf("building service %q: %w", name, err)
	}
	host, port := c.Upstream.Hostname(), c.Upstream.Port()
	s := &Service{
		Name: name, Scheme: c.Upstream.Scheme, Host: c.Upstream.Host,
		BasePath:   strings.TrimSuffix(c.Upstream.EscapedPath(), "/"),
		Credential: new(credential.Holder), Expiry: expiry, Replays: replays(c.Placements()),
		Limits: newLimits(c.Limits), Circuit: newCircuit(c.Circuit), MaxBody: int64(c.Limits.Body),
		FetchRedirects: c.Redirects == "fetch", PassCookies: c.Cookies == "pass",
		Paths:   PathForm{EncodedSlash: c.EncodedSlash, DoubleSlash: c.DoubleSlash},
		Headers: canonical(c.Headers), Override: overriding(c.Override), Spelled: spelled(c), Config: c, ca: ca,
		certificate: newCertificate(), proxySecret: new(atomic.Pointer[url.Userinfo]),
		own: new(atomic.Pointer[egress.Own]),
	}
	s.place(c.Placements())
	for _, r := range c.Allow {
		s.Rules = append(s.Rules, NewRule(r))
	}
	if port == "" || port == defaultPort(s.Scheme) {
		port, s.Host = defaultPort(s.Scheme), bare(host)
	}
	s.egress = egress.Options{
		Host: host, Port: port, Named: named(c), AllowPrivate: c.AllowPrivate, TLS: tlsConfig, HTTP2: c.HTTP2,
		Dial: c.Timeouts.Dial, TLSHandshake: c.Timeouts.TLS, ResponseHeader: c.Timeouts.ResponseHeader,
		BodyIdle: c.Timeouts.Idle,
		Idle:     c.Connections.Idle, Age: c.Connections.Age,
		MaxIdle: maxIdle, Proxy: c.Proxy, ProxyUser: s.proxySecret.Load,
		Own:     s.own.Load,
		Dialled: func(err error) { s.Circuit.Dialled(time.Now(), err) },
	}
	if c.TLS != nil && tlsConfig != nil {
		s.certificate.present(tlsConfig)
	}
	transport, err := egress.New(s.egress)
	if err != nil {
		return nil, fmt.Errorf("building service %q: %w", name, err)
	}
	s.Transport = transport
	return s, nil
}

// named is what a person knows the upstream by: the key that holds it, or the preset that gave it.
func named(c *config.Service) string {
	if p, ok := preset.Lookup(c.Preset); ok && p.Upstream != "" && p.Upstream == c.Upstream.String() {
		return "the preset `" + c.Preset + "`"
	}
	return "`upstream` of the service"
}

// Bare returns a transport to another host, for a redirect that leaves the service: the same time-outs, no credential,
// and the usual trust. Of addresses that are not public it dials those that fetch_private names: those of allow_private
// are for the service's own requests, and an API that is broken into would reach them by a Location. The caller closes
// its idle connections.
func (s *Service) Bare(scheme, host, port string) (*egress.Transport, error) {
	o := s.elsewhere(scheme, host, port)
	o.Named, o.AllowPrivate = "the redirect that the API answered with", s.Config.FetchPrivate
	return egress.New(o)
}

// Shun keeps the service from dialling the addresses on which the gate listens itself.
func (s *Service) Shun(own *egress.Own) { s.own.Store(own) }

// elsewhere are the service's settings for another host, without its client certificate.
func (s *Service) elsewhere(scheme, host, port string) egress.Options {
	o := s.egress
	o.Host, o.Port, o.TLS, o.Dialled = host, port, nil, nil
	if port == "" {
		o.Port = defaultPort(scheme)
	}
	if scheme == "https" {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if s.egress.TLS != nil {
			o.TLS.RootCAs = s.egress.TLS.RootCAs
			if host == s.egress.Host { // a token endpoint of the same appliance
				o.TLS.CipherSuites = s.egress.TLS.CipherSuites
			}
		}
	}
	return o
}

// Answered notes what a response says of the credential: 401 that it is refused, success that it works.
func (s *Service) Answered(status int) {
	if refused := status == http.StatusUnauthorized; (refused || status < 300) && refused != s.rejected.Load() {
		s.rejected.Store(refused)
	}
}

// Rejected tells whether the API refused the credential the last time it said anything about it.
func (s *Service) Rejected() bool { return s.rejected.Load() }

// Permit tells whether a rule allows method on path, and which one decided.
func (s *Service) Permit(method, path string) (rule string, ok bool) {
	if len(s.Rules) == 0 {
		return "no rules", true
	}
	for i := range s.Rules {
		if s.Rules[i].Match(method, path) {
			return s.Rules[i].text, true
		}
	}
	return "no rule matches", false
}

// clientTLS also returns the content of ca_file, which may change while the configuration does not.
func clientTLS(c *config.Service) (*tls.Config, []byte, error) {
	if c.Upstream.Scheme != "https" {
		return nil, nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.RSAExchange {
		t.CipherSuites = withRSAExchange()
	}
	if c.CAFile == "" {
		return t, nil, nil
	}
	pem, err := localfile.Read(c.CAFile, localfile.Small)
	if err != nil {
		return nil, nil, fmt.Errorf("reading ca_file: %w", err)
	}
	t.RootCAs = x509.NewCertPool()
	if err := localfile.AddCertificates(t.RootCAs, pem); err != nil {
		return nil, nil, fmt.Errorf("reading ca_file %q: %w", c.CAFile, err)
	}
	return t, pem, nil
}

// withRSAExchange lists the cipher suites of TLS 1.2 that crypto/tls offers by itself, and behind them those with RSA
// key exchange.
func withRSAExchange() (suites []uint16) {
	for _, s := range tls.CipherSuites() {
		if slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			suites = append(suites, s.ID)
		}
	}
	return append(suites, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
}

// Fresh tells whether the files that the service was built from are what they were.
func (s *Service) Fresh() bool {
	if s.Config.CAFile == "" {
		return true
	}
	_, pem, err := clientTLS(s.Config)
	return err == nil && bytes.Equal(pem, s.ca)
}

func canonical(headers map[string]string) map[string]string {
	out := make(map[string]string, len(headers))
	for name, value := range headers {
		out[http.CanonicalHeaderKey(name)] = value
	}
	return out
}

func overriding(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[http.CanonicalHeaderKey(name)] = true
	}
	return out
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// bare puts an IPv6 address back into brackets.
func bare(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// Address is host:port as dialled.
func (s *Service) Address() string { return net.JoinHostPort(s.egress.Host, s.egress.Port) }

// Close lets go of idle connections. Requests under way are not touched.
func (s *Service) Close() {
	s.closeIdle()
	s.tokens.closeIdle()
}

func (s *Service) closeIdle() {
	if t, ok := s.Transport.(interface{ CloseIdle() }); ok {
		t.CloseIdle()
	}
}

// Table finds services by name. It is immutable.
type Table struct{ byName map[string]*Service }

// ValidName tells whether a service can have this name: [a-z0-9][a-z0-9_-]{0,62}.
func ValidName(name string) bool {
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '_' || c == '-'):
		default:
			return false
		}
	}
	return name != "" && len(name) <= 63
}

// NewTable makes a table.
func NewTable(services []*Service) *Table {
	t := &Table{byName: make(map[string]*Service, len(services))}
	for _, s := range services {
		t.byName[s.Name] = s
	}
	return t
}

// Lookup finds a service.
func (t *Table) Lookup(name string) (*Service, bool) {
	s, ok := t.byName[name]
	return s, ok
}

// Holds tells whether svc itself is in t, and not another of its name.
func (t *Table) Holds(svc *Service) bool { return t.byName[svc.Name] == svc }

// All returns the services by name.
func (t *Table) All() []*Service {
	all := make([]*Service, 0, len(t.byName))
	for _, s := range t.byName {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Service) int { return strings.Compare(a.Name, b.Name) })
	return all
}
