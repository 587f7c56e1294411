// Package tokenserver is a strict OAuth 2.0 authorization server for tests, with a few endpoints beside it that give
// tokens in other ways: a GitHub App's installations, a login call, and an API that takes the tokens.
//
// It keeps to RFC 6749, 7523, 7636 and 9700 where a lenient server would let things pass: one way of client
// authentication for each client, no parameter twice, assertions for this endpoint alone and once, refresh tokens that
// rotate and whose reuse revokes the whole family. It misbehaves on command, once for each Misbehave. It runs without a
// network too, so that tests can run it in testing/synctest. It is for tests only.
package tokenserver

import (
	"crypto"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Client is a registered client.
type Client struct {
	Auth   string // the one way that it authenticates: basic, post, private_key_jwt, mtls, none
	Secret string
	Key    crypto.PublicKey // of private_key_jwt
}

// Server is the token server. Set its fields before the first request.
type Server struct {
	// of the server; its endpoints are /token, /authorize, /app/installations/{id}/access_tokens, /login, /api
	URL string

	Clients   map[string]Client
	Issuers   map[string]crypto.PublicKey // who may sign a JWT bearer assertion, by "iss"
	App       string                      // the GitHub App, whose key is in Issuers
	Users     map[string]string           // of the login call: password by name
	Lifetime  time.Duration               // of access tokens; 0: an hour
	Steady    bool                        // refresh tokens are not rotated
	Grace     time.Duration               // for how long the last refresh token is taken once more
	RevokeOld bool                        // a refresh revokes the access token before it
	Skew      time.Duration               // this server's clock minus the tests'
	Delay     time.Duration               // of Slow
	Deny      bool                        // nobody consents
	Iss       []string                    // what the consent page sends as iss

	hangUp   func()
	mu       sync.Mutex
	serial   int
	access   map[string]*access
	families map[string]*family // by every refresh token that was ever given
	codes    map[string]*code
	seen     map[string]bool // jti
	planned  []Misbehaviour
	record   Record
	busy     int
}

// Record is what has happened.
type Record struct {
	Calls    int // to endpoints that give tokens
	Minted   int
	Reused   int // refresh tokens that were spent twice; each has revoked its family
	Forgiven int // of them, those within Grace, which have not
	Overlaps int // calls that began while another was being worked at
}

type access struct {
	expiry  time.Time
	revoked bool
}

// New returns a server without a network: Transport leads to it.
func New() *Server {
	return &Server{
		URL: "https://tokens.test", Clients: make(map[string]Client), Issuers: make(map[string]crypto.PublicKey),
		Users:  make(map[string]string),
		access: make(map[string]*access), families: make(map[string]*family), codes: make(map[string]*code),
		seen: make(map[string]bool),
	}
}

// Start returns a server on loopback that ends with the test.
func Start(t testing.TB) *Server {
	s := New()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL, s.hangUp = server.URL, server.CloseClientConnections
	return s
}

// HangUp ends every connection of a server that Start has made.
func (s *Server) HangUp() { s.hangUp() }

// Record returns what has happened so far.
func (s *Server) Record() Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record
}

// Valid tells whether the API takes the token now.
func (s *Server) Valid(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[token]
	return a != nil && !a.revoked && s.now().Before(a.expiry)
}

// Expire ends an access token before its time.
func (s *Server) Expire(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.access[token]; a != nil {
		a.revoked = true
	}
}

func (s *Server) now() time.Time { return time.Now().Add(s.Skew) }

func (s *Server) lifetime() time.Duration {
	if s.Lifetime > 0 {
		return s.Lifetime
	}
	return time.Hour
}

// ServeHTTP serves all endpoints.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.URL.Path == "/token":
		s.give(w, r, s.token)
	case r.URL.Path == "/login":
		s.give(w, r, s.login)
	case strings.HasPrefix(r.URL.Path, "/app/installations/"):
		s.give(w, r, s.installation)
	case r.URL.Path == "/authorize":
		s.authorize(w, r)
	case r.URL.Path == "/api":
		s.api(w, r)
	default:
		http.NotFound(w, r)
	}
}

// result is an answer in the making.
type result struct {
	status int
	body   map[string]any
}

func refuse(status int, code string) *result {
	return &result{status, map[string]any{"error": code, "error_description": "refused by the test server"}}
}

// give runs an endpoint that gives tokens, and what was planned for it.
func (s *Server) give(w http.ResponseWriter, r *http.Request, endpoint func(*http.Request) *result) {
	m := s.enter()
	defer s.leave()
	if m.before(s, w, r) {
		return
	}
	s.mu.Lock()
	res := endpoint(r)
	s.mu.Unlock()
	if m.after(s, w, r, res) {
		return
	}
	answerJSON(w, res)
}

func answerJSON(w http.ResponseWriter, res *result) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	if res.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="tokens"`)
	}
	w.WriteHeader(res.status)
	_ = json.NewEncoder(w).Encode(res.body)
}

func (s *Server) enter() Misbehaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.Calls++
	if s.busy++; s.busy > 1 {
		s.record.Overlaps++
	}
	if len(s.planned) == 0 {
		return 0
	}
	m := s.planned[0]
	s.planned = s.planned[1:]
	return m
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
}

// mint makes an access token. It is called with mu held, as are all below.
func (s *Server) mint() (token string) {
	s.serial++
	s.record.Minted++
	token = "access-token-" + strconv.Itoa(s.serial)
	s.access[token] = &access{expiry: s.now().Add(s.lifetime())}
	return token
}

func (s *Server) granted(token string) *result {
	return &result{http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer",
		"expires_in": int(s.lifetime().Seconds()),
	}}
}
