package rotation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"
)

// lease is how long a process that says nothing keeps others out. No step takes as long: the longest is a push over n8n's
// command line after one over its API, two and a half minutes. Two machines' clocks may differ by the rest.
const lease = 4 * time.Minute

const (
	topic    = "rotation"
	sealKind = "rotation"
)

// Entry is an unfinished rotation.
type Entry struct {
	Name      string       `json:"token"`
	Step      Step         `json:"step"`
	ID        string       `json:"generation"`
	Value     secret.Value `json:"-"`
	Started   time.Time    `json:"started"`
	Updated   time.Time    `json:"updated"`
	LastError string       `json:"last_error,omitempty"`

	resumed bool // an earlier run may have been in the middle of Step already
}

// Journal keeps unfinished rotations in the database; the new value is sealed.
type Journal struct {
	DB     *database.DB
	Sealer *seal.Sealer
	Now    func() time.Time
}

// claim returns the unfinished rotation of name, or an empty entry; either is now on record as this process's.
func (j *Journal) claim(ctx context.Context, name string) (*Entry, error) {
	return j.take(ctx, name, &Entry{Name: name, Started: j.Now()})
}

// take makes the unfinished rotation of name, or else the entry otherwise, this process's. With otherwise nil the answer can
// be nil.
func (j *Journal) take(ctx context.Context, name string, otherwise *Entry) (e *Entry, err error) {
	err = j.DB.WriteQuietly(ctx, topic, func(tx *sql.Tx) error {
		if e, err = j.read(ctx, tx, name); err != nil {
			return err
		}
		if e == nil {
			e = otherwise
		} else if free := e.Updated.Add(lease); e.LastError == "" && j.Now().Before(free) {
			return fault.WithExit(fault.WithHint(ErrInProgress, "should the process be gone, it can be taken over after "+free.Format(time.TimeOnly)), fault.ExitLocked)
		}
		if e == nil {
			return nil
		}
		return j.write(ctx, tx, e, nil)
	})
	return e, err
}

func (j *Journal) read(ctx context.Context, tx *sql.Tx, name string) (*Entry, error) {
	var started, updated int64
	var sealed []byte
	e := &Entry{Name: name}
	err := tx.QueryRowContext(ctx, "SELECT step, new_generation, sealed, started, updated, last_error FROM rotation WHERE name = $1", name).
		Scan(&e.Step, &e.ID, &sealed, &started, &updated, &e.LastError)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("reading the rotation journal: %w", err)
	}
	e.Started, e.Updated = database.Time(started), database.Time(updated)
	if len(sealed) > 0 {
		plain, err := j.Sealer.Unseal(sealKind, name+"/"+e.ID, 1, sealed)
		if err != nil {
			return nil, fmt.Errorf("reading the rotation journal: %w", err)
		}
		e.Value = secret.NewValue(plain)
	}
	return e, nil
}

// save puts e on record; with cause as what went wrong.
func (j *Journal) save(ctx context.Context, e *Entry, cause error) error {
	return j.DB.WriteQuietly(ctx, topic, func(tx *sql.Tx) error { return j.write(ctx, tx, e, cause) })
}

func (j *Journal) write(ctx context.Context, tx *sql.Tx, e *Entry, cause error) error {
	var sealed []byte
	var err error
	if !e.Value.IsZero() {
		if sealed, err = j.Sealer.Seal(sealKind, e.Name+"/"+e.ID, 1, e.Value.Reveal()); err != nil {
			return fmt.Errorf("writing the rotation journal: %w", err)
		}
	}
	e.Updated, e.LastError = j.Now(), ""
	if cause != nil {
		e.LastError = cause.Error()
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO rotation (name, step, old_generation, new_generation, sealed, started, updated, last_error)
		VALUES ($1, $2, '', $3, $4, $5, $6, $7)
		ON CONFLICT (name) DO UPDATE SET step = excluded.step, new_generation = excluded.new_generation, sealed = excluded.sealed,
			updated = excluded.updated, last_error = excluded.last_error`,
		e.Name, string(e.Step), e.ID, sealed, database.Micros(e.Started), database.Micros(e.Updated), e.LastError)
	if err != nil {
		return fmt.Errorf("writing the rotation journal: %w", err)
	}
	return nil
}

// drop takes name off the record.
func (j *Journal) drop(ctx context.Context, name string) error {
	return j.DB.WriteQuietly(ctx, topic, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM rotation WHERE name = $1", name)
		return err
	})
}

// List returns the unfinished rotations by name.
func (j *Journal) List(ctx context.Context) ([]Entry, error) {
	rows, err := j.DB.QueryContext(ctx, "SELECT name, step, new_generation, started, updated, last_error FROM rotation ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("reading the rotation journal: %w", err)
	}
	defer rows.Close() //nolint:errcheck // read only
	var list []Entry
	for rows.Next() {
		var e Entry
		var started, updated int64
		if err := rows.Scan(&e.Name, &e.Step, &e.ID, &started, &updated, &e.LastError); err != nil {
			return nil, fmt.Errorf("reading the rotation journal: %w", err)
		}
		e.Started, e.Updated = database.Time(started), database.Time(updated)
		list = append(list, e)
	}
	return list, rows.Err()
}
