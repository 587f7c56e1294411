package run

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"
)

// Topic is what the journal's transactions claim.
const Topic = "rotation_run"

const (
	// lease is how long a process that says nothing keeps others out. It is renewed for as long as a step takes
	// (hold). A process that says nothing for longer is overtaken, stops, and cannot write any more.
	lease = 5 * time.Minute
	// kept is how many ended runs of a rotation stay on record.
	kept = 50
)

// What the journal answers.
var (
	// ErrRunning: another process works on a run of the same secret.
	ErrRunning = errors.New("a rotation of this secret is in progress")
	// ErrTaken: another process has taken the run over meanwhile, because this one was silent for too long.
	ErrTaken = errors.New("another process has taken this run over")
	// ErrForged: the row of a run is gone, or not as it was written.
	ErrForged = errors.New("its row in the database was altered or taken away, and not by Sallyport")
)

// Journal keeps the runs in the database; the new value is sealed. It is safe for concurrent use.
type Journal struct {
	db     *database.DB
	sealer *seal.Sealer
	book   *ledger.Book
	now    func() time.Time

	replicas bool // owners are replicas, so that it is known when one is gone
}

// NewJournal returns the journal in a migrated db. book, of NewLedger, vouches for its rows.
func NewJournal(db *database.DB, sealer *seal.Sealer, book *ledger.Book, now func() time.Time) *Journal {
	return &Journal{db: db, sealer: sealer, book: book, now: now}
}

// OfReplicas returns the journal for owners that are called NAME/ID, with the id of a replica. The lease of one that is
// off the list of replicas, because another process has its data directory, ends with it.
func (j *Journal) OfReplicas() *Journal {
	same := *j
	same.replicas = true
	return &same
}

// By returns the journal with another clock.
func (j *Journal) By(now func() time.Time) *Journal {
	same := *j
	same.now = now
	return &same
}

// gone tells whether an owner has ended for certain.
func (j *Journal) gone(ctx context.Context, tx *sql.Tx, owner string) (bool, error) {
	if !j.replicas {
		return false, nil
	}
	var there int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM replica WHERE id = $1",
		owner[strings.LastIndexByte(owner, '/')+1:]).Scan(&there)
	return there == 0, err
}

// NewLedger returns the book that vouches for the journal's rows.
func NewLedger(s *seal.Sealer) *ledger.Book { return ledger.New(Topic, s.RowKey()) }

// enter returns the run that a request is about, and makes it this owner's: the unfinished one of that name, or a new
// one, if permit lets it begin. A request that has ended already is returned as it ended.
func (j *Journal) enter(ctx context.Context, fresh *Entry, permit Permit) (e *Entry, err error) {
	var kept func()
	err = j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		e = nil
		all, err := j.ofName(ctx, tx, page, fresh.Name)
		if err != nil {
			return err
		}
		for _, one := range all {
			if fresh.Request != "" && one.Request == fresh.Request {
				e = one
			}
		}
		for _, one := range all {
			switch {
			case one.Ended() || one == e:
			case e != nil:
				continue
			case fresh.Request != "" && one.Request != "" && one.Request != fresh.Request:
				return fault.WithExit(fault.WithHint(fmt.Errorf("%w: run %s, begun by %s", ErrRunning,
					one.ID, one.Actor),
					"go on with that one first, under its own run id "+one.Request), fault.ExitLocked)
			default:
				e = one
			}
		}
		if e != nil && e.Ended() {
			return nil
		}
		if e == nil {
			e = fresh
			e.Number = 1
			if len(all) > 0 {
				e.Number = all[len(all)-1].Number + 1
			}
			if last := lastDone(all); last != nil && last.NewVersion == fresh.OldVersion {
				e.OldKey = last.NewKey // of another version nobody knows which key it is
			}
			if permit != nil {
				if e.Approved, kept, err = permit(ctx, tx, *e); err != nil {
					return err
				}
			}
			if err := j.prune(ctx, tx, page, all); err != nil {
				return err
			}
		}
		return j.own(ctx, tx, page, e, fresh.Owner)
	})
	if err == nil && kept != nil {
		kept()
	}
	return e, err
}

// take makes an unfinished run of name this owner's. nil: there is none.
func (j *Journal) take(ctx context.Context, name, owner string) (e *Entry, err error) {
	err = j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		e = nil
		all, err := j.ofName(ctx, tx, page, name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(one *Entry) bool { return !one.Ended() })
		if i < 0 {
			return nil
		}
		e = all[i]
		return j.own(ctx, tx, page, e, owner)
	})
	return e, err
}

