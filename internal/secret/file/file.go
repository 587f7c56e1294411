// Package file is the store of secrets that others put into a folder as files: Docker and Compose (/run/secrets),
// Kubernetes (mounted Secrets), systemd credentials, an agent of another store.
//
// A path is a file's name below the folder, or its absolute name there. The file's content is the value; one line break
// at its end, which editors and echo leave, is not part of it, and neither is the byte order mark of an editor on
// Windows. It is a secret.Store, secret.Lister and secret.Watcher. It writes nothing: a file has no versions to go back
// to.
//
// Invariant: nothing outside the folder is ever read, whatever the path or a symbolic link in the folder says
// (os.Root).
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// MaxValue is the size of the largest value, in bytes.
const MaxValue = 1 << 20

// DefaultPoll is how often Watch looks.
const DefaultPoll = 2 * time.Second

// Options say which folder.
type Options struct {
	Dir  string        // the folder that paths are below; symbolic links that leave it are refused
	Poll time.Duration // how often Watch looks; 0 is DefaultPoll
}

// Store reads secrets from files. It keeps nothing open and nothing in memory; it is safe for concurrent use.
type Store struct {
	dir  string
	poll time.Duration
}

// New checks o. The folder need not be there yet.
func New(o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, fault.WithHint(errors.New("setting up file: there is no folder"), "set `dir`, such as /run/secrets")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("setting up file: %w", err)
	}
	if o.Poll <= 0 {
		o.Poll = DefaultPoll
	}
	return &Store{dir: dir, poll: o.Poll}, nil
}

// Get implements secret.Store. There is one version, named by the time the file was last written.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	value, v, err := s.get(ctx, path)
	if err == nil && version != "" && version != v.ID {
		err = fault.WithHint(secret.ErrVersionGone,
			"a file has one version, its content; leave `?version=` out of the reference")
	}
	if err != nil {
		return secret.Value{}, secret.Version{}, s.failed("reading", path, err)
	}
	return value, v, nil
}

func (s *Store) get(ctx context.Context, path string) (secret.Value, secret.Version, error) {
	if err := ctx.Err(); err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	name, err := s.name(path)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return secret.Value{}, secret.Version{}, s.noFolder(err)
	}
	defer root.Close() //nolint:errcheck // a folder, opened to read
	content, info, err := read(root, name)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	return secret.NewValue(content), describe(info), nil
}

func describe(info fs.FileInfo) secret.Version {
	written := info.ModTime().UTC()
	return secret.Version{ID: written.Format(time.RFC3339Nano), Created: written, Current: true}
}

// History implements secret.Lister: what is there, and nothing older.
func (s *Store) History(ctx context.Context, path string) ([]secret.Version, error) {
	_, v, err := s.Get(ctx, path, "")
	if err != nil {
		return nil, err
	}
	return []secret.Version{v}, nil
}

// failed names the secret.
func (s *Store) failed(doing, path string, err error) error {
	return fmt.Errorf("%s secret %q from the folder %q: %w", doing, path, s.dir, err)
}
