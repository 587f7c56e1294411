package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/fault"
)

// clientCA signs client certificates.
type clientCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newClientCA(t *testing.T) *clientCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &clientCA{key, cert}
}

func (ca *clientCA) issue(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// knownUpstream says by which certificate it knows its caller, on new connections and on resumed sessions.
func knownUpstream(t *testing.T, ca *clientCA) (at, caFile string, names func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.Header.Get("Authorization"))
		w.Header().Set("Connection", "close") // each request has a handshake of its own
		_, _ = io.WriteString(w, "fine")
	}))
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, caFile, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), seen...)
	}
}

const tlsLine = "tls: {cert: ref+builtin://cert, key: ref+builtin://key}"

// TestClientCertificate: the API knows the gate by the active certificate, also after it was replaced.
func TestClientCertificate(t *testing.T) {
	ca := newClientCA(t)
	at, caFile, names := knownUpstream(t, ca)
	g := newGate(t, api(at, "ca_file: "+caFile, tlsLine), options{})
	g.do("GET", "/s/api/x").wantFault(t, fault.CredentialMissing)
	g.service("api").SetClientCertificate(ca.issue(t, "first"))
	g.do("GET", "/s/api/x").wantStatus(t, 200)
	g.do("GET", "/s/api/x").wantStatus(t, 200)
	g.service("api").SetClientCertificate(ca.issue(t, "second"))
	g.do("GET", "/s/api/x").wantStatus(t, 200)
	g.service("api").SetClientCertificate(newClientCA(t).issue(t, "nobody's"))
	if a := g.do("GET", "/s/api/x"); a.problem(t).Blame != "upstream" {
		t.Errorf("got %s", a.raw)
	}
	want := []string{"first Bearer " + canary, "first Bearer " + canary, "second Bearer " + canary}
	if got := names(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the API knew %q, want %q", got, want)
	}
}

// TestClientCertificateAtTokenEndpoint: it is shown there only where the credential says so, and never to where a
// redirect leads.
func TestClientCertificateAtTokenEndpoint(t *testing.T) {
	ca := newClientCA(t)
	at, caFile, names := knownUpstream(t, ca)
	for auth, want := range map[string]int{"mtls": 1, "basic, client_secret: ref+builtin://canary": 0} {
		line := "credential: {kind: oauth2_client_credentials, token_url: " + at +
			"/token, client_id: me, auth: " + auth + "}"
		s, _ := table(t, api(at, "ca_file: "+caFile, tlsLine, line), options{parts: static(canary)}).Lookup("api")
		s.SetClientCertificate(ca.issue(t, "me"))
		u, _ := url.Parse(at + "/token")
		transport, err := s.TokenTransport(u)
		if err != nil {
			t.Fatal(err)
		}
		before := len(names())
		ask(t, transport, u)
		bare, err := s.Bare("https", u.Hostname(), u.Port())
		if err != nil {
			t.Fatal(err)
		}
		ask(t, bare, u)
		bare.CloseIdle()
		s.Close()
		if got := len(names()) - before; got != want {
			t.Errorf("auth %s: the endpoint knew %d callers, want %d", auth, got, want)
		}
	}
}

func ask(t *testing.T, transport http.RoundTripper, u *url.URL) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := transport.RoundTrip(req); err == nil {
		_ = resp.Body.Close()
	}
}

// TestServiceThroughProxy: a service's requests and its token endpoint's go through its proxy, with what the proxy
// knows us by.
func TestServiceThroughProxy(t *testing.T) {
	asked := make(chan string, 9)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization")
		if r.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		api, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer api.Close()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(api, c) }()
		_, _ = io.Copy(c, api)
	}))
	defer proxy.Close()
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, "proxy: "+proxy.URL, "proxy_secret: ref+builtin://proxy"), options{})
	g.do("GET", "/s/api/x").wantFault(t, fault.UpstreamRefused)
	u.untouched(t)
	<-asked
	s := g.service("api")
	s.SetProxySecret(value("me:" + canary))
	g.do("GET", "/s/api/x").wantStatus(t, 200)
	if r := u.only(t); r.Header.Get("Authorization") != "Bearer "+canary || strings.Contains(r.head, "Proxy") {
		t.Errorf("got %s", r.head)
	}
	host := strings.TrimPrefix(u.url, "http://")
	if got := <-asked; !strings.HasPrefix(got, "CONNECT "+host+" Basic ") {
		t.Errorf("the proxy got %q", got)
	}
	at, _ := url.Parse(u.url + "/token")
	transport, err := s.TokenTransport(at)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, transport, at)
	if got := <-asked; !strings.HasPrefix(got, "CONNECT "+host) {
		t.Errorf("the proxy got %q", got)
	}
}
