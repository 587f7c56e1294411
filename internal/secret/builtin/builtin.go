// Package builtin is the store that comes with Sallyport: secrets sealed in its own database.
//
// Versions are 1, 2, 3, … and a number is never used twice, also after the secret was deleted and set again. It is a
// secret.Store, secret.Writer, secret.CheckAndSetter and secret.Lister. It does not cache: every Get reads the
// database.
//
// Which version is the current one, and which are gone, stands in the ledger; the table secret is a copy of that for
// people. Who can write the database cannot put an old version back.
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
	"sync/atomic"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
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
	book   *ledger.Book
	report atomic.Pointer[ledger.Report]
}

// New returns the store in a migrated db.
func New(db *database.DB, sealer *seal.Sealer) *Store {
	return &Store{db: db, sealer: sealer, book: ledger.New(Topic, sealer.RowKey())}
}

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
	var r record
	var plain []byte
	err := s.db.Snapshot(ctx, func(tx *sql.Tx) error {
		state, err := s.book.Read(ctx, tx)
		if err == nil {
			r, plain, err = s.open(ctx, tx, state.Page, path, number)
		}
		return err
	})
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	return secret.NewValue(plain), r.describe(), nil
}

// open reads and unseals a version.
func (s *Store) open(ctx context.Context, from querier, page *ledger.Page, path string,
	number int,
) (record, []byte, error) {
	if !ValidName(path) {
		return record{}, nil, secret.ErrNotFound
	}
	r, err := readRecord(ctx, from, marksOf(page, path), path, number)
	if err != nil {
		return record{}, nil, err
	}
	plain, err := s.sealer.Unseal(kind, path, r.number, r.sealed)
	return r, plain, err
}

// Put implements secret.Writer. The path is up to 200 of A-Z a-z 0-9 . _ / - and the value 1 byte to MaxValue.
func (s *Store) Put(ctx context.Context, path string, value secret.Value) (secret.Version, error) {
	return s.put(ctx, path, value, func(*ledger.Page) error { return nil })
}

// PutIf implements secret.CheckAndSetter. What is current says the ledger, in the transaction that writes.
func (s *Store) PutIf(ctx context.Context, path string, value secret.Value, expected string) (secret.Version, error) {
	return s.put(ctx, path, value, func(page *ledger.Page) error {
		current := ""
		if is := marksOf(page, path); !is.deleted() {
			current = strconv.FormatInt(is.current, 10)
		}
		if current != expected {
			return fmt.Errorf("the current version is %q, and %q was expected: %w", current, expected,
				secret.ErrConflict)
		}
		return nil
	})
}

func (s *Store) put(ctx context.Context, path string, value secret.Value,
	may func(*ledger.Page) error,
) (secret.Version, error) {
	if err := check(path, value); err != nil {
		return secret.Version{}, fmt.Errorf("writing secret %q to builtin: %w", path, err)
	}
	added, err := s.add(ctx, path, func(_ *sql.Tx, page *ledger.Page) ([]byte, error) {
		return value.Reveal(), may(page)
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "writing", path, err)
	}
	return added, nil
}

// Rollback implements secret.Writer.
func (s *Store) Rollback(ctx context.Context, path, version string) (secret.Version, error) {
	added, err := s.add(ctx, path, func(tx *sql.Tx, page *ledger.Page) ([]byte, error) {
		number, err := parseVersion(version)
		if err != nil {
			return nil, err
		}
		_, plain, err := s.open(ctx, tx, page, path, number)
		return plain, err
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
	err := s.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		is := marksOf(page, path)
		if is.deleted() {
			return secret.ErrNotFound
		}
		now := database.Micros(time.Now())
		if _, err := tx.ExecContext(ctx, "UPDATE secret SET deleted = $1 WHERE name = $2 AND deleted = 0", now,
			path); err != nil {
			return err
		}
		is.floor = is.highest
		page.Entries[path] = is.entry()
		_, err := tx.ExecContext(ctx,
			"UPDATE secret_version SET sealed = NULL, deleted = $1 WHERE name = $2 AND deleted = 0", now, path)
		return err
	})
	if err != nil {
		return s.failed(ctx, "deleting", path, err)
	}
	return nil
}

// change runs fn in a transaction that no other change overlaps, with the page to change.
func (s *Store) change(ctx context.Context, fn func(tx *sql.Tx, page *ledger.Page) error) error {
	return s.book.Change(ctx, s.db.Write, fn)
}

// add writes the next version of path and makes the secret if it is not there.
func (s *Store) add(ctx context.Context, path string,
	value func(*sql.Tx, *ledger.Page) ([]byte, error),
) (added secret.Version, err error) {
	err = s.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		plain, err := value(tx, page)
		if err != nil {
			return err
		}
		is := marksOf(page, path)
		is.highest++
		is.current = is.highest
		r := record{number: int(is.current), created: database.Micros(time.Now()), current: true}
		sealed, err := s.sealer.Seal(kind, path, r.number, plain)
		if err != nil {
			return err
		}
		page.Entries[path] = is.entry()
		added = r.describe()
		return r.write(ctx, tx, path, sealed)
	})
	return added, err
}

// write takes the row's place also where one is that Sallyport has not written.
func (r record) write(ctx context.Context, tx *sql.Tx, path string, sealed []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO secret (name, latest, created) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET latest = excluded.latest, deleted = 0`, path, r.number, r.created)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO secret_version (name, version, sealed, created) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name, version) DO UPDATE SET sealed = excluded.sealed, created = excluded.created, deleted = 0`,
		path, r.number, sealed, r.created)
	return err
}

// failed names the secret and sorts the reason: an answer of the port's vocabulary stays what it is, the context's end
// too; everything else means that the store cannot be used.
func (s *Store) failed(ctx context.Context, doing, path string, err error) error {
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrVersionGone), errors.Is(err, secret.ErrConflict):
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
