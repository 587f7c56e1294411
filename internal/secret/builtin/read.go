package builtin

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/secret"
)

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// record is one version as it is kept.
type record struct {
	number  int
	sealed  []byte
	created int64
	current bool
}

// latest stands for the current version's number.
const latest = 0

// readRecord reads a version of a secret that stands like this in the ledger.
func readRecord(ctx context.Context, from querier, is marks, path string, number int) (record, error) {
	if is.deleted() {
		return record{}, secret.ErrNotFound
	}
	wanted := int64(number)
	if number == latest {
		wanted = is.current
	}
	if wanted <= is.floor || wanted > is.highest {
		return record{}, fmt.Errorf("version %d: %w", number, secret.ErrVersionGone)
	}
	r := record{number: int(wanted), current: wanted == is.current}
	err := from.QueryRowContext(ctx,
		"SELECT CASE WHEN length(sealed) <= $1 THEN sealed END, created FROM secret_version WHERE name = $2 AND "+
			"version = $3",
		maxSealed, path, wanted).Scan(&r.sealed, &r.created)
	if errors.Is(err, sql.ErrNoRows) || err == nil && r.sealed == nil {
		return record{}, fmt.Errorf("version %d: it is not in the database any more, and Sallyport has not deleted it",
			wanted)
	}
	return r, err
}

// maxSealed bounds what is read of a version, in bytes.
const maxSealed = MaxValue + 1024

// List implements secret.Lister.
func (s *Store) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	entries, err := s.list(ctx, prefix)
	if err != nil {
		return nil, s.failed(ctx, "listing", prefix, err)
	}
	slices.SortFunc(entries, func(a, b secret.Entry) int {
		return strings.Compare(a.Path, b.Path)
	}) // a database's collation may differ
	return entries, nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]secret.Entry, error) {
	m, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	var entries []secret.Entry
	for path, is := range m.marks {
		if !is.deleted() && strings.HasPrefix(path, prefix) {
			r := record{number: int(is.current), created: m.created[version{path, is.current}], current: true}
			entries = append(entries, secret.Entry{Path: path, Version: r.describe()})
		}
	}
	return entries, nil
}

// History implements secret.Lister.
func (s *Store) History(ctx context.Context, path string) ([]secret.Version, error) {
	versions, err := s.history(ctx, path)
	if err != nil {
		return nil, s.failed(ctx, "reading the history of", path, err)
	}
	return versions, nil
}

func (s *Store) history(ctx context.Context, path string) ([]secret.Version, error) {
	if !ValidName(path) {
		return nil, secret.ErrNotFound
	}
	m, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	is := m.marks[path]
	if is.deleted() {
		return nil, secret.ErrNotFound
	}
	var versions []secret.Version
	for v, created := range m.created {
		if v.path == path {
			r := record{number: int(v.number), created: created, current: v.number == is.current}
			versions = append(versions, r.describe())
		}
	}
	slices.SortFunc(versions, func(a, b secret.Version) int {
		return cmp.Or(cmp.Compare(len(b.ID), len(a.ID)), cmp.Compare(b.ID, a.ID))
	})
	return versions, nil
}
