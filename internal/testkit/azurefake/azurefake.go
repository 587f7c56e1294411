// Package azurefake is the secrets of an Azure Key Vault, as far as the store adapter uses them, over TLS on loopback.
//
// It keeps to what the service documents: a challenge that names authority and resource, versions with times in whole
// seconds, names without regard to case, soft deletion and recovery that take a while, purging, disabled versions, tags
// of each version, pages in no useful order, and errors with a code and an inner code. It is for tests only.
package azurefake

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Tenant and Resource are what the challenge names.
const (
	Tenant   = "11111111-2222-4333-8444-555555555555"
	Resource = "https://vault.azure.net"
)

// MaxValue is the size of the largest value, in bytes.
const MaxValue = 25 << 10

// Server is the fake. Set its fields before the first request.
type Server struct {
	URL  string
	Pool *x509.CertPool // has its certificate

	// AnySize lifts the size limit, for the conformance suite, whose largest value is a mebibyte.
	AnySize bool
	// SameSecond stops the clock, which otherwise goes on by a second with each write.
	SameSecond bool
	// Lag is how many requests a deletion or recovery takes to come through.
	Lag int
	// Answer, if it is not nil, is asked first about each request with a good token; it returns true when it has
	// answered.
	Answer func(w http.ResponseWriter, r *http.Request) bool

	mu      sync.Mutex
	clock   time.Time
	token   string
	secrets map[string]*entry // by name in lower case
	calls   []string
	asked   []policy.TokenRequestOptions
}

// New starts a fake that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), token: random(), secrets: make(map[string]*entry)}
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are part of the tests
	server.StartTLS()
	t.Cleanup(server.Close)
	s.URL = server.URL
	s.Pool = x509.NewCertPool()
	s.Pool.AddCert(server.Certificate())
	return s
}

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// GetToken implements azcore.TokenCredential: it is the identity provider too.
func (s *Server) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, o)
	return azcore.AccessToken{Token: s.token, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// Asked returns what tokens were asked for.
func (s *Server) Asked() []policy.TokenRequestOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]policy.TokenRequestOptions(nil), s.asked...)
}

// Revoke makes every token given out so far a bad one.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = random()
}

// Calls returns method and path of the requests so far.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

// Fail answers with an error of the service.
func Fail(w http.ResponseWriter, status int, code, inner string) {
	detail := map[string]any{"code": code, "message": "(" + code + ") " + inner}
	if inner != "" {
		detail["innererror"] = map[string]string{"code": inner}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": detail})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+r.URL.Path)
	good := r.Header.Get("Authorization") == "Bearer "+s.token
	s.mu.Unlock()
	if !good {
		w.Header().Set("WWW-Authenticate",
			fmt.Sprintf(`Bearer authorization="https://login.microsoftonline.com/%s", resource="%s"`, Tenant, Resource))
		Fail(w, http.StatusUnauthorized, "Unauthorized", "")
		return
	}
	if s.Answer != nil && s.Answer(w, r) {
		return
	}
	if !slices.Contains([]string{"7.4", "7.5", "7.6"}, r.URL.Query().Get("api-version")) {
		Fail(w, http.StatusBadRequest, "BadParameter", "")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, failed := s.do(r)
	if failed != nil {
		Fail(w, failed.status, failed.code, failed.inner)
		return
	}
	if out == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(out)
}