// own keeps others out, unless one of them is at work. The fence tells owners apart also where a clock has jumped: a
// lease that lies farther ahead than any can counts for nothing.
func (j *Journal) own(ctx context.Context, tx *sql.Tx, page *ledger.Page, e *Entry, owner string) error {
	if left := e.Lease.Sub(j.now()); e.Owner != "" && left > 0 && left <= lease {
		if gone, err := j.gone(ctx, tx, e.Owner); err != nil || gone {
			if err != nil {
				return fmt.Errorf("reading the replicas: %w", database.Explain(err))
			}
			e.Owner, e.Fence = owner, e.Fence+1
			return j.write(ctx, tx, page, e)
		}
		return fault.WithExit(fault.WithHint(fmt.Errorf("%w: run %s, at step %s, by %s", ErrRunning,
			e.ID, e.Step, e.Owner),
			"wait for it, or watch it with `sallyport rotation status "+e.Name+
				"`; should its process be gone, another one can go on after "+
				e.Lease.UTC().Format(time.TimeOnly)+" UTC"), fault.ExitLocked)
	}
	e.Owner, e.Fence = owner, e.Fence+1
	return j.write(ctx, tx, page, e)
}

// lastDone is the newest run that is done, or nil.
func lastDone(all []*Entry) *Entry {
	for _, one := range slices.Backward(all) {
		if one.State == StateDone {
			return one
		}
	}
	return nil
}

// prune drops the oldest ended runs, but never the newest that is done.
func (j *Journal) prune(ctx context.Context, tx *sql.Tx, page *ledger.Page, all []*Entry) error {
	if len(all) < kept {
		return nil
	}
	for _, one := range all[:len(all)-kept+1] {
		if !one.Ended() || one == lastDone(all) {
			continue
		}
		delete(page.Entries, one.ID)
		if _, err := tx.ExecContext(ctx, "DELETE FROM rotation_run WHERE id = $1", one.ID); err != nil {
			return err
		}
	}
	return nil
}

// save puts e on record, if its owner still owns it.
func (j *Journal) save(ctx context.Context, e *Entry) error {
	return j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		if _, err := j.owned(ctx, tx, page, holderOf(e)); err != nil {
			return err
		}
		return j.write(ctx, tx, page, e)
	})
}

// renew keeps others out of a run for another lease, if this is its owner still. It changes nothing else on record.
func (j *Journal) renew(ctx context.Context, by holder) error {
	return j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		is, err := j.owned(ctx, tx, page, by)
		if err != nil {
			return err
		}
		return j.write(ctx, tx, page, is)
	})
}

// holder is who works on a run: the owner that got this fence.
type holder struct {
	name, id string
	fence    int64
}

func holderOf(e *Entry) holder { return holder{e.Name, e.ID, e.Fence} }

// owned is a run as it is on record, if its owner is still that one.
func (j *Journal) owned(ctx context.Context, tx *sql.Tx, page *ledger.Page, by holder) (*Entry, error) {
	is, err := j.one(ctx, tx, page, by.id)
	if err == nil && (is == nil || is.Fence != by.fence) {
		err = fault.WithExit(fault.WithHint(ErrTaken,
			"`sallyport rotation status "+by.name+"` shows how far it is"), fault.ExitLocked)
	}
	return is, err
}

// release puts e on record as nobody's.
func (j *Journal) release(ctx context.Context, e *Entry) error {
	e.Owner, e.Lease = "", time.Time{}
	return j.save(ctx, e)
}

func (j *Journal) write(ctx context.Context, tx *sql.Tx, page *ledger.Page, e *Entry) error {
	e.Updated = j.now().UTC()
	if e.Owner != "" {
		e.Lease = e.Updated.Add(lease)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("writing the journal of rotations: %w", err)
	}
	var sealed []byte
	if !e.Value.IsZero() {
		if sealed, err = j.sealer.Seal(Topic, e.Name+"/"+e.ID, 1, e.Value.Reveal()); err != nil {
			return fmt.Errorf("writing the journal of rotations: %w", err)
		}
	}
	page.Entries[e.ID] = ledger.Entry{Tag: j.book.Tag(e.ID, e.Name, string(body), sealed), Name: e.Name}
	_, err = tx.ExecContext(ctx, `INSERT INTO rotation_run (id, name, body, sealed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body, sealed = excluded.sealed`, e.ID,
		e.Name, string(body), sealed)
	if err != nil {
		return fmt.Errorf("writing the journal of rotations: %w", database.Explain(err))
	}
	return nil
}

// row is a row as it is kept.
type row struct {
	id, name, body string
	sealed         []byte
}

func (j *Journal) tag(r *row) ledger.Tag { return j.book.Tag(r.id, r.name, r.body, r.sealed) }

func (j *Journal) open(r *row) (*Entry, error) {
	e := new(Entry)
	if err := json.Unmarshal([]byte(r.body), e); err != nil {
		return nil, fmt.Errorf("reading the journal of rotations: run %s: %w", r.id, err)
	}
	if len(r.sealed) == 0 {
		return e, nil
	}
	plain, err := j.sealer.Unseal(Topic, r.name+"/"+r.id, 1, r.sealed)
	if err != nil {
		return nil, fmt.Errorf("reading the journal of rotations: run %s: %w", r.id, err)
	}
	e.Value = secret.NewValue(plain)
	return e, nil
}

