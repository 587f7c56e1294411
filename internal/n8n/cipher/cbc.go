package cipher

import (
	"bytes"
	"crypto/aes"
	stdcipher "crypto/cipher"
	"crypto/md5" //nolint:gosec // n8n's format, which OpenSSL's is
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"sallyport/internal/secret"
)

const (
	salted    = "Salted__"
	saltSize  = 8
	blockSize = aes.BlockSize
	cbcHeader = len(salted) + saltSize
)

// CBC is the format of n8n 1.x, and of 2.x as long as its keys are not rotated:
// base64("Salted__" || salt (8) || AES-256-CBC with PKCS#7), key and IV by EVP_BytesToKey with MD5, one iteration.
// `openssl enc -aes-256-cbc -md md5 -a -A` is the same.
//
// It has no MAC: a wrong key shows in the padding alone, so that about 1 in 256 wrong keys "decrypts" to garbage. Who
// needs to know that the key is right looks at the plaintext too (JSON, mostly), or opens a GCM value of the same
// master key.
type CBC struct {
	password secret.Value
}

// NewCBC makes the cipher of a master key, or of a data key of this algorithm. n8n takes the low byte of each UTF-16
// unit of the key (Buffer.from(key, 'binary')): "ş" is the same as "_" there.
func NewCBC(key secret.Value) CBC {
	units := unitsOf(key)
	password := make([]byte, len(units))
	for i, u := range units {
		password[i] = byte(u) //nolint:gosec // the truncation is n8n's
	}
	return CBC{secret.NewValue(password)}
}

// Encrypt implements Cipher.
func (c CBC) Encrypt(plaintext secret.Value) string {
	plain := plaintext.Reveal()
	pad := blockSize - len(plain)%blockSize
	raw := make([]byte, cbcHeader, cbcHeader+len(plain)+pad)
	copy(raw, salted)
	_, _ = rand.Read(raw[len(salted):]) // never fails (crypto/rand)
	raw = append(raw, plain...)
	raw = append(raw, bytes.Repeat([]byte{byte(pad)}, pad)...)
	block, iv := c.derive(raw[len(salted):cbcHeader])
	stdcipher.NewCBCEncrypter(block, iv).CryptBlocks(raw[cbcHeader:], raw[cbcHeader:])
	return base64.StdEncoding.EncodeToString(raw)
}

// Decrypt implements Cipher. The empty string is empty, as n8n reads it; other values too short to be ciphertext, which
// n8n reads as empty as well, are ErrMalformed. A success does not prove the key: see CBC.
func (c CBC) Decrypt(stored string) (secret.Value, error) {
	if stored == "" {
		return secret.Value{}, nil
	}
	raw, err := decode(stored)
	if err != nil || !isCBC(raw) {
		return secret.Value{}, fmt.Errorf("decrypting a CBC value: %w", ErrMalformed)
	}
	block, iv := c.derive(raw[len(salted):cbcHeader])
	plain := raw[cbcHeader:]
	stdcipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, plain)
	plain, ok := unpad(plain)
	if !ok {
		return secret.Value{}, fmt.Errorf("decrypting a CBC value: %w", ErrWrongKey)
	}
	return secret.NewValue(plain), nil
}

// unpad takes the PKCS#7 padding off. Nobody who could use a padding oracle asks.
func unpad(plain []byte) ([]byte, bool) {
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > blockSize {
		return nil, false
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, false
		}
	}
	return plain[:len(plain)-pad], true
}

// derive is EVP_BytesToKey(MD5, 1 iteration): 32 bytes of key, 16 of IV.
func (c CBC) derive(salt []byte) (stdcipher.Block, []byte) {
	password := c.password.Reveal()
	in := make([]byte, md5.Size, md5.Size+len(password)+len(salt))
	in = append(append(in, password...), salt...)
	var out [3 * md5.Size]byte
	digest := md5.Sum(in[md5.Size:]) //nolint:gosec // n8n's format
	copy(out[:], digest[:])
	for i := md5.Size; i < len(out); i += md5.Size {
		copy(in, digest[:])
		digest = md5.Sum(in) //nolint:gosec // n8n's format
		copy(out[i:], digest[:])
	}
	block, err := aes.NewCipher(out[:2*md5.Size])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	return block, out[2*md5.Size:]
}
