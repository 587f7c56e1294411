package standin

import (
	"crypto/subtle"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// ExpiredCode is what an Expiring API says of a token that is over, as Lark does.
const ExpiredCode = 99991663

// Expiring is an API in the manner of Lark: a login call gives a token, which ends after so many calls although the
// login said two hours. By turns it says so with status 401, and with status 200 and a code in the body.
type Expiring struct {
	server *httptest.Server
	app    string
	secret string
	calls  int // that a token is good for

	mu     sync.Mutex
	token  string
	left   int
	counts ExpiringCounts
}

// ExpiringCounts are what has happened.
type ExpiringCounts struct {
	Logins   int
	Answered int         // calls with a valid token
	Refused  map[int]int // calls with one that is over, by status
	Strange  int         // calls with what never was a token, or without one
}

// StartExpiring listens on a free loopback port, under a certificate of its own.
func StartExpiring(app, secret string, calls int) *Expiring {
	e := &Expiring{app: app, secret: secret, calls: calls, counts: ExpiringCounts{Refused: map[int]int{}}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/login", e.login)
	mux.HandleFunc("POST /v1/messages", e.message)
	e.server = httptest.NewTLSServer(mux)
	return e
}

// URL is the base address.
func (e *Expiring) URL() string { return e.server.URL }

// CA is the certificate to trust, in PEM.
func (e *Expiring) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.server.Certificate().Raw})
}

// Close ends it.
func (e *Expiring) Close() { e.server.Close() }

// Counts returns what has happened so far.
func (e *Expiring) Counts() ExpiringCounts {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts
}

func (e *Expiring) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		App    string `json:"app_id"`
		Secret string `json:"app_secret"`
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	if err != nil || in.App != e.app || subtle.ConstantTimeCompare([]byte(in.Secret), []byte(e.secret)) != 1 {
		answer(w, http.StatusOK, map[string]any{"code": 10014, "msg": "app secret invalid"})
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts.Logins++
	e.token, e.left = fmt.Sprintf("t-%s-%d", e.secret[len(e.secret)/2:], e.counts.Logins), e.calls
	answer(w, http.StatusOK, map[string]any{"code": 0, "tenant_access_token": e.token, "expire": 7200})
}

// message answers with what it was sent.
func (e *Expiring) message(w http.ResponseWriter, r *http.Request) {
	var body any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		answer(w, http.StatusBadRequest, map[string]any{"code": 9499, "msg": err.Error()})
		return
	}
	if status := e.admit(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); status != 0 {
		answer(w, status,
			map[string]any{
				"code": ExpiredCode,
				"msg":  "Invalid access token for authorization. Please make a request with token attached.",
			})
		return
	}
	answer(w, http.StatusOK, map[string]any{"code": 0, "data": body})
}

// admit returns 0 for a valid token, and otherwise the status to refuse it with.
func (e *Expiring) admit(token string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case token == e.token && token != "" && e.left > 0:
		e.left--
		e.counts.Answered++
		return 0
	case !strings.HasPrefix(token, "t-"):
		e.counts.Strange++
		return http.StatusUnauthorized
	}
	status := http.StatusOK
	if strings.TrimRight(token, "02468") != token {
		status = http.StatusUnauthorized
	}
	e.counts.Refused[status]++
	return status
}
