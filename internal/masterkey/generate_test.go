package masterkey_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		key := string(masterkey.Generate().Reveal())
		raw, err := base64.StdEncoding.Strict().DecodeString(key)
		if err != nil || len(raw) != masterkey.Size || seen[key] {
			t.Fatalf("%d bytes, %v, seen before: %t", len(raw), err, seen[key])
		}
		seen[key] = true
		problem, _ := environment.KeyProblem(key, func(string) bool { return false })
		if environment.Normalize(key) != key || problem+environment.KeyDoubt(key) != "" {
			t.Fatalf("n8n reads the key otherwise, or it is taken for a mistake: %s", problem)
		}
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n8n.key")
	key := masterkey.Generate()
	if err := masterkey.WriteFile(path, key); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	err = masterkey.WriteFile(path, masterkey.Generate())
	if !errors.Is(err, fs.ErrExist) || fault.HintOf(err) == "" {
		t.Errorf("a second time: %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != string(key.Reveal()) {
		t.Errorf("the file has %d bytes, %v; want the first key alone", len(content), err)
	}
}

func TestWriteFileFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	link, target := filepath.Join(dir, "link"), filepath.Join(dir, "target")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := masterkey.WriteFile(link, masterkey.Generate()); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
	if err := masterkey.WriteFile(filepath.Join(dir, "no", "such", "folder"),
		masterkey.Generate()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// shelf is a store in memory. err is what Get answers instead.
type shelf struct {
	held map[string]secret.Value
	err  error
}

func (s *shelf) Get(_ context.Context, path, _ string) (secret.Value, secret.Version, error) {
	v, ok := s.held[path]
	switch {
	case s.err != nil:
		return secret.Value{}, secret.Version{}, s.err
	case !ok:
		return secret.Value{}, secret.Version{}, secret.ErrNotFound
	}
	return v, secret.Version{ID: "1"}, nil
}

func (s *shelf) Put(_ context.Context, path string, value secret.Value) (secret.Version, error) {
	s.held[path] = value
	return secret.Version{ID: "1"}, nil
}

// raced is a store to which another process writes between a look and the writing.
type raced struct{ shelf }

func (*raced) PutIf(context.Context, string, secret.Value, string) (secret.Version, error) {
	return secret.Version{}, secret.ErrConflict
}

func TestPut(t *testing.T) {
	s := &shelf{held: map[string]secret.Value{}}
	first := masterkey.Generate()
	if v, err := masterkey.Put(t.Context(), s, "n8n/master", first); err != nil || v.ID != "1" {
		t.Fatal(v, err)
	}
	_, err := masterkey.Put(t.Context(), s, "n8n/master", masterkey.Generate())
	if !errors.Is(err, masterkey.ErrExists) || !strings.Contains(err.Error(), "n8n/master") || fault.HintOf(err) == "" {
		t.Errorf("a second time: %v", err)
	}
	if !s.held["n8n/master"].Equal(first) {
		t.Error("the first key was overwritten")
	}
}

// TestPutWritesNothingInDoubt: a store that cannot tell whether the secret is there is not written to.
func TestPutWritesNothingInDoubt(t *testing.T) {
	for _, refusal := range []error{secret.ErrUnavailable, secret.ErrDenied, secret.ErrVersionGone} {
		s := &shelf{held: map[string]secret.Value{}, err: refusal}
		if _, err := masterkey.Put(t.Context(), s, "n8n/master", masterkey.Generate()); !errors.Is(err,
			refusal) || len(s.held) > 0 {
			t.Errorf("%v, %d written", err, len(s.held))
		}
	}
	s := &raced{shelf{held: map[string]secret.Value{}}}
	if _, err := masterkey.Put(t.Context(), s, "n8n/master", masterkey.Generate()); !errors.Is(err,
		secret.ErrConflict) || fault.HintOf(err) == "" || len(s.held) > 0 {
		t.Errorf("someone else has written: %v", err)
	}
}
