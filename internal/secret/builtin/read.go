package builtin

import (
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

// head is the row of a secret that is not deleted.
type head struct{ latest int }

func readHead(ctx context.Context, from querier, path string) (h head, err error) {
	err = from.QueryRowContext(ctx, "SELECT latest FROM secret WHERE name = $1 AND deleted = 0", path).Scan(&h.latest)
	if errors.Is(err, sql.ErrNoRows) {
		err = secret.ErrNotFound
	}
	return h, err
}

// record is the row of a version that is not deleted.
type record struct {
	sealed  []byte
	created int64
}

func readRecord(ctx context.Context, from querier, path string, number int) (r record, err error) {
	err = from.QueryRowContext(ctx, "SELECT sealed, created FROM secret_version WHERE name = $1 AND version = $2 AND deleted = 0",
		path, number).Scan(&r.sealed, &r.created)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("version %d: %w", number, secret.ErrVersionGone)
	}
	return r, err
}

// List implements secret.Lister.
func (s *Store) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	entries, err := s.list(ctx, prefix)
	if err != nil {
		return nil, s.failed(ctx, "listing", prefix, err)
	}
	slices.SortFunc(entries, func(a, b secret.Entry) int { return strings.Compare(a.Path, b.Path) }) // a database's collation may differ
	return entries, nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]secret.Entry, error) {
	if !nameChars(prefix) {
		return nil, nil // no name begins like this
	}
	rows, err := s.db.QueryContext(ctx, `SELECT s.name, v.version, v.created FROM secret s
		JOIN secret_version v ON v.name = s.name AND v.version = s.latest
		WHERE s.deleted = 0 AND substr(s.name, 1, $1) = $2`, len(prefix), prefix)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var entries []secret.Entry
	for rows.Next() {
		var path string
		var number int
		var created int64
		if err := rows.Scan(&path, &number, &created); err != nil {
			return nil, err
		}
		entries = append(entries, secret.Entry{Path: path, Version: describe(number, created, true)})
	}
	return entries, rows.Err()
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
	rows, err := s.db.QueryContext(ctx, `SELECT v.version, v.created, s.latest FROM secret s JOIN secret_version v ON v.name = s.name
		WHERE s.name = $1 AND s.deleted = 0 AND v.deleted = 0 ORDER BY v.version DESC`, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var versions []secret.Version
	for rows.Next() {
		var number, latest int
		var created int64
		if err := rows.Scan(&number, &created, &latest); err != nil {
			return nil, err
		}
		versions = append(versions, describe(number, created, number == latest))
	}
	if len(versions) == 0 && rows.Err() == nil {
		return nil, secret.ErrNotFound
	}
	return versions, rows.Err()
}
