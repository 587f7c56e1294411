package cipher_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/secret"
)

// sample is a plaintext and what n8n made of it.
type sample struct{ Plain, Stored string }

// vector is what n8n makes under one master key: testdata/vectors.mjs.
type vector struct {
	Master             string
	CBC, GCM, Prefixed []sample
	Rows               []struct{ Kind, Type, Algorithm, Value, Plain string }
	Derived            struct{ InstanceID, JWT, HMAC, Binary string }
}

const (
	labKey  = "labkey-AAAA-0123456789abcdef"
	dataKey = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
	keyID   = "AbCdEf0123456789"
)

func value(s string) secret.Value { return secret.NewValue([]byte(s)) }

func vectors(t testing.TB) []vector {
	t.Helper()
	content, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(content, &vs); err != nil || len(vs) == 0 {
		t.Fatalf("%d vectors, %v", len(vs), err)
	}
	return vs
}

func gcm(t testing.TB, key string) cipher.Cipher {
	t.Helper()
	c, err := cipher.New(cipher.AlgorithmGCM, value(key))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestVectors reads what n8n has written, and writes what reads the same.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Master, func(t *testing.T) {
			for _, s := range v.CBC {
				reads(t, cipher.NewCBC(value(v.Master)), s, s.Stored, cipher.FormCBC)
			}
			for _, s := range v.GCM {
				reads(t, cipher.NewWrapping(value(v.Master)), s, s.Stored, cipher.FormGCM)
			}
			for _, s := range v.Prefixed {
				id, rest, err := cipher.Split(s.Stored)
				if id != keyID || err != nil || cipher.Join(id, rest) != s.Stored ||
					cipher.FormOf(s.Stored) != cipher.FormPrefixed {
					t.Fatalf("split into %q and %q, %v, form %s", id, rest, err, cipher.FormOf(s.Stored))
				}
				reads(t, gcm(t, dataKey), s, rest, cipher.FormGCM)
			}
		})
	}
}

func reads(t *testing.T, c cipher.Cipher, s sample, stored string, form cipher.Form) {
	t.Helper()
	if got, err := c.Decrypt(stored); err != nil || string(got.Reveal()) != s.Plain {
		t.Errorf("%s: got %q, %v; want %q", stored, got.Reveal(), err, s.Plain)
	}
	if got := cipher.FormOf(stored); got != form {
		t.Errorf("%s: form %s, want %s", stored, got, form)
	}
	again := c.Encrypt(value(s.Plain))
	if got, err := c.Decrypt(again); err != nil || string(got.Reveal()) != s.Plain || cipher.FormOf(again) != form {
		t.Errorf("round trip of %q: %q, %v", s.Plain, got.Reveal(), err)
	}
	if again == stored || len(again) != len(stored) {
		t.Errorf("%q is encrypted as %s, by n8n as %s; want another salt and the same length", s.Plain, again, stored)
	}
}

// TestOpenSSL reads what `printf %s PLAIN | openssl enc -aes-256-cbc -md md5 -a -A -k KEY` has written (OpenSSL 3).
func TestOpenSSL(t *testing.T) {
	for _, c := range []struct{ key, plain, stored string }{
		{"labkey-AAAA-0123456789abcdef", ``, "U2FsdGVkX1//kUIaoFgJVX6lckSCXLtdAtL/A5pcUo4="},
		{"labkey-AAAA-0123456789abcdef", `{"name":"X-Test"}`, "U2FsdGVkX1+HnRE2jXqEaLUNgOHNC98t70mUqWD7DpapMevHMg2zLykTObb+2F1B"},
		{"labkey-AAAA-0123456789abcdef", `sixteen bytes...`, "U2FsdGVkX19WvUVft46+RG5gLAcCn32avD01j+TykE0e+ZY1VY2dsNeQaIhi7gkw"},
		{"odd", ``, "U2FsdGVkX1/z/itoqu3eyfWXAItJospzXOY94XGmL04="},
		{"odd", `{"name":"X-Test"}`, "U2FsdGVkX1/GpTWOD/i12cnQHW/Odhw0oNq7RxyCTQ96To+V3dRvNGwkayRX+V7/"},
		{"odd", `sixteen bytes...`, "U2FsdGVkX1+28eZcH+RUxsKz0My9dMvKb/eOAbmg/7sYFK5RIsrWpOKz3wRvxhGf"},
	} {
		got, err := cipher.NewCBC(value(c.key)).Decrypt(c.stored)
		if err != nil || string(got.Reveal()) != c.plain {
			t.Errorf("%s: got %q, %v; want %q", c.stored, got.Reveal(), err, c.plain)
		}
	}
}

