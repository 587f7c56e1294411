package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// Keeper holds a key-encryption key that never leaves it. It has the shape of gocloud.dev/secrets.Keeper, so that the
// key-management services fit. Decrypt returns ErrWrongKeeper, wrapped, when the bytes were encrypted under another
// key.
type Keeper interface {
	Encrypt(ctx context.Context, plaintext []byte) ([]byte, error)
	Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error)
}

// ErrWrongKeeper is what a Keeper answers to bytes that its key did not encrypt, or that were altered since.
var ErrWrongKeeper = errors.New("the key-encryption key does not fit")

// keySize is an AES-256 key, in bytes.
const keySize = 32

// maxKeyFile bounds what is read of a key file: 32 bytes are 44 characters of base64.
const maxKeyFile = 1024

const hintKeyForm = "a seal key is 32 random bytes in base64: `sallyport init` makes one, or `openssl rand -base64 32`"

// KeyFromFile returns the keeper of the key in the file at path: 32 bytes in base64, white space around them ignored.
//
// A file that the group or others may read is refused, unless it is one of an orchestrator's secret mounts, whose modes
// are not the operator's to choose: below /run/secrets, or without a write bit for anyone (a Docker secret's 0444, a
// Kubernetes volume's defaultMode 0440, a systemd credential).
func KeyFromFile(path string) (Keeper, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("reading seal key: %w", err),
			"`sallyport init` makes a key; `seal.key_file` says where it is")
	}
	if info.Size() > maxKeyFile || !info.Mode().IsRegular() {
		return nil, fault.WithHint(fmt.Errorf("reading seal key %q: this is no key file", path), hintKeyForm)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && !isMount(path, mode) {
		return nil, fault.WithHint(fmt.Errorf("reading seal key %q: others than its owner may read it (mode %04o)",
			path, mode), "chmod 600 "+path)
	}
	text, err := localfile.Read(path, localfile.Small)
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("reading seal key: %w", err),
			"the file must be readable for the user that Sallyport runs as")
	}
	keeper, err := newLocalKeeper(string(text))
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("reading seal key %q: %w", path, err), hintKeyForm)
	}
	return keeper, nil
}

func isMount(path string, mode os.FileMode) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	return strings.HasPrefix(path, "/run/secrets/") || strings.HasPrefix(path, "/var/run/secrets/") || mode&0o222 == 0
}

// KeyFromEnv returns the keeper of the key in the environment variable name, in the same form.
func KeyFromEnv(name string) (Keeper, error) {
	keeper, err := newLocalKeeper(os.Getenv(name))
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("reading seal key from $%s: %w", name, err), hintKeyForm)
	}
	return keeper, nil
}

// GenerateKeyFile makes a key and writes it to a new file of mode 0600, durably. An existing file is never touched: the
// key in it may be the only one that opens a database.
func GenerateKeyFile(path string) error {
	key := make([]byte, keySize)
	_, _ = rand.Read(key)                                                    // never fails
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the path is the operator's
	if errors.Is(err, os.ErrExist) {
		return fault.WithHint(fmt.Errorf("making seal key: %w", err),
			"this key may be in use: keep it, or name another file")
	}
	if err != nil {
		return fmt.Errorf("making seal key: %w", err)
	}
	_, errWrite := file.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(errWrite, file.Sync(), file.Close(), syncDir(filepath.Dir(path))); err != nil {
		// half a key would pass for one in use
		return errors.Join(fmt.Errorf("making seal key %q: %w", path, err), os.Remove(path))
	}
	return nil
}

// syncDir makes the new file's name as durable as its content.
func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// localKeeper encrypts with AES-256-GCM under a key in memory. A random nonce is safe here: it wraps a few keysets
// ever.
type localKeeper struct{ aead cipher.AEAD }

func newLocalKeeper(text string) (Keeper, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errors.New("it is empty")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("it is not base64") // the decoder's error tells a position, and nobody needs that
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("it has %d bytes and not %d", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return localKeeper{aead}, nil
}

func (k localKeeper) Encrypt(_ context.Context, plaintext []byte) ([]byte, error) {
	return k.aead.Seal(nil, nil, plaintext, nil), nil //nolint:gosec // this AEAD draws its nonce itself and takes none
}

func (k localKeeper) Decrypt(_ context.Context, ciphertext []byte) ([]byte, error) {
	plaintext, err := k.aead.Open(nil, nil, ciphertext, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrongKeeper, err)
	}
	return plaintext, nil
}
