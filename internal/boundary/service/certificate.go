package service

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

// sessionsKept is how many TLS sessions are kept for resumption.
const sessionsKept = 64

// certificate is the active client certificate. A session that was opened with another one is not resumed: the API
// would go on taking the caller for who it was.
type certificate struct {
	current  atomic.Pointer[tls.Certificate]
	sessions atomic.Pointer[sessions]
}

type sessions struct{ tls.ClientSessionCache }

func newCertificate() *certificate {
	c := &certificate{}
	c.sessions.Store(&sessions{tls.NewLRUClientSessionCache(sessionsKept)})
	return c
}

// present makes connections with o show the certificate.
func (c *certificate) present(o *tls.Config) {
	o.ClientSessionCache = c
	o.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if own := c.current.Load(); own != nil {
			return own, nil
		}
		return nil, fault.New(fault.CredentialMissing,
			"the API asks for a client certificate, and the service's has not been loaded")
	}
}

// Get implements tls.ClientSessionCache.
func (c *certificate) Get(key string) (*tls.ClientSessionState, bool) {
	return c.sessions.Load().Get(key)
}

// Put implements tls.ClientSessionCache.
func (c *certificate) Put(key string, s *tls.ClientSessionState) { c.sessions.Load().Put(key, s) }

// SetClientCertificate activates a client certificate, for the service's API and for token endpoints that know the
// client by it: the next connection shows it. nil deactivates it.
func (s *Service) SetClientCertificate(own *tls.Certificate) {
	if before := s.certificate.current.Load(); before != nil && own != nil &&
		slices.EqualFunc(before.Certificate, own.Certificate, bytes.Equal) {
		return
	}
	s.certificate.current.Store(own)
	s.certificate.sessions.Store(&sessions{tls.NewLRUClientSessionCache(sessionsKept)})
	s.closeIdle()
	s.tokens.closeIdle()
}

// CertificateExpires is when the active client certificate expires; the zero Time if there is none.
func (s *Service) CertificateExpires() time.Time {
	if own := s.certificate.current.Load(); own != nil && own.Leaf != nil {
		return own.Leaf.NotAfter
	}
	return time.Time{}
}

// SetProxySecret activates "user:password" for the service's proxy; the zero Value is none.
func (s *Service) SetProxySecret(value secret.Value) {
	if value.IsZero() {
		s.proxySecret.Store(nil)
		return
	}
	user, password, _ := strings.Cut(string(value.Reveal()), ":")
	s.proxySecret.Store(url.UserPassword(user, password))
}

// transports are those to token endpoints, by scheme and address.
type transports struct {
	mu sync.Mutex
	by map[string]*egress.Transport
}

// TokenTransport returns a transport to a token endpoint: the same guard, proxy and trust as the service's, without its
// credential. It shows the client certificate where a credential has auth: mtls. There is one for each scheme, host and
// port.
func (s *Service) TokenTransport(u *url.URL) (http.RoundTripper, error) {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	key := u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	if t := s.tokens.by[key]; t != nil {
		return t, nil
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("building transport to token endpoint at %q: it is no http(s) URL", u.Redacted())
	}
	o := s.elsewhere(u.Scheme, u.Hostname(), port)
	o.MaxIdle, o.Named = 2, "the URL of the token endpoint"
	if o.TLS != nil && !strings.EqualFold(u.Hostname(), s.egress.Host) {
		o.TLS.RootCAs = s.alsoTrusted()
	}
	if o.TLS != nil && s.Config.TLS != nil && knownByCertificate(s.Config.Placements()) {
		s.certificate.present(o.TLS)
	}
	t, err := egress.New(o)
	if err != nil {
		return nil, fmt.Errorf("building transport to token endpoint at %q: %w", u.Redacted(), err)
	}
	if s.tokens.by == nil {
		s.tokens.by = make(map[string]*egress.Transport)
	}
	s.tokens.by[key] = t
	return t, nil
}

// alsoTrusted is the usual trust, and ca_file beside it: a private API may get its tokens from a public provider.
func (s *Service) alsoTrusted() *x509.CertPool {
	if s.ca == nil {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if localfile.AddCertificates(pool, s.ca) != nil {
		return nil // nothing that clientTLS would have taken
	}
	return pool
}

func knownByCertificate(placements []config.Credential) bool {
	for i := range placements {
		if c, ok := placements[i].Settings.(interface{ ByCertificate() bool }); ok && c.ByCertificate() {
			return true
		}
	}
	return false
}

func (t *transports) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.by {
		one.CloseIdle()
	}
}
