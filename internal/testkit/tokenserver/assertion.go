package tokenserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// claims are what the server looks at in a JWT.
type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expiry   int64  `json:"exp"`
	Issued   int64  `json:"iat"`
	Before   int64  `json:"nbf"`
	ID       string `json:"jti"`
}

// maxAssertion is how long an assertion may be good, from when it was issued.
const maxAssertion = 10 * time.Minute

// verify checks signature and times, without leeway, and that the assertion is for the token endpoint and was not used
// before.
func (s *Server) verify(token string, key crypto.PublicKey) (*claims, error) {
	c, err := s.timely(token, key)
	switch {
	case err != nil:
		return nil, err
	case c.Audience != s.URL+"/token":
		return nil, errors.New("aud")
	case c.ID == "" || s.seen[c.ID]:
		return nil, errors.New("jti")
	}
	s.seen[c.ID] = true
	return c, nil
}

func (s *Server) timely(token string, key crypto.PublicKey) (*claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a JWT")
	}
	var header struct{ Alg, Typ string }
	c := &claims{}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err := errors.Join(err, decode(parts[0], &header), decode(parts[1], c)); err != nil {
		return nil, err
	}
	if !signed(header.Alg, key, []byte(parts[0]+"."+parts[1]), signature) {
		return nil, errors.New("signature")
	}
	now := s.now().Unix()
	if c.Expiry <= now || c.Issued > now || c.Before > now || c.Issued == 0 ||
		c.Expiry-c.Issued > int64(maxAssertion.Seconds()) {
		return nil, errors.New("time")
	}
	return c, nil
}

func decode(part string, into any) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// signed knows the algorithms that the tests use; the kind of key decides, not the header alone (RFC 8725 section 3.1).
func signed(alg string, key crypto.PublicKey, text, signature []byte) bool {
	sum256, sum384, sum512 := sha256.Sum256(text), sha512.Sum384(text), sha512.Sum512(text)
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch alg {
		case "RS256":
			return rsa.VerifyPKCS1v15(k, crypto.SHA256, sum256[:], signature) == nil
		case "RS384":
			return rsa.VerifyPKCS1v15(k, crypto.SHA384, sum384[:], signature) == nil
		case "RS512":
			return rsa.VerifyPKCS1v15(k, crypto.SHA512, sum512[:], signature) == nil
		case "PS256":
			return rsa.VerifyPSS(k, crypto.SHA256, sum256[:], signature, &rsa.PSSOptions{SaltLength: 32}) == nil
		}
	case *ecdsa.PublicKey:
		size := (k.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		r, v := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		switch {
		case alg == "ES256" && size == 32:
			return ecdsa.Verify(k, sum256[:], r, v)
		case alg == "ES384" && size == 48:
			return ecdsa.Verify(k, sum384[:], r, v)
		}
	case ed25519.PublicKey:
		return alg == "EdDSA" && ed25519.Verify(k, text, signature)
	}
	return false
}

// bearer is RFC 7523 section 2.1.
func (s *Server) bearer(form url.Values) *result {
	var peek claims
	if parts := strings.Split(form.Get("assertion"), "."); len(parts) != 3 || decode(parts[1], &peek) != nil {
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	key, known := s.Issuers[peek.Issuer]
	if !known {
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	if _, err := s.verify(form.Get("assertion"), key); err != nil {
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	return s.granted(s.mint())
}
