// Package masterkey makes n8n's master key, N8N_ENCRYPTION_KEY, and puts it where it is kept.
//
// It does not know the formats of n8n (package n8n/cipher), nor how n8n reads its key (package n8n/environment).
//
// Invariant: a key that is there is never overwritten, since it may be the only one that opens a database; and no error
// quotes a key.
package masterkey

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// Size is how many random bytes a key is made of. n8n's own have 24.
const Size = 32

// Generate makes a key: 32 random bytes as base64 (44 characters, no line break). All of it is ASCII, so that n8n uses
// each character as it is, and none of it is a quote or a blank, which n8n would take off.
func Generate() secret.Value {
	raw := make([]byte, Size)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return secret.NewValue([]byte(base64.StdEncoding.EncodeToString(raw)))
}

const hintExists = "the key in it may be the only one that opens a database: keep it, and name another"

// WriteFile writes a key to a new file of mode 0600, durably and without a line break. A file, or a link, that is there
// is left as it is, with an error that is fs.ErrExist. When the writing fails, no file is left.
func WriteFile(path string, key secret.Value) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator's file
	if errors.Is(err, fs.ErrExist) {
		return fault.WithHint(fmt.Errorf("writing the master key: %w", err), hintExists)
	}
	if err != nil {
		return fmt.Errorf("writing the master key: %w", err)
	}
	_, err = f.Write(key.Reveal())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the master key: %w", err), os.Remove(path))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("writing the master key %q: %w", path, err)
	}
	return nil
}

// syncDir makes the new file's name as durable as its content.
func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // the directory of the operator's file
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Store is where a key can be put: a secret.Store that can be written to. One that is a secret.CheckAndSetter refuses
// by itself what another process wrote meanwhile.
type Store interface {
	secret.Store
	Put(ctx context.Context, path string, value secret.Value) (secret.Version, error)
}

// ErrExists is the refusal to overwrite a secret of a store.
var ErrExists = errors.New("there is a secret of this name already")

// Put puts a key into a store under a path where there is none, else ErrExists.
func Put(ctx context.Context, store Store, path string, key secret.Value) (secret.Version, error) {
	if err := absent(ctx, store, path); err != nil {
		return secret.Version{}, fmt.Errorf("writing the master key to %q: %w", path, err)
	}
	var version secret.Version
	var err error
	if guarded, ok := store.(secret.CheckAndSetter); ok {
		version, err = guarded.PutIf(ctx, path, key, "")
	} else {
		version, err = store.Put(ctx, path, key)
	}
	if errors.Is(err, secret.ErrConflict) {
		return secret.Version{}, fault.WithHint(fmt.Errorf("writing the master key: %w", err), hintExists)
	}
	return version, err
}

// absent is nil only if the store says that there is no such secret.
func absent(ctx context.Context, store Store, path string) error {
	_, _, err := store.Get(ctx, path, "")
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return nil
	case err == nil:
		return fault.WithHint(ErrExists, hintExists)
	}
	return fmt.Errorf("looking whether it is there: %w", err)
}
