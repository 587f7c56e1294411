// Package builtin is the store that comes with Sallyport: secrets sealed in its own database.
//
// Versions are 1, 2, 3, … and a number is never used twice, also after the secret was deleted and set again. It is a
// secret.Store, secret.Writer and secret.Lister. It does not cache: every Get reads the database.
//
// Invariant: a value is in the database in sealed form only, bound to its name and version (package seal); what Put has
// returned for is on disk.
package builtin

import (
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
	if !ValidName(path) {
		return secret.Value{}, secret.Version{}, secret.ErrNotFound
	}
	head, err := readHead(ctx, s.db, path)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	number := head.latest
	if version != "" {
		if number, err = parseVersion(version); err != nil {
			return secret.Value{}, secret.Version{}, err
		}
	}
	record, err := readRecord(ctx, s.db, path, number)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	plain, err := s.sealer.Unseal(kind, path, number, record.sealed)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	return secret.NewValue(plain), describe(number, record.created, number == head.latest), nil
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
		if !ValidName(path) {
			return secret.ErrNotFound
		}
		if _, err := readHead(ctx, tx, path); err != nil {
			return err
		}
		number, err := parseVersion(version)
		if err != nil {
			return err
		}
		record, err := readRecord(ctx, tx, path, number)
		if err != nil {
			return err
		}
		plain, err := s.sealer.Unseal(kind, path, number, record.sealed)
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
	err := s.db.Write(ctx, Topic, func(tx *sql.Tx) error {
		if !ValidName(path) {
			return secret.ErrNotFound
		}
		if _, err := readHead(ctx, tx, path); err != nil {
			return err
		}
		now := database.Micros(time.Now())
		if _, err := tx.ExecContext(ctx, "UPDATE secret_version SET sealed = NULL, deleted = $1 WHERE name = $2 AND deleted = 0", now, path); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE secret SET deleted = $1 WHERE name = $2", now, path)
		return err
	})
	if err != nil {
		return s.failed(ctx, "deleting", path, err)
	}
	return nil
}

// add writes the next version of path and makes the secret if it is not there. No other Write of the topic runs meanwhile.
func (s *Store) add(ctx context.Context, tx *sql.Tx, path string, plain []byte) (secret.Version, error) {
	now := time.Now()
	var number int
	err := tx.QueryRowContext(ctx, `INSERT INTO secret (name, latest, created) VALUES ($1, 1, $2)
		ON CONFLICT (name) DO UPDATE SET latest = secret.latest + 1, deleted = 0 RETURNING latest`, path, database.Micros(now)).Scan(&number)
	if err != nil {
		return secret.Version{}, err
	}
	sealed, err := s.sealer.Seal(kind, path, number, plain)
	if err != nil {
		return secret.Version{}, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO secret_version (name, version, sealed, created) VALUES ($1, $2, $3, $4)",
		path, number, sealed, database.Micros(now))
	return describe(number, database.Micros(now), true), err
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

func describe(number int, created int64, current bool) secret.Version {
	return secret.Version{ID: strconv.Itoa(number), Created: database.Time(created), Current: current}
}
