package tokenserver

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// family is all refresh tokens that have come out of one consent.
type family struct {
	client  string
	current string
	last    string // the one before
	spent   time.Time
	access  string
	revoked bool
}

type code struct {
	client, redirect, challenge string
}

// token is RFC 6749 section 3.2.
func (s *Server) token(r *http.Request) *result {
	form, ok := readForm(r)
	if !ok {
		return refuse(http.StatusBadRequest, "invalid_request")
	}
	if form.Get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return s.bearer(form)
	}
	id, ok := s.authenticate(r, form)
	if !ok {
		return refuse(http.StatusUnauthorized, "invalid_client")
	}
	switch form.Get("grant_type") {
	case "client_credentials":
		return s.granted(s.mint())
	case "refresh_token":
		return s.refresh(id, form.Get("refresh_token"))
	case "authorization_code":
		return s.redeem(id, form)
	}
	return refuse(http.StatusBadRequest, "unsupported_grant_type")
}

// readForm wants a POST with a form, and no parameter twice.
func readForm(r *http.Request) (url.Values, bool) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.Method != http.MethodPost ||
		r.URL.RawQuery != "" {
		return nil, false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, false
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, false
	}
	for _, values := range form {
		if len(values) != 1 {
			return nil, false
		}
	}
	return form, true
}

// Grant begins a family, as a consent long ago would have, and returns its refresh token.
func (s *Server) Grant(client string) (refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &family{client: client}
	s.rotate(f)
	return f.current
}

// Current tells whether the refresh token is the one of its family that can be spent.
func (s *Server) Current(refresh string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.families[refresh]
	return f != nil && !f.revoked && f.current == refresh
}

// Withdraw ends the family of a refresh token, as the person who consented may.
func (s *Server) Withdraw(refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.families[refresh]; f != nil {
		f.revoked = true
	}
}

func (s *Server) rotate(f *family) {
	s.serial++
	f.last, f.current, f.spent = f.current, "refresh-token-"+strconv.Itoa(s.serial), time.Now()
	s.families[f.current] = f
}

// refresh is RFC 6749 section 6, with RFC 9700 section 4.14.2.
func (s *Server) refresh(client, token string) *result {
	f := s.families[token]
	switch {
	case f == nil || f.client != client || f.revoked:
		return refuse(http.StatusBadRequest, "invalid_grant")
	case token == f.current:
	case token == f.last && s.Grace > 0 && time.Since(f.spent) <= s.Grace:
		s.record.Forgiven++
	default:
		s.record.Reused++
		f.revoked = true
		if a := s.access[f.access]; a != nil {
			a.revoked = true
		}
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	return s.continued(f, token)
}

// continued gives the next tokens of a family.
func (s *Server) continued(f *family, spent string) *result {
	if a := s.access[f.access]; a != nil && s.RevokeOld {
		a.revoked = true
	}
	f.access = s.mint()
	res := s.granted(f.access)
	if s.Steady {
		return res
	}
	s.rotate(f)
	f.last = spent
	res.body["refresh_token"] = f.current
	return res
}

// redeem is RFC 6749 section 4.1.3 with RFC 7636 section 4.6.
func (s *Server) redeem(client string, form url.Values) *result {
	c := s.codes[form.Get("code")]
	delete(s.codes, form.Get("code"))
	if c == nil || c.client != client || c.redirect != form.Get("redirect_uri") ||
		c.challenge != challengeOf(form.Get("code_verifier")) {
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	f := &family{client: client, access: s.mint()}
	s.rotate(f)
	res := s.granted(f.access)
	res.body["refresh_token"] = f.current
	return res
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// authorize is RFC 6749 section 4.1.1, at which everybody consents at once.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	_, known := s.Clients[q.Get("client_id")]
	back, err := url.Parse(q.Get("redirect_uri"))
	if !known || err != nil || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		q.Get("code_challenge") == "" || q.Get("state") == "" {
		http.Error(w, "the authorization request is not valid", http.StatusBadRequest)
		return
	}
	if s.Deny {
		back.RawQuery = s.announced(url.Values{"error": {"access_denied"}, "state": {q.Get("state")}}).Encode()
		w.Header().Set("Location", back.String())
		w.WriteHeader(http.StatusFound)
		return
	}
	s.mu.Lock()
	s.serial++
	name := "code-" + strconv.Itoa(s.serial)
	s.codes[name] = &code{q.Get("client_id"), q.Get("redirect_uri"), q.Get("code_challenge")}
	s.mu.Unlock()
	back.RawQuery = s.announced(url.Values{"code": {name}, "state": {q.Get("state")}}).Encode()
	w.Header().Set("Location", back.String())
	w.WriteHeader(http.StatusFound)
}

// announced adds the issuer (RFC 9207 section 2).
func (s *Server) announced(answer url.Values) url.Values {
	if len(s.Iss) > 0 {
		answer["iss"] = s.Iss
	}
	return answer
}
