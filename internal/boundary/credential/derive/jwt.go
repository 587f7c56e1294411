package derive

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // registers SHA-384 and SHA-512
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sallyport/internal/secret"
)

// Signer signs JSON Web Tokens (RFC 7519, RFC 7515 section 3.1) with one private key. It is safe for concurrent use.
type Signer struct {
	key   crypto.Signer
	alg   algorithm
	keyID string
	print string
}

// algorithm is a row of RFC 7518 section 3.1, or RFC 8037.
type algorithm struct {
	jwt.SigningMethod
	kind string // of key, as kindOf says
}

func algorithms() []algorithm { // the first of a kind of key is its default
	return []algorithm{
		{jwt.SigningMethodRS256, kindRSA},
		{jwt.SigningMethodRS384, kindRSA},
		{jwt.SigningMethodRS512, kindRSA},
		{jwt.SigningMethodPS256, kindRSA},
		{jwt.SigningMethodPS384, kindRSA},
		{jwt.SigningMethodPS512, kindRSA},
		{jwt.SigningMethodES256, "EC (P-256)"},
		{jwt.SigningMethodES384, "EC (P-384)"},
		{jwt.SigningMethodES512, "EC (P-521)"},
		{jwt.SigningMethodEdDSA, kindEd25519},
	}
}

const (
	kindRSA     = "RSA"
	kindEd25519 = "Ed25519"
)

// NewSigner reads a private key in PEM (PKCS #8, PKCS #1, SEC 1) for an algorithm of RFC 7518: RS256, RS384, RS512,
// PS256, PS384, PS512, ES256, ES384, ES512, EdDSA; "" is the usual one for the kind of key. keyID becomes the header
// "kid", if it is not empty. The error never quotes the key.
func NewSigner(pem secret.Value, alg, keyID string) (*Signer, error) {
	key, err := parseKey(pem.Reveal())
	if err != nil {
		return nil, err
	}
	kind := kindOf(key)
	rows := algorithms()
	i := slices.IndexFunc(rows, func(a algorithm) bool { return a.Alg() == alg || alg == "" && a.kind == kind })
	switch {
	case i < 0 && alg == "":
		return nil, fmt.Errorf("the key is of the kind %s, for which there is no algorithm", kind)
	case i < 0:
		return nil, fmt.Errorf("no algorithm %q: there are %s", alg, names(rows))
	case rows[i].kind != kind:
		return nil, fmt.Errorf("algorithm %s needs a key of the kind %s, and this one is %s", alg, rows[i].kind, kind)
	}
	if r, ok := key.(*rsa.PrivateKey); ok && r.N.BitLen() < 2048 {
		return nil, fmt.Errorf("the RSA key has %d bits, and 2048 are the least (RFC 7518 section 3.3)", r.N.BitLen())
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, errors.New("the key cannot be used")
	}
	sum := sha256.Sum256(public)
	return &Signer{
		key: key, alg: rows[i], keyID: keyID,
		print: rows[i].Alg() + " " + keyID + " " + hex.EncodeToString(sum[:]),
	}, nil
}

func names(rows []algorithm) string {
	all := make([]string, len(rows))
	for i, r := range rows {
		all[i] = r.Alg()
	}
	return strings.Join(all, ", ")
}

func kindOf(key crypto.Signer) string {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return kindRSA
	case *ecdsa.PrivateKey:
		return "EC (" + k.Curve.Params().Name + ")"
	case ed25519.PrivateKey:
		return kindEd25519
	}
	return "unknown"
}

// Fingerprint tells signers apart, by public key, algorithm and key id; "" for none.
func (s *Signer) Fingerprint() string {
	if s == nil {
		return ""
	}
	return s.print
}

// Sign returns the compact form of a token with these claims.
func (s *Signer) Sign(claims map[string]any) (string, error) {
	token := jwt.NewWithClaims(s.alg.SigningMethod, jwt.MapClaims(claims))
	if s.keyID != "" {
		token.Header["kid"] = s.keyID
	}
	text, err := token.SigningString()
	if err != nil {
		return "", errors.New("the claims of a JWT cannot be written as JSON")
	}
	signature, err := s.alg.Sign(text, s.key)
	if err != nil {
		return "", fmt.Errorf("signing a JWT with %s: %w", s.alg.Alg(), err)
	}
	return text + "." + token.EncodeSegment(signature), nil
}

// timed are the claims that say when, and that no two tokens are one.
func timed(now time.Time) map[string]any {
	return map[string]any{
		"iat": now.Add(-assertionAge).Unix(),
		"exp": now.Add(assertionLife).Unix(),
		"jti": rand.Text(),
	}
}
