// Package cipher is how n8n encrypts: its two formats, the prefix that names a data key, the wrapping of the rows of
// its table deployment_key, and the secrets that it derives from the master key. Pure functions over values; it knows
// no database, and nothing of where a key comes from: package environment normalizes a master key as n8n does before it
// comes here.
//
// Sources: n8n 2.41.1, n8n-core/dist/encryption/{aes-256-cbc,aes-256-gcm,cipher}.js,
// n8n/dist/encryption/key-manager.service.js, @n8n/db/dist/repositories/deployment-key.repository.js; n8n 1.x has the
// CBC format alone. The vectors in testdata were made by that n8n.
//
// Invariant: no error quotes a value, a key or a part of one.
package cipher

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sallyport/internal/secret"
)

// What decrypting can end with. Both mean that there is no plaintext.
var (
	// ErrMalformed: the value is in none of the formats, whatever the key.
	ErrMalformed = errors.New("the value is not in a format of n8n")
	// ErrWrongKey: the format is right, and this key does not open it (or, with GCM, someone has changed it).
	ErrWrongKey = errors.New("the value cannot be decrypted with this key")
)

// The algorithms, as the column deployment_key.algorithm names them.
const (
	AlgorithmCBC = "aes-256-cbc"
	AlgorithmGCM = "aes-256-gcm"
)

// Cipher encrypts and decrypts values under one key. It is immutable and may be used concurrently.
type Cipher interface {
	// Encrypt returns the stored form, with a fresh salt each time.
	Encrypt(plaintext secret.Value) string
	// Decrypt undoes Encrypt. Errors: ErrMalformed, ErrWrongKey.
	Decrypt(stored string) (secret.Value, error)
}

// New is the cipher of a data key: the plaintext of a row of deployment_key, with the row's algorithm.
func New(algorithm string, key secret.Value) (Cipher, error) {
	switch algorithm {
	case AlgorithmCBC:
		return NewCBC(key), nil
	case AlgorithmGCM:
		return NewGCM(key)
	}
	return nil, fmt.Errorf("choosing a cipher: n8n has no algorithm %q", algorithm)
}

// Form is what a stored value looks like.
type Form string

// The forms.
const (
	FormEmpty    Form = "empty"    // n8n stores what is empty as it is, and reads it as empty
	FormCBC      Form = "cbc"      // under the master key, or the legacy data key
	FormGCM      Form = "gcm"      // in deployment_key alone: wrapped under the master key
	FormPrefixed Form = "prefixed" // <key id>:<base64>, under a data key
	FormUnknown  Form = "unknown"
)

// FormOf tells the form of a stored value without any key. It looks at the whole value, so that ordinary text is not
// taken for ciphertext.
func FormOf(stored string) Form {
	if stored == "" {
		return FormEmpty
	}
	id, rest, err := Split(stored)
	if err != nil {
		return FormUnknown
	}
	raw, err := decode(rest)
	switch {
	case err != nil:
		return FormUnknown
	case !isCBC(raw) && !isGCM(raw):
		return FormUnknown
	case id != "":
		return FormPrefixed
	case isCBC(raw):
		return FormCBC
	}
	return FormGCM
}

// keyID is cipher.js's KEY_ID_PATTERN.
var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,36}$`)

// Split takes the id of the data key off a stored value; it is "" for a value without a prefix. A colon behind anything
// that is no id is ErrMalformed, as n8n takes it.
func Split(stored string) (id, ciphertext string, err error) {
	id, ciphertext, found := strings.Cut(stored, ":")
	switch {
	case !found:
		return "", stored, nil
	case !keyID.MatchString(id):
		return "", "", fmt.Errorf("splitting a value: %w", ErrMalformed)
	}
	return id, ciphertext, nil
}

// Join puts the id of a data key before what its cipher has encrypted.
func Join(id, ciphertext string) string { return id + ":" + ciphertext }

var strict = base64.StdEncoding.Strict()

// decode reads base64 as n8n writes it. n8n itself reads more (without padding, the URL alphabet, with other characters
// among it), but has never written it: such a value is for a person to look at.
func decode(s string) ([]byte, error) {
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 { // which Go's decoder skips
		return nil, ErrMalformed
	}
	raw, err := strict.DecodeString(s)
	if err != nil {
		return nil, ErrMalformed
	}
	return raw, nil
}

func isCBC(raw []byte) bool {
	return len(raw) >= cbcHeader+blockSize && len(raw)%blockSize == 0 && bytes.HasPrefix(raw, []byte(salted))
}

func isGCM(raw []byte) bool { return len(raw) >= gcmHeader && raw[0] == gcmVersion }