// TestALivingRow opens the legacy data key of an n8n 2.41.1 that has run.
func TestALivingRow(t *testing.T) {
	row := cipher.DeploymentKey{Type: cipher.TypeDataEncryption, Algorithm: cipher.AlgorithmCBC, Value: value(
		"AeR7RsYt/wqOwNbp71+ZIzkS8AtbyBxwRon5z36P/f36nD6VA/Rc6OwXOTFgDuVrxwqgkB4sVrqpvwwetDN0a1MZCPvp9ojNa7Yxba0=")}
	if got, how, err := row.Unwrap(value(labKey)); err != nil || how != cipher.Wrapped ||
		string(got.Reveal()) != labKey {
		t.Errorf("got %q, %s, %v", got.Reveal(), how, err)
	}
	if _, _, err := row.Unwrap(value(labKey + "x")); !errors.Is(err, cipher.ErrWrongKey) {
		t.Errorf("under another key: %v", err)
	}
}

func TestUnwrap(t *testing.T) {
	for _, v := range vectors(t) {
		for _, r := range v.Rows {
			t.Run(fmt.Sprintf("%s/%s %s %s", v.Master, r.Type, r.Algorithm, r.Kind), func(t *testing.T) {
				row := cipher.DeploymentKey{Type: r.Type, Algorithm: r.Algorithm, Value: value(r.Value)}
				got, how, err := row.Unwrap(value(v.Master))
				if err != nil || string(how) != r.Kind || string(got.Reveal()) != r.Plain {
					t.Fatalf("got %q, %s, %v; want %q, %s", got.Reveal(), how, err, r.Plain, r.Kind)
				}
				_, _, err = row.Unwrap(value("another master key, of some length"))
				readable := how == cipher.Plain || how == cipher.RawHex
				if readable != (err == nil) {
					t.Errorf("under another key: %v", err)
				}
			})
		}
	}
}

func TestUnwrapRefusesWhatItDoesNotKnow(t *testing.T) {
	wrapped := cipher.NewWrapping(value(labKey)).Encrypt(value("x"))
	for _, row := range []cipher.DeploymentKey{
		{Type: "something.new", Algorithm: cipher.AlgorithmGCM, Value: value(wrapped)},
		{Type: "signing.jwt", Algorithm: "aes-512", Value: value(wrapped)},
		{Type: cipher.TypeDataEncryption, Value: value(wrapped)},
		{Type: cipher.TypeInstanceID, Algorithm: cipher.AlgorithmGCM, Value: value(wrapped)},
		{Type: "signing.jwt", Algorithm: cipher.AlgorithmGCM, Value: value("no ciphertext")},
		{},
	} {
		if got, _, err := row.Unwrap(value(labKey)); !errors.Is(err, cipher.ErrMalformed) || !got.IsZero() {
			t.Errorf("%s %s: %v", row.Type, row.Algorithm, err)
		}
	}
}

