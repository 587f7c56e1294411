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
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	name string
	kind string // of key, as kindOf says
	hash crypto.Hash
	pss  bool
	size int // of r and of s, in bytes
}

func algorithms() []algorithm { // the first of a kind of key is its default
	return []algorithm{
		{"RS256", kindRSA, crypto.SHA256, false, 0},
		{"RS384", kindRSA, crypto.SHA384, false, 0},
		{"RS512", kindRSA, crypto.SHA512, false, 0},
		{"PS256", kindRSA, crypto.SHA256, true, 0},
		{"PS384", kindRSA, crypto.SHA384, true, 0},
		{"PS512", kindRSA, crypto.SHA512, true, 0},
		{"ES256", "EC (P-256)", crypto.SHA256, false, 32},
		{"ES384", "EC (P-384)", crypto.SHA384, false, 48},
		{"ES512", "EC (P-521)", crypto.SHA512, false, 66},
		{"EdDSA", kindEd25519, 0, false, 0},
	}
}

const (
	kindRSA     = "RSA"
	kindEd25519 = "Ed25519"
)

// NewSigner reads a private key in PEM (PKCS #8, PKCS #1, SEC 1) for an algorithm of RFC 7518: RS256, RS384, RS512, PS256,
// PS384, PS512, ES256, ES384, ES512, EdDSA; "" is the usual one for the kind of key. keyID becomes the header "kid", if it is
// not empty. The error never quotes the key.
func NewSigner(pem secret.Value, alg, keyID string) (*Signer, error) {
	key, err := parseKey(pem.Reveal())
	if err != nil {
		return nil, err
	}
	kind := kindOf(key)
	rows := algorithms()
	i := slices.IndexFunc(rows, func(a algorithm) bool { return a.name == alg || alg == "" && a.kind == kind })
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
	return &Signer{key: key, alg: rows[i], keyID: keyID, print: rows[i].name + " " + keyID + " " + hex.EncodeToString(sum[:])}, nil
}

func names(rows []algorithm) string {
	all := make([]string, len(rows))
	for i, r := range rows {
		all[i] = r.name
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
	header := map[string]string{"alg": s.alg.name, "typ": "JWT"}
	if s.keyID != "" {
		header["kid"] = s.keyID
	}
	head, errHead := json.Marshal(header)
	body, errBody := json.Marshal(claims)
	if err := errors.Join(errHead, errBody); err != nil {
		return "", errors.New("the claims of a JWT cannot be written as JSON")
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	signature, err := s.signature([]byte(text))
	if err != nil {
		return "", fmt.Errorf("signing a JWT with %s: %w", s.alg.name, err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func (s *Signer) signature(text []byte) ([]byte, error) {
	digest, opts := text, crypto.SignerOpts(s.alg.hash)
	if s.alg.hash != 0 {
		h := s.alg.hash.New()
		h.Write(text)
		digest = h.Sum(nil)
	}
	if s.alg.pss {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.alg.hash}
	}
	if key, ok := s.key.(*ecdsa.PrivateKey); ok { // JWS wants r and s side by side, not ASN.1
		r, v, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		both := make([]byte, 2*s.alg.size)
		r.FillBytes(both[:s.alg.size])
		v.FillBytes(both[s.alg.size:])
		return both, nil
	}
	return s.key.Sign(rand.Reader, digest, opts)
}

// timed are the claims that say when, and that no two tokens are one.
func timed(now time.Time) map[string]any {
	return map[string]any{
		"iat": now.Add(-assertionAge).Unix(),
		"exp": now.Add(assertionLife).Unix(),
		"jti": rand.Text(),
	}
}
