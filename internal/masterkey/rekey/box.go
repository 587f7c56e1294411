package rekey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"io"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"sallyport/internal/secret"
)

const (
	fileKeySize = 32
	boxSalt     = 16
	boxInfo     = "sallyport rekey backup v1"
	segmentSize = 1 << 20
)

// box is a file's key sealed under a master key: AES-256-GCM, key and nonce by HKDF-SHA256 of the master key with a
// salt.
type box struct {
	Salt []byte `json:"salt"`
	Box  []byte `json:"box"`
}

func newFileKey() []byte {
	key := make([]byte, fileKeySize)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return key
}

func seal(key []byte, master secret.Value) box {
	b := box{Salt: make([]byte, boxSalt)}
	_, _ = rand.Read(b.Salt) // never fails (crypto/rand)
	aead, nonce := boxCipher(master, b.Salt)
	b.Box = aead.Seal(nil, nonce, key, nil)
	return b
}

func (b box) open(master secret.Value) (key []byte, ok bool) {
	aead, nonce := boxCipher(master, b.Salt)
	key, err := aead.Open(nil, nonce, b.Box, nil)
	return key, err == nil && len(key) == fileKeySize
}

func boxCipher(master secret.Value, salt []byte) (cipher.AEAD, []byte) {
	const keySize, nonceSize = 32, 12
	out, err := hkdf.Key(sha256.New, master.Reveal(), salt, boxInfo, keySize+nonceSize)
	if err != nil {
		panic(err) // 44 bytes are not too many
	}
	block, err := aes.NewCipher(out[:keySize])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM wants
	}
	return aead, out[keySize:]
}

// sealing and opening are the two ends of the stream; ad is the header's line.
func sealing(w io.Writer, key, ad []byte) (io.WriteCloser, error) {
	s, err := subtle.NewAESGCMHKDF(key, "SHA256", fileKeySize, segmentSize, 0)
	if err != nil {
		return nil, err
	}
	return s.NewEncryptingWriter(w, ad)
}

func opening(r io.Reader, key, ad []byte) (io.Reader, error) {
	s, err := subtle.NewAESGCMHKDF(key, "SHA256", fileKeySize, segmentSize, 0)
	if err != nil {
		return nil, err
	}
	return s.NewDecryptingReader(r, ad)
}
