package cipher_test

import (
	"bytes"
	"errors"
	"testing"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/secret"
)

// FuzzDecrypt: whatever a database holds is decrypted or refused with one of two errors, and what FormOf knows nothing
// of is never decrypted.
func FuzzDecrypt(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.CBC[1].Stored, v.Master)
		f.Add(v.GCM[1].Stored, v.Master)
		f.Add(v.Prefixed[1].Stored, v.Master)
	}
	f.Add("", "")
	f.Add("a:b", "\xff")
	f.Fuzz(func(t *testing.T, stored, key string) {
		form := cipher.FormOf(stored)
		for _, c := range []cipher.Cipher{cipher.NewCBC(value(key)), cipher.NewWrapping(value(key))} {
			plain, err := c.Decrypt(stored)
			switch {
			case err != nil && !errors.Is(err, cipher.ErrMalformed) && !errors.Is(err, cipher.ErrWrongKey):
				t.Errorf("%T: %v", c, err)
			case err != nil && !plain.IsZero():
				t.Errorf("%T: an error and a value", c)
			case err == nil && form == cipher.FormUnknown:
				t.Errorf("%T decrypts %q, which is of no form", c, stored)
			}
		}
		if id, rest, err := cipher.Split(stored); err == nil && id != "" && cipher.Join(id, rest) != stored {
			t.Errorf("%q is split into %q and %q", stored, id, rest)
		}
	})
}

// FuzzRoundTrip: every plaintext comes back under every key, and a DeploymentKey of it never panics.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("{}"), labKey, "signing.jwt", cipher.AlgorithmGCM)
	f.Add([]byte{}, "", cipher.TypeDataEncryption, cipher.AlgorithmCBC)
	f.Add([]byte("sixteen bytes..."), "\xff€😀", cipher.TypeJWE, "RSA-OAEP-256")
	f.Fuzz(func(t *testing.T, plain []byte, key, kind, algorithm string) {
		for _, c := range []cipher.Cipher{cipher.NewCBC(value(key)), cipher.NewWrapping(value(key))} {
			stored := c.Encrypt(secret.NewValue(plain))
			if got, err := c.Decrypt(stored); err != nil || !bytes.Equal(got.Reveal(), plain) {
				t.Errorf("%T: %q comes back as %q, %v", c, plain, got.Reveal(), err)
			}
			row := cipher.DeploymentKey{Type: kind, Algorithm: algorithm, Value: secret.NewValue(plain)}
			if got, how, err := row.Unwrap(value(key)); err != nil && (!got.IsZero() || how != "") {
				t.Errorf("an error and a value: %s, %v", how, err)
			}
		}
	})
}
