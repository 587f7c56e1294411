package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"sallyport/internal/secret"
)

const (
	iterations = 4096 // the server's own default, and RFC 7677's least
	saltLength = 16
)

// verifier is what the server keeps of a password, as pg_authid has it: SCRAM-SHA-256 of RFC 7677 over RFC 5802. The
// password is printable ASCII, which SASLprep (RFC 4013) leaves as it is.
func verifier(password secret.Value) (string, error) {
	salt := make([]byte, saltLength)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("making a salt: %w", err)
	}
	return verifierWith(password, salt, iterations)
}

func verifierWith(password secret.Value, salt []byte, rounds int) (string, error) {
	if !isPrintable(password) {
		return "", errors.New("a password that is not printable ASCII has no one SCRAM verifier")
	}
	salted, err := pbkdf2.Key(sha256.New, string(password.Reveal()), salt, rounds, sha256.Size)
	if err != nil {
		return "", errors.New("computing a SCRAM verifier")
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, encode(salt), encode(stored[:]),
		encode(sign(salted, "Server Key"))), nil
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func isPrintable(password secret.Value) bool {
	for _, c := range password.Reveal() {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return !password.IsZero()
}
