package cipher

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"sallyport/internal/secret"
)

const (
	gcmVersion = 0x01
	gcmSalt    = 32
	gcmTag     = 16
	gcmHeader  = 1 + gcmSalt + gcmTag
	gcmKey     = 32
	gcmIV      = 12
	gcmInfo    = "n8n-encryption-v1"
)

// GCM is the format of n8n 2.20 and later: base64(0x01 || salt (32) || tag (16) || AES-256-GCM), key (32) and IV (12)
// by HKDF-SHA256 over the key with the salt, info "n8n-encryption-v1". No additional data.
//
// It is authenticated: what decrypts was encrypted under this very key, so that one such value proves a key.
type GCM struct {
	key secret.Value
}

// NewGCM makes the cipher of a data key: 64 hexadecimal digits.
func NewGCM(key secret.Value) (GCM, error) {
	raw, err := hex.DecodeString(string(key.Reveal()))
	if err != nil || len(raw) != gcmKey {
		return GCM{}, errors.New("reading a data key: want 64 hexadecimal digits")
	}
	return GCM{secret.NewValue(raw)}, nil
}

// NewWrapping makes the cipher of a master key that wraps the secrets in deployment_key: SHA-256 of the master key, in
// UTF-8.
func NewWrapping(master secret.Value) GCM {
	sum := sha256.Sum256(utf8Of(unitsOf(master)))
	return GCM{secret.NewValue(sum[:])}
}

// Encrypt implements Cipher.
func (g GCM) Encrypt(plaintext secret.Value) string {
	raw := make([]byte, gcmHeader, gcmHeader+plaintext.Len()+gcmTag)
	raw[0] = gcmVersion
	salt := raw[1 : 1+gcmSalt]
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	aead, iv := g.derive(salt)
	raw = aead.Seal(raw, iv, plaintext.Reveal(), nil)
	cut := len(raw) - gcmTag // Go puts the tag at the end, n8n before the ciphertext
	copy(raw[1+gcmSalt:gcmHeader], raw[cut:])
	return base64.StdEncoding.EncodeToString(raw[:cut])
}

// Decrypt implements Cipher.
func (g GCM) Decrypt(stored string) (secret.Value, error) {
	raw, err := decode(stored)
	if err != nil || !isGCM(raw) {
		return secret.Value{}, fmt.Errorf("decrypting a GCM value: %w", ErrMalformed)
	}
	aead, iv := g.derive(raw[1 : 1+gcmSalt])
	sealed := append(raw[gcmHeader:], raw[1+gcmSalt:gcmHeader]...)
	plain, err := aead.Open(sealed[:0], iv, sealed, nil)
	if err != nil {
		return secret.Value{}, fmt.Errorf("decrypting a GCM value: %w", ErrWrongKey)
	}
	return secret.NewValue(plain), nil
}

func (g GCM) derive(salt []byte) (stdcipher.AEAD, []byte) {
	out, err := hkdf.Key(sha256.New, g.key.Reveal(), salt, gcmInfo, gcmKey+gcmIV)
	if err != nil {
		panic(err) // 44 bytes are not too many
	}
	block, err := aes.NewCipher(out[:gcmKey])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	aead, err := stdcipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM wants
	}
	return aead, out[gcmKey:]
}
