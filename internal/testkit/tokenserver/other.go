package tokenserver

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// installation is GitHub's POST /app/installations/{id}/access_tokens.
func (s *Server) installation(r *http.Request) *result {
	token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, isPath := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/app/installations/"), "/access_tokens")
	if r.Method != http.MethodPost || !isPath || id == "" || strings.Contains(id, "/") {
		return &result{http.StatusNotFound, map[string]any{"message": "Not Found"}}
	}
	c, err := s.timely(token, s.Issuers[s.App])
	if !isBearer || err != nil || c.Issuer != s.App || r.Header.Get("User-Agent") == "" {
		return &result{http.StatusUnauthorized, map[string]any{"message": "A JSON web token could not be decoded"}}
	}
	return &result{
		http.StatusCreated,
		map[string]any{"token": s.mint(), "expires_at": s.now().Add(s.lifetime()).UTC().Format(time.RFC3339)},
	}
}

// login is a login call in the manner of Lark: always status 200, and a code that says whether it went well.
func (s *Server) login(r *http.Request) *result {
	var in struct{ User, Password string }
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" ||
		json.Unmarshal(body, &in) != nil {
		return &result{http.StatusOK, map[string]any{"code": 10001, "msg": "invalid request"}}
	}
	if password, known := s.Users[in.User]; !known || !equal(password, in.Password) {
		return &result{
			http.StatusOK,
			map[string]any{"code": 10003, "msg": "invalid user " + in.User + " or password " + in.Password},
		}
	}
	return &result{http.StatusOK, map[string]any{
		"code": 0, "data": map[string]any{"token": s.mint()},
		"expire": int(s.lifetime().Seconds()),
	}}
}

// api takes a bearer token: status 401 if it is not valid, or with ?quiet status 200 and a code in the body.
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	res := &result{http.StatusOK, map[string]any{"code": 0, "data": "fine"}}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || !s.Valid(token) {
		res = &result{
			http.StatusUnauthorized,
			map[string]any{"code": 99991663, "msg": "token is invalid or has expired"},
		}
		if r.URL.Query().Has("quiet") {
			res.status = http.StatusOK
		}
	}
	answerJSON(w, res)
}
