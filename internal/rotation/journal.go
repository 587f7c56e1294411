package rotation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"
)

// lease is how long a process that says nothing keeps others out. No step takes as long: the longest is a push over
// n8n's command line after one over its API, two and a half minutes. Two machines' clocks may differ by the rest.
const lease = 4 * time.Minute

const (
	topic    = "rotation"
	sealKind = "rotation"
)

// Topic is what the journal's transactions claim.
const Topic = topic

// ErrAltered is wrapped when the journal's row of a rotation is gone, or not as it was written: nobody knows any more
// which value its consumer has.
var ErrAltered = errors.New("its row in the journal was altered or taken away, and not by Sallyport")

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
	Ledger *ledger.Book // vouches for the rows, see NewLedger; nil is one that remembers nothing of earlier processes

	once sync.Once
}

// NewLedger returns the book that vouches for the journal's rows.
func NewLedger(s *seal.Sealer) *ledger.Book { return ledger.New(topic, s.RowKey()) }

// claim returns the unfinished rotation of name, or an empty entry; either is now on record as this process's.
func (j *Journal) claim(ctx context.Context, name string) (*Entry, error) {
	return j.take(ctx, name, &Entry{Name: name, Started: j.Now()})
}

// take makes the unfinished rotation of name, or else the entry otherwise, this process's. With otherwise nil the
// answer can be nil.
func (j *Journal) take(ctx context.Context, name string, otherwise *Entry) (e *Entry, err error) {
	err = j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		if e, err = j.read(ctx, tx, page, name); err != nil {
			return err
		}
		if e == nil {
			e = otherwise
		} else if free := e.Updated.Add(lease); e.LastError == "" && j.Now().Before(free) {
			return fault.WithExit(fault.WithHint(ErrInProgress,
				"should the process be gone, it can be taken over after "+free.Format(time.TimeOnly)), fault.ExitLocked)
		}
		if e == nil {
			return nil
		}
		return j.write(ctx, tx, page, e, nil)
	})
	return e, err
}

// line is a row as it is kept.
type line struct {
	name, step, id, cause string
	sealed                []byte
	started, updated      int64
}

const lineColumns = `CASE WHEN length(name) <= 100 THEN name END, CASE WHEN length(step) <= 100 THEN step END,
	CASE WHEN length(new_generation) <= 100 THEN new_generation END, CASE WHEN length(last_error) <= 65536 THEN last_error END,
	CASE WHEN length(sealed) <= 65536 THEN sealed END, started, updated`

func (j *Journal) entryOf(l *line) ledger.Entry {
	return ledger.Entry{Tag: j.book().Tag(l.name, l.step, l.id, l.cause, l.sealed, l.started, l.updated), Name: l.id}
}

func (j *Journal) book() *ledger.Book {
	j.once.Do(func() {
		if j.Ledger == nil {
			j.Ledger = NewLedger(j.Sealer)
		}
	})
	return j.Ledger
}

// change runs fn in a transaction that no other change overlaps, with the page to change.
func (j *Journal) change(ctx context.Context, fn func(tx *sql.Tx, page *ledger.Page) error) error {
	return j.book().Change(ctx, j.DB.WriteQuietly, fn)
}

// read returns nil when there is none. A row that the ledger does not know counts as none: who writes over it loses
// nothing.
func (j *Journal) read(ctx context.Context, tx *sql.Tx, page *ledger.Page, name string) (*Entry, error) {
	want, listed := page.Entries[name]
	if !listed {
		return nil, nil //nolint:nilnil // none is an answer
	}
	lines, _, err := j.lines(ctx, tx, "WHERE name = $1", name)
	if err != nil {
		return nil, fmt.Errorf("reading the rotation journal: %w", err)
	}
	l := lines[name]
	if l == nil || j.entryOf(l).Tag != want.Tag {
		return nil, fault.WithHint(ErrAltered, "look which value its consumer has; then `sallyport rotation abort "+
			name+"` drops the rotation")
	}
	return j.open(l)
}

func (j *Journal) open(l *line) (*Entry, error) {
	e := &Entry{
		Name: l.name, Step: Step(l.step), ID: l.id, LastError: l.cause,
		Started: database.Time(l.started), Updated: database.Time(l.updated),
	}
	if len(l.sealed) > 0 {
		plain, err := j.Sealer.Unseal(sealKind, l.name+"/"+l.id, 1, l.sealed)
		if err != nil {
			return nil, fmt.Errorf("reading the rotation journal: %w", err)
		}
		e.Value = secret.NewValue(plain)
	}
	return e, nil
}

// save puts e on record; with cause as what went wrong.
func (j *Journal) save(ctx context.Context, e *Entry, cause error) error {
	return j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error { return j.write(ctx, tx, page, e, cause) })
}

// maxCause bounds what is kept of an error, in bytes.
const maxCause = 4096

