package tokenserver

import (
	"crypto/subtle"
	"net/http"
	"net/url"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// authenticate wants the client in its own one way, and in no other beside it (RFC 6749 section 2.3).
func (s *Server) authenticate(r *http.Request, form url.Values) (id string, ok bool) {
	user, password, hasBasic := r.BasicAuth()
	hasSecret, hasAssertion := form.Has("client_secret"), form.Has("client_assertion")
	if hasBasic {
		var errUser, errPassword error
		user, errUser = url.QueryUnescape(user)
		password, errPassword = url.QueryUnescape(password)
		if errUser != nil || errPassword != nil || form.Has("client_id") {
			return "", false
		}
		id = user
	} else {
		id = form.Get("client_id")
	}
	c, known := s.Clients[id]
	if !known {
		return "", false
	}
	switch c.Auth {
	case "basic":
		ok = hasBasic && !hasSecret && !hasAssertion && equal(password, c.Secret)
	case "post":
		ok = !hasBasic && hasSecret && !hasAssertion && equal(form.Get("client_secret"), c.Secret)
	case "private_key_jwt":
		claims, err := s.verify(form.Get("client_assertion"), c.Key)
		ok = !hasBasic && !hasSecret && form.Get("client_assertion_type") == assertionType && err == nil &&
			claims.Issuer == id && claims.Subject == id
	case "mtls":
		ok = !hasBasic && !hasSecret && !hasAssertion && r.TLS != nil && len(r.TLS.PeerCertificates) > 0
	case "none":
		ok = !hasBasic && !hasSecret && !hasAssertion
	}
	return id, ok
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
