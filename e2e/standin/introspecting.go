package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Introspecting is an API behind an OAuth 2.0 server: with every call it asks there whether the token is valid (RFC
// 7662), and whose it is.
type Introspecting struct {
	server     *httptest.Server
	client     *http.Client
	id, secret string
	endpoint   string

	mu     sync.Mutex
	counts IntrospectingCounts
}

// IntrospectingCounts are what has happened.
type IntrospectingCounts struct {
	Answered map[string]int       // calls with a valid token, by whose it was
	Expiry   map[string]time.Time // of the token of each that lives longest
	Refused  int                  // calls with a token that is not valid
	Strange  int                  // calls without a bearer token, or while the OAuth server did not answer
}

// StartIntrospecting listens on a free loopback port. It is itself a client of the OAuth server.
func StartIntrospecting(endpoint, id, secret string) *Introspecting {
	a := &Introspecting{
		id: id, secret: secret, endpoint: endpoint,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
		counts: IntrospectingCounts{Answered: map[string]int{}, Expiry: map[string]time.Time{}},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/whoami", a.whoami)
	mux.HandleFunc("POST /v1/echo", a.whoami)
	a.server = httptest.NewServer(mux)
	return a
}

// URL is the base address.
func (a *Introspecting) URL() string { return a.server.URL }

// Close ends it.
func (a *Introspecting) Close() {
	a.server.Close()
	a.client.CloseIdleConnections()
}

// Counts returns what has happened so far.
func (a *Introspecting) Counts() IntrospectingCounts {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.counts
	c.Answered, c.Expiry = map[string]int{}, map[string]time.Time{}
	for who, n := range a.counts.Answered {
		c.Answered[who], c.Expiry[who] = n, a.counts.Expiry[who]
	}
	return c
}

// introspection is what the OAuth server knows of a token (RFC 7662 section 2.2).
type introspection struct {
	Active  bool   `json:"active"`
	Client  string `json:"client_id"`
	Subject string `json:"sub"`
	Expiry  int64  `json:"exp"`
}

// who is the client, or the subject of a token that no client has asked for.
func (i introspection) who() string {
	if i.Client != "" {
		return i.Client
	}
	return i.Subject
}

// whoami answers whose the token is, and with what it was sent.
func (a *Introspecting) whoami(w http.ResponseWriter, r *http.Request) {
	var body any
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			return
		}
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	i, err := a.introspect(r, token)
	if err != nil || kind != "Bearer" {
		a.count(func(c *IntrospectingCounts) { c.Strange++ })
		answer(w, http.StatusInternalServerError, map[string]any{"error": fmt.Sprint("a ", kind, " token: ", err)})
		return
	}
	if !i.Active {
		a.count(func(c *IntrospectingCounts) { c.Refused++ })
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`) // RFC 6750 section 3
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	a.count(func(c *IntrospectingCounts) {
		c.Answered[i.who()]++
		if expiry := time.Unix(i.Expiry, 0); expiry.After(c.Expiry[i.who()]) {
			c.Expiry[i.who()] = expiry
		}
	})
	answer(w, http.StatusOK, map[string]any{"who": i.who(), "received": body})
}

func (a *Introspecting) count(what func(*IntrospectingCounts)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	what(&a.counts)
}

func (a *Introspecting) introspect(r *http.Request, token string) (i introspection, err error) {
	if token == "" {
		return i, errors.New("no token")
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, a.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return i, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(a.id), url.QueryEscape(a.secret))
	resp, err := a.client.Do(req)
	if err != nil {
		return i, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return i, fmt.Errorf("the OAuth server answered %s", resp.Status)
	}
	return i, json.NewDecoder(resp.Body).Decode(&i)
}
