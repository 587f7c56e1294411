package exchange

import (
	"net/http"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	s.checkLife(r)
	s.CheckToken(r)
	s.checkAnswer(r)
	if s.Request != nil {
		s.Request.check(r)
	}
}

func (s *Settings) checkLife(r *config.CredentialReport) {
	credential.CheckLifetime(r, s.Lifetime)
	if good := r.Pointer("expires_at", s.ExpiresAt, "write it as /expires_at"); good && s.ExpiresAt != "" &&
		strings.HasPrefix(s.Lifetime, "/") {
		r.Fail("expires_at", "stands beside lifetime",
			"keep the one that the answer has; a duration in lifetime may stay")
	}
}

func (s *Settings) checkAnswer(r *config.CredentialReport) {
	name, isHeader := strings.CutPrefix(s.TokenAt, "header:")
	cookie, isCookie := strings.CutPrefix(s.TokenAt, "cookie:")
	switch {
	case s.TokenAt == "body":
	case isHeader && r.IsToken(name), isCookie && r.IsToken(cookie):
	case isHeader, isCookie:
		r.Fail("token", "names no header or cookie", "write it as header:X-Auth-Token")
	default:
		r.Pointer("token", s.TokenAt,
			"write /access_token for a field of the answer, header:NAME, cookie:NAME, or body for the whole of it")
	}
}

func (l *LoginRequest) check(r *config.CredentialReport) {
	if l.URL == "" {
		r.Fail("request", "has no url", "write url: /login, or https://…")
	}
	r.Endpoint("request.url", l.URL)
	r.Method("request.method", l.Method)
	if l.JSON != nil && len(l.Form) > 0 {
		r.Fail("request.form", "stands beside json", "a login call has one body")
	}
	if (l.JSON != nil || len(l.Form) > 0) && l.Method == http.MethodGet {
		r.Fail("request.method", "is GET, which has no body", "write method: POST, or query instead of json or form")
	}
	r.Headers("request.headers", l.Headers)
	if l.Basic == nil {
		return
	}
	if l.Basic.Username.IsZero() {
		r.Fail("request.basic", "has no username", "write basic: {username: …, password: ref+…}")
	}
	if _, twice := l.Headers["Authorization"]; twice {
		r.Fail("request.basic", "stands beside the header Authorization", "keep one")
	}
}