// TestUnwrapChecksWhatCBCCannot: garbage that a wrong key has decrypted to is not taken for a data key.
func TestUnwrapChecksWhatCBCCannot(t *testing.T) {
	for _, kind := range []string{cipher.TypeDataEncryption, cipher.TypeJWE} {
		row := cipher.DeploymentKey{
			Type: kind, Algorithm: cipher.AlgorithmGCM,
			Value: value(cipher.NewCBC(value(labKey)).Encrypt(value("neither a key nor JSON"))),
		}
		if _, _, err := row.Unwrap(value(labKey)); !errors.Is(err, cipher.ErrWrongKey) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestDerived(t *testing.T) {
	for _, v := range vectors(t) {
		master := value(v.Master)
		for name, pair := range map[string][2]string{
			"instance id": {cipher.InstanceID(master), v.Derived.InstanceID},
			"JWT":         {string(cipher.JWTSecret(master).Reveal()), v.Derived.JWT},
			"HMAC":        {string(cipher.HMACSecret(master).Reveal()), v.Derived.HMAC},
			"binary data": {string(cipher.BinarySigningSecret(master).Reveal()), v.Derived.Binary},
		} {
			if pair[0] != pair[1] || pair[0] == "" {
				t.Errorf("%s of %q: got %q, want %q", name, v.Master, pair[0], pair[1])
			}
		}
	}
}

// TestWrongKeyCBC: nearly every wrong key is refused, and none gives the plaintext.
func TestWrongKeyCBC(t *testing.T) {
	stored := vectors(t)[0].CBC[2]
	passed := 0
	for i := range 2000 {
		got, err := cipher.NewCBC(value(fmt.Sprintf("wrong key %d", i))).Decrypt(stored.Stored)
		switch {
		case err == nil && string(got.Reveal()) == stored.Plain:
			t.Fatal("a wrong key gives the plaintext")
		case err == nil:
			passed++
		case !errors.Is(err, cipher.ErrWrongKey):
			t.Fatal(err)
		}
	}
	// The value and the keys are fixed, so the number is: 2000/256 is 7.8.
	if passed == 0 || passed > 30 {
		t.Errorf("%d of 2000 wrong keys pass the padding", passed)
	}
}

func TestWrongKeyGCM(t *testing.T) {
	c := cipher.NewWrapping(value(labKey))
	stored := c.Encrypt(value("x"))
	if _, err := cipher.NewWrapping(value("other")).Decrypt(stored); !errors.Is(err, cipher.ErrWrongKey) {
		t.Error(err)
	}
	changed := stored[:40] + flip(stored[40:41]) + stored[41:]
	if _, err := c.Decrypt(changed); !errors.Is(err, cipher.ErrWrongKey) {
		t.Error(err)
	}
}

func flip(s string) string {
	if s == "A" {
		return "B"
	}
	return "A"
}

func TestMalformed(t *testing.T) {
	for _, in := range []string{
		" ", "plain", "U2FsdGVkX1", "U2FsdGVkX1/ANHUdnnTX2A==", "U2FsdGVkX1/ANHUdnnTX2HuzcWGrMhTXMmC6YTGBk2E",
		"U2FsdGVkX1/ANHUdnnTX2HuzcWGr\nMhTXMmC6YTGBk2E=", "a:b:c", "AA==", "AQ==", "a b:U2FsdGVkX1/ANHUdnnTX2HuzcWGrMhTXMmC6YTGBk2E=",
		":U2FsdGVkX1/ANHUdnnTX2HuzcWGrMhTXMmC6YTGBk2E=", strings.Repeat("k", 37) + ":U2FsdGVkX1/ANHUdnnTX2HuzcWGrMhTXMmC6YTGBk2E=", `{"name":"value"}`, "https://example.com",
	} {
		if form := cipher.FormOf(in); form != cipher.FormUnknown {
			t.Errorf("%q is taken for %s", in, form)
		}
		for _, c := range []cipher.Cipher{cipher.NewCBC(value(labKey)), cipher.NewWrapping(value(labKey))} {
			if got, err := c.Decrypt(in); !errors.Is(err, cipher.ErrMalformed) || !got.IsZero() {
				t.Errorf("%T of %q: %v", c, in, err)
			} else if len(in) > 5 && strings.Contains(err.Error(), in) {
				t.Errorf("%T of %q: the error quotes it: %v", c, in, err)
			}
		}
	}
	if got, err := cipher.NewCBC(value(labKey)).Decrypt(""); err != nil || !got.IsZero() ||
		cipher.FormOf("") != cipher.FormEmpty {
		t.Errorf("the empty value: %v", err)
	}
}

func TestNew(t *testing.T) {
	for algorithm, key := range map[string]string{"aes-512-cbc": labKey, "": labKey, cipher.AlgorithmGCM: "0011"} {
		if _, err := cipher.New(algorithm, value(key)); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", algorithm, err)
		}
	}
	if _, err := cipher.New(cipher.AlgorithmGCM, value(strings.Repeat("zz", 32))); err == nil ||
		strings.Contains(err.Error(), "z") {
		t.Errorf("no hexadecimal digits: %v", err)
	}
	if c, err := cipher.New(cipher.AlgorithmCBC, value(labKey)); err != nil || c == nil {
		t.Errorf("CBC: %v", err)
	}
}

// TestNothingPrints: a cipher holds a key, and may end up in a log.
func TestNothingPrints(t *testing.T) {
	row := cipher.DeploymentKey{Type: "t", Value: value(labKey)}
	for _, v := range []any{cipher.NewCBC(value(labKey)), cipher.NewWrapping(value(labKey)), gcm(t, dataKey), row} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			out := fmt.Sprintf(format, v)
			if strings.Contains(out, "labkey") || strings.Contains(out, fmt.Sprintf("%x", labKey)) ||
				strings.Contains(out, "00112233") {
				t.Errorf("%T prints itself with %s: %s", v, format, out)
			}
		}
	}
}
