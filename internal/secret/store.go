package secret

import (
	"context"
	"errors"
	"time"
)

// Version tells of one version of a secret; never its value.
type Version struct {
	ID      string    `json:"version"` // as the store counts them; "1", "2", … in the builtin store
	Created time.Time `json:"created"`
	Current bool      `json:"current"` // exactly one version of a secret is
}

// Entry is one line of a listing.
type Entry struct {
	Path    string  `json:"name"`
	Version Version `json:"current"`
}

// Store reads secrets. Implementations are safe for concurrent use. The returned Value is the caller's.
type Store interface {
	// Get returns the value at path in version ("" is the current one) and which version that is.
	// Errors: ErrNotFound, ErrVersionGone, ErrDenied, ErrUnavailable (also when sealed), each wrapped with the path.
	Get(ctx context.Context, path, version string) (Value, Version, error)
}

// Writer is a store that can be written to.
type Writer interface {
	// Put makes value the current version of path and returns it. It has happened, durably, when Put returns.
	Put(ctx context.Context, path string, value Value) (Version, error)
	// Rollback makes an older version current again (as a new version with the old value) and returns the new one.
	Rollback(ctx context.Context, path, version string) (Version, error)
	// Delete removes the secret with all versions. ErrNotFound when there is none.
	Delete(ctx context.Context, path string) error
}

// Lister is a store that can tell what it holds.
type Lister interface {
	// List returns every secret under prefix, sorted by path.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// History returns the versions of path, newest first.
	History(ctx context.Context, path string) ([]Version, error)
}

// Key names one version of a secret in a store; Version "" is the current one.
type Key struct{ Path, Version string }

// Result is the answer to one Key of a batch.
type Result struct {
	Value   Value
	Version Version
	Err     error // as Store.Get's
}

// Batcher is a store that reads many secrets in few calls.
type Batcher interface {
	// GetBatch returns one Result per key, in order. A key that fails leaves the others alone.
	GetBatch(ctx context.Context, keys []Key) []Result
}

// Watcher is a store that tells of changes by itself.
type Watcher interface {
	// Watch calls changed, never twice at once, with the path of each secret among paths that has changed, or with ""
	// when any may have. It reconnects by itself, blocks until ctx ends, and then returns nil. An error means that this
	// store, as it is set up, cannot be watched: it has to be polled.
	Watch(ctx context.Context, paths []string, changed func(path string)) error
}

// Runner is a store with work of its own between calls, such as renewing its token.
type Runner interface {
	// Run works until ctx ends and then returns nil. Calls of the other methods do not need it to run.
	Run(ctx context.Context) error
}

// CheckAndSetter is a store that can refuse to overwrite what another process wrote meanwhile.
type CheckAndSetter interface {
	// PutIf is Put if the current version is still expected ("" for: there is no such secret), else ErrConflict.
	PutIf(ctx context.Context, path string, value Value, expected string) (Version, error)
}

// What stores answer. Each is wrapped with the path and the store's own reason.
var (
	ErrNotFound    = errors.New("no such secret")
	ErrVersionGone = errors.New("no such version of the secret")
	ErrDenied      = errors.New("the store denies access")
	ErrUnavailable = errors.New("the store is unavailable")
	ErrConflict    = errors.New("the secret has changed meanwhile")
)