func (j *Journal) write(ctx context.Context, tx *sql.Tx, page *ledger.Page, e *Entry, cause error) error {
	var sealed []byte
	var err error
	if !e.Value.IsZero() {
		if sealed, err = j.Sealer.Seal(sealKind, e.Name+"/"+e.ID, 1, e.Value.Reveal()); err != nil {
			return fmt.Errorf("writing the rotation journal: %w", err)
		}
	}
	e.Updated, e.LastError = j.Now(), ""
	if cause != nil {
		e.LastError = strings.ToValidUTF8(strings.ReplaceAll(cause.Error(), "\x00", ""), "")
		e.LastError = strings.ToValidUTF8(e.LastError[:min(len(e.LastError), maxCause)], "")
	}
	l := line{
		name: e.Name, step: string(e.Step), id: e.ID, cause: e.LastError, sealed: sealed,
		started: database.Micros(e.Started), updated: database.Micros(e.Updated),
	}
	page.Entries[e.Name] = j.entryOf(&l)
	_, err = tx.ExecContext(ctx,
		`INSERT INTO rotation (name, step, old_generation, new_generation, sealed, started, updated, last_error)
		VALUES ($1, $2, '', $3, $4, $5, $6, $7)
		ON CONFLICT (name) DO UPDATE SET step = excluded.step, new_generation = excluded.new_generation, sealed = excluded.sealed,
			started = excluded.started, updated = excluded.updated, last_error = excluded.last_error`,
		l.name, l.step, l.id, l.sealed, l.started, l.updated, l.cause)
	if err != nil {
		return fmt.Errorf("writing the rotation journal: %w", err)
	}
	return nil
}

// drop takes name off the record.
func (j *Journal) drop(ctx context.Context, name string) error {
	return j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		delete(page.Entries, name)
		_, err := tx.ExecContext(ctx, "DELETE FROM rotation WHERE name = $1", name)
		return err
	})
}

// List returns the unfinished rotations by name; one whose row was altered with that as its last error.
func (j *Journal) List(ctx context.Context) ([]Entry, error) {
	list, _, err := j.list(ctx)
	return list, err
}

// Check reads the journal and tells what is wrong with its rows.
func (j *Journal) Check(ctx context.Context) (ledger.Report, error) {
	_, report, err := j.list(ctx)
	return report, err
}

func (j *Journal) list(ctx context.Context) (list []Entry, report ledger.Report, err error) {
	err = j.DB.Snapshot(ctx, func(tx *sql.Tx) error {
		state, err := j.book().Read(ctx, tx)
		if err != nil {
			return err
		}
		report = j.book().NewReport(state)
		lines, malformed, err := j.lines(ctx, tx, "")
		report.Unknown = malformed
		for name, want := range state.Page.Entries {
			l, there := lines[name]
			switch {
			case there && j.entryOf(l).Tag == want.Tag:
				list = append(list, Entry{
					Name: l.name, Step: Step(l.step), ID: l.id, LastError: l.cause,
					Started: database.Time(l.started), Updated: database.Time(l.updated),
				})
				continue
			case there:
				report.Altered = append(report.Altered, name)
			default:
				report.Missing = append(report.Missing, name)
			}
			list = append(list, Entry{Name: name, ID: want.Name, LastError: ErrAltered.Error()})
		}
		for name := range lines {
			if _, listed := state.Page.Entries[name]; !listed {
				report.Unknown++
			}
		}
		return err
	})
	if err != nil {
		return nil, ledger.Report{}, fmt.Errorf("reading the rotation journal: %w", database.Explain(err))
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, report, nil
}

// lines reads the rows that can be read, and counts the others.
func (j *Journal) lines(ctx context.Context, tx *sql.Tx, where string, args ...any) (lines map[string]*line,
	malformed int, err error,
) {
	rows, err := tx.QueryContext(ctx, "SELECT "+lineColumns+" FROM rotation "+where, args...) //nolint:gosec // both are constants
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close() //nolint:errcheck // read only
	lines = make(map[string]*line)
	for rows.Next() {
		l := new(line)
		if rows.Scan(&l.name, &l.step, &l.id, &l.cause, &l.sealed, &l.started, &l.updated) != nil {
			malformed++
			continue
		}
		lines[l.name] = l
	}
	return lines, malformed, rows.Err()
}

// Adopt takes the rows as they are, in a database from before there was a ledger. It runs in a transaction that has
// claimed Topic.
func (j *Journal) Adopt(ctx context.Context, tx *sql.Tx) error {
	lines, _, err := j.lines(ctx, tx, "")
	if err != nil {
		return fmt.Errorf("adopting the rotation journal: %w", database.Explain(err))
	}
	next := new(ledger.Page).Next()
	for name, l := range lines {
		next.Entries[name] = j.entryOf(l)
	}
	return j.book().Write(ctx, tx, next)
}

// Accept has the rows of a database that was put back count, by its own list. A person answers for it.
func (j *Journal) Accept(ctx context.Context) error {
	err := j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		state, err := j.book().Read(ctx, tx)
		if err != nil {
			return err
		}
		clear(page.Entries)
		if state.Own != nil {
			maps.Copy(page.Entries, state.Own.Entries)
		}
		lines, _, err := j.lines(ctx, tx, "")
		maps.DeleteFunc(page.Entries, func(name string, e ledger.Entry) bool {
			l, there := lines[name]
			return !there || j.entryOf(l).Tag != e.Tag
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("accepting the rotation journal of the database: %w", database.Explain(err))
	}
	return nil
}
