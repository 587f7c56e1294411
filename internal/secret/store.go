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

// What stores answer. Each is wrapped with the path and the store's own reason.
var (
	ErrNotFound    = errors.New("no such secret")
	ErrVersionGone = errors.New("no such version of the secret")
	ErrDenied      = errors.New("the store denies access")
	ErrUnavailable = errors.New("the store is unavailable")
)
