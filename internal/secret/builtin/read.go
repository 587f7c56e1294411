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

// record is one version as it is kept.
type record struct {
	number  int
	sealed  []byte
	created int64
	current bool
}

// latest stands for the current version's number.
const latest = 0

// readRecord reads a version in one statement, so that a deletion meanwhile cannot be seen by halves.
func readRecord(ctx context.Context, from querier, path string, number int) (record, error) {
	var version, created, newest sql.NullInt64
	var r record
	err := from.QueryRowContext(ctx, `SELECT v.version, v.sealed, v.created, s.latest
		FROM secret s LEFT JOIN secret_version v
		ON v.name = s.name AND v.deleted = 0 AND v.version = CASE WHEN CAST($1 AS BIGINT) = 0 THEN s.latest ELSE CAST($1 AS BIGINT) END
		WHERE s.name = $2 AND s.deleted = 0`, number, path).Scan(&version, &r.sealed, &created, &newest)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return record{}, secret.ErrNotFound
	case err != nil:
		return record{}, err
	case !version.Valid:
		return record{}, fmt.Errorf("version %d: %w", number, secret.ErrVersionGone)
	}
	r.number, r.created, r.current = int(version.Int64), created.Int64, version.Int64 == newest.Int64
	return r, nil
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
		r := record{current: true}
		if err := rows.Scan(&path, &r.number, &r.created); err != nil {
			return nil, err
		}
		entries = append(entries, secret.Entry{Path: path, Version: r.describe()})
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
		var r record
		var newest int
		if err := rows.Scan(&r.number, &r.created, &newest); err != nil {
			return nil, err
		}
		r.current = r.number == newest
		versions = append(versions, r.describe())
	}
	if len(versions) == 0 && rows.Err() == nil {
		return nil, secret.ErrNotFound
	}
	return versions, rows.Err()
}
