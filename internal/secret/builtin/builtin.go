// Package builtin is the store that comes with Sallyport: secrets sealed in its own database.
//
// Versions are 1, 2, 3, … and a number is never used twice, also after the secret was deleted and set again. It is a
// secret.Store, secret.Writer and secret.Lister. It does not cache: every Get reads the database.
//
// Invariant: a value is in the database in sealed form only, bound to its name and version (package seal); what Put has
// returned for is on disk.
package builtin

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"
)

// MaxValue is the size of the largest value, in bytes.
const MaxValue = 1 << 20

// Topic is what listeners of the database hear when a secret has changed.
const Topic = "secrets"

// kind is the record kind of seal's associated data.
const kind = "secret"

// Store keeps secrets in a database. It is safe for concurrent use, also by several processes.
type Store struct {
	db     *database.DB
	sealer *seal.Sealer
}

// New returns the store in a migrated db.
func New(db *database.DB, sealer *seal.Sealer) *Store { return &Store{db: db, sealer: sealer} }

// Get implements secret.Store.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	value, v, err := s.get(ctx, path, version)
	if err != nil {
		return secret.Value{}, secret.Version{}, s.failed(ctx, "reading", path, err)
	}
	return value, v, nil
}

func (s *Store) get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	number := latest
	if version != "" {
		var err error
		if number, err = parseVersion(version); err != nil {
			return secret.Value{}, secret.Version{}, err
		}
	}
	r, plain, err := s.open(ctx, s.db, path, number)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	return secret.NewValue(plain), r.describe(), nil
}

// open reads and unseals a version.
func (s *Store) open(ctx context.Context, from querier, path string, number int) (record, []byte, error) {
	if !ValidName(path) {
		return record{}, nil, secret.ErrNotFound
	}
	r, err := readRecord(ctx, from, path, number)
	if err != nil {
		return record{}, nil, err
	}
	plain, err := s.sealer.Unseal(kind, path, r.number, r.sealed)
	return r, plain, err
}

// Put implements secret.Writer. The path is up to 200 of A-Z a-z 0-9 . _ / - and the value 1 byte to MaxValue.
func (s *Store) Put(ctx context.Context, path string, value secret.Value) (secret.Version, error) {
	if err := check(path, value); err != nil {
		return secret.Version{}, fmt.Errorf("writing secret %q to builtin: %w", path, err)
	}
	var added secret.Version
	err := s.db.Write(ctx, Topic, func(tx *sql.Tx) (err error) {
		added, err = s.add(ctx, tx, path, value.Reveal())
		return err
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "writing", path, err)
	}
	return added, nil
}

// Rollback implements secret.Writer.
func (s *Store) Rollback(ctx context.Context, path, version string) (secret.Version, error) {
	var added secret.Version
	err := s.db.Write(ctx, Topic, func(tx *sql.Tx) error {
		number, err := parseVersion(version)
		if err != nil {
			return err
		}
		_, plain, err := s.open(ctx, tx, path, number)
		if err != nil {
			return err
		}
		added, err = s.add(ctx, tx, path, plain)
		return err
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "rolling back", path, err)
	}
	return added, nil
}

// Delete implements secret.Writer. The sealed bytes of every version go; a tombstone keeps the numbers going upward.
func (s *Store) Delete(ctx context.Context, path string) error {
	if !ValidName(path) {
		return s.failed(ctx, "deleting", path, secret.ErrNotFound)
	}
	err := s.db.Write(ctx, Topic, func(tx *sql.Tx) error {
		now := database.Micros(time.Now())
		gone, err := tx.ExecContext(ctx, "UPDATE secret SET deleted = $1 WHERE name = $2 AND deleted = 0", now, path)
		if err != nil {
			return err
		}
		if n, err := gone.RowsAffected(); err != nil || n == 0 {
			return cmp.Or(err, secret.ErrNotFound)
		}
		_, err = tx.ExecContext(ctx, "UPDATE secret_version SET sealed = NULL, deleted = $1 WHERE name = $2 AND deleted = 0", now, path)
		return err
	})
	if err != nil {
		return s.failed(ctx, "deleting", path, err)
	}
	return nil
}

// add writes the next version of path and makes the secret if it is not there. No other Write of the topic runs meanwhile.
func (s *Store) add(ctx context.Context, tx *sql.Tx, path string, plain []byte) (secret.Version, error) {
	r := record{created: database.Micros(time.Now()), current: true}
	err := tx.QueryRowContext(ctx, `INSERT INTO secret (name, latest, created) VALUES ($1, 1, $2)
		ON CONFLICT (name) DO UPDATE SET latest = secret.latest + 1, deleted = 0 RETURNING latest`, path, r.created).Scan(&r.number)
	if err != nil {
		return secret.Version{}, err
	}
	sealed, err := s.sealer.Seal(kind, path, r.number, plain)
	if err != nil {
		return secret.Version{}, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO secret_version (name, version, sealed, created) VALUES ($1, $2, $3, $4)",
		path, r.number, sealed, r.created)
	return r.describe(), err
}

// failed names the secret and sorts the reason: an answer of the port's vocabulary stays what it is, the context's end too;
// everything else means that the store cannot be used.
func (s *Store) failed(ctx context.Context, doing, path string, err error) error {
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrVersionGone):
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		err = database.Explain(err)
		hint, exit := fault.HintOf(err), fault.ExitStore
		if fault.ExitOf(err) != fault.ExitError {
			exit = fault.ExitOf(err)
		}
		err = fault.WithExit(fault.WithHint(fmt.Errorf("%w: %w", secret.ErrUnavailable, err), hint), exit)
	}
	return fmt.Errorf("%s secret %q in builtin: %w", doing, path, err)
}

func (r record) describe() secret.Version {
	return secret.Version{ID: strconv.Itoa(r.number), Created: database.Time(r.created), Current: r.current}
}