// rows reads the rows that can be read, and counts the others.
func (j *Journal) rows(ctx context.Context, tx *sql.Tx, where string, args ...any) (list map[string]*row,
	malformed int, err error,
) {
	const columns = `CASE WHEN length(id) <= 100 THEN id END, CASE WHEN length(name) <= 200 THEN name END,
		CASE WHEN length(body) <= 262144 THEN body END, CASE WHEN length(sealed) <= 2097152 THEN sealed END`
	found, err := tx.QueryContext(ctx, "SELECT "+columns+" FROM rotation_run "+where, args...) //nolint:gosec // both are constants
	if err != nil {
		return nil, 0, fmt.Errorf("reading the journal of rotations: %w", database.Explain(err))
	}
	defer found.Close() //nolint:errcheck // read only
	list = make(map[string]*row)
	for found.Next() {
		r := new(row)
		if found.Scan(&r.id, &r.name, &r.body, &r.sealed) != nil {
			malformed++
			continue
		}
		list[r.id] = r
	}
	return list, malformed, found.Err()
}

// one reads a run. nil: there is none.
func (j *Journal) one(ctx context.Context, tx *sql.Tx, page *ledger.Page, id string) (*Entry, error) {
	want, listed := page.Entries[id]
	if !listed {
		return nil, nil //nolint:nilnil // none is an answer
	}
	list, _, err := j.rows(ctx, tx, "WHERE id = $1", id)
	if err != nil {
		return nil, err
	}
	r := list[id]
	if r == nil || j.tag(r) != want.Tag {
		return nil, forged(id, want.Name)
	}
	return j.open(r)
}

func forged(id, name string) error {
	return fault.WithHint(fmt.Errorf("run %s: %w", id, ErrForged),
		"look which keys the provider has, and which of them is current; `sallyport database check` names the rows; "+
			"rotation "+name+" is left alone until then")
}

// unbelieved is shown in the place of a run whose row is not as it was written.
func unbelieved(id, name string) *Entry {
	return &Entry{ID: id, Name: name, State: StateStuck, LastError: ErrForged.Error()}
}

// ofName reads the runs of a rotation, oldest first. Rows that the ledger does not know count for nothing.
func (j *Journal) ofName(ctx context.Context, tx *sql.Tx, page *ledger.Page, name string) ([]*Entry, error) {
	list, _, err := j.rows(ctx, tx, "WHERE name = $1", name)
	if err != nil {
		return nil, err
	}
	var all []*Entry
	for id, want := range page.Entries {
		if want.Name != name {
			continue
		}
		r := list[id]
		if r == nil || j.tag(r) != want.Tag {
			return nil, forged(id, name)
		}
		e, err := j.open(r)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	slices.SortFunc(all, inOrder)
	return all, nil
}

func inOrder(a, b *Entry) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Number, b.Number))
}

// change runs fn in a transaction that no other change overlaps, with the page to change.
func (j *Journal) change(ctx context.Context, fn func(tx *sql.Tx, page *ledger.Page) error) error {
	return j.book.Change(ctx, j.db.WriteQuietly, fn)
}

// List returns the runs by rotation, oldest first, without their values. One whose row was altered is stuck, and says
// so.
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
	var all []*Entry
	err = j.db.Snapshot(ctx, func(tx *sql.Tx) error {
		state, err := j.book.Read(ctx, tx)
		if err != nil {
			return err
		}
		report = j.book.NewReport(state)
		rows, malformed, err := j.rows(ctx, tx, "")
		report.Unknown = malformed
		for id, want := range state.Page.Entries {
			r, there := rows[id]
			e := new(Entry)
			switch {
			case !there:
				report.Missing = append(report.Missing, id)
				e = unbelieved(id, want.Name)
			case j.tag(r) != want.Tag || json.Unmarshal([]byte(r.body), e) != nil:
				report.Altered = append(report.Altered, id)
				e = unbelieved(id, want.Name)
			}
			all = append(all, e)
		}
		for id := range rows {
			if _, listed := state.Page.Entries[id]; !listed {
				report.Unknown++
			}
		}
		return err
	})
	if err != nil {
		return nil, ledger.Report{}, fmt.Errorf("reading the journal of rotations: %w", database.Explain(err))
	}
	slices.SortFunc(all, inOrder)
	for _, e := range all {
		list = append(list, *e)
	}
	return list, report, nil
}

// Adopt does nothing but write the first page: the table came after the ledger, so no row is from before it. It runs in
// a transaction that has claimed Topic.
func (j *Journal) Adopt(ctx context.Context, tx *sql.Tx) error {
	return j.book.Write(ctx, tx, new(ledger.Page).Next())
}

// Accept has the rows of a database that was put back count, by its own list. A person answers for it.
func (j *Journal) Accept(ctx context.Context) error {
	err := j.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		state, err := j.book.Read(ctx, tx)
		if err != nil {
			return err
		}
		clear(page.Entries)
		if state.Own != nil {
			maps.Copy(page.Entries, state.Own.Entries)
		}
		rows, _, err := j.rows(ctx, tx, "")
		maps.DeleteFunc(page.Entries, func(id string, e ledger.Entry) bool {
			r, there := rows[id]
			return !there || j.tag(r) != e.Tag
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("accepting the journal of rotations of the database: %w", database.Explain(err))
	}
	return nil
}
