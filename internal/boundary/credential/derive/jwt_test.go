package derive_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/secret"
)

// keys are made once for all tests: RSA keys take their time.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	return map[string]crypto.Signer{
		"rsa":     must(rsa.GenerateKey(rand.Reader, 2048)),
		"rsa1024": must(rsa.GenerateKey(rand.Reader, 1024)),
		"p256":    must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"p384":    must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"p521":    must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"ed25519": must(ed25519Key()),
	}
})

func ed25519Key() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func value(s string) secret.Value { return secret.NewValue([]byte(s)) }

func pkcs8(name string) string {
	return block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(keys()[name])))
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func signer(t testing.TB, key, alg, id string) *derive.Signer {
	t.Helper()
	s, err := derive.NewSigner(value(pkcs8(key)), alg, id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSign: each algorithm takes its kind of key. The test server, which verifies by the standard library alone, is the
// second opinion.
func TestSign(t *testing.T) {
	for alg, key := range map[string]string{
		"RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
		"ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed25519",
	} {
		t.Run(alg, func(t *testing.T) {
			for range 20 { // r or s of an ECDSA signature is short now and then, and has to be padded
				text, err := signer(t, key, alg,
					"key 1").Sign(map[string]any{"iss": "me", "exp": time.Now().Add(time.Minute).Unix()})
				if err != nil {
					t.Fatal(err)
				}
				token, err := jwt.Parse(text, func(*jwt.Token) (any, error) {
					return keys()[key].Public(), nil
				}, jwt.WithValidMethods([]string{alg}))
				if err != nil || token.Header["kid"] != "key 1" || token.Header["typ"] != "JWT" {
					t.Fatalf("got %v, %v", token, err)
				}
			}
		})
	}
}

func TestUsualAlgorithm(t *testing.T) {
	for key, want := range map[string]string{
		"rsa": "RS256", "p256": "ES256", "p384": "ES384", "p521": "ES512",
		"ed25519": "EdDSA",
	} {
		text, err := signer(t, key, "", "").Sign(map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := jwt.NewParser().ParseUnverified(text, jwt.MapClaims{})
		if err != nil || token.Method.Alg() != want || token.Header["kid"] != nil {
			t.Errorf("%s: got %v, %v, want %s", key, token, err, want)
		}
	}
}

func TestKeyForms(t *testing.T) {
	rsaKey, ok := keys()["rsa"].(*rsa.PrivateKey)
	ecKey, okEC := keys()["p256"].(*ecdsa.PrivateKey)
	if !ok || !okEC {
		t.Fatal("keys of other kinds")
	}
	sec1 := block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey)))
	for name, text := range map[string]string{
		"PKCS #8":                  pkcs8("rsa"),
		"PKCS #1":                  block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)),
		"SEC 1":                    sec1,
		"SEC 1 after parameters":   block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + sec1,
		"literal line breaks":      strings.ReplaceAll(pkcs8("rsa"), "\n", `\n`),
		"literal CR and LF":        strings.ReplaceAll(pkcs8("rsa"), "\n", `\r\n`),
		"literal, and a real last": strings.ReplaceAll(pkcs8("rsa"), "\n", `\n`) + "\n",
		"CRLF":                     strings.ReplaceAll(pkcs8("rsa"), "\n", "\r\n"),
		"space around":             "\n  " + pkcs8("rsa") + "\n\n",
	} {
		if _, err := derive.NewSigner(value(text), "", ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrongKeys(t *testing.T) {
	public := must(x509.MarshalPKIXPublicKey(keys()["rsa"].Public()))
	for name, c := range map[string]struct{ text, alg, want string }{
		"EC for RS256":   {pkcs8("p256"), "RS256", "algorithm RS256 needs a key of the kind RSA, and this one is EC (P-256)"},
		"RSA for ES256":  {pkcs8("rsa"), "ES256", "algorithm ES256 needs a key of the kind EC (P-256), and this one is RSA"},
		"other curve":    {pkcs8("p384"), "ES256", "this one is EC (P-384)"},
		"RSA for EdDSA":  {pkcs8("rsa"), "EdDSA", "needs a key of the kind Ed25519"},
		"Ed for PS256":   {pkcs8("ed25519"), "PS256", "this one is Ed25519"},
		"none":           {pkcs8("rsa"), "none", `no algorithm "none"`},
		"HMAC":           {pkcs8("rsa"), "HS256", `no algorithm "HS256"`},
		"short":          {pkcs8("rsa1024"), "", "1024 bits"},
		"public":         {block("PUBLIC KEY", public), "", "PUBLIC KEY block"},
		"encrypted":      {block("ENCRYPTED PRIVATE KEY", public), "", "passphrase"},
		"OpenSSH":        {block("OPENSSH PRIVATE KEY", public), "", "ssh-keygen"},
		"garbage inside": {block("PRIVATE KEY", []byte("geheim-canary")), "", "does not hold such a key"},
		"no PEM":         {"geheim-canary", "", "not in PEM"},
		"cut":            {pkcs8("rsa")[:400], "", "not in PEM"},
		"empty":          {"", "", "not in PEM"},
	} {
		_, err := derive.NewSigner(value(c.text), c.alg, "")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
