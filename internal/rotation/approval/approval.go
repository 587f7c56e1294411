// Package approval keeps who approves of which plan of a rotation, until a run uses it.
//
// A run that needs approvals begins when enough people other than the one who starts it have approved of exactly the
// plan that it will follow. An approval counts for one rotation, one plan and one run, and for a day.
//
// It does not know how a person is recognised: the caller says who it is, from the other end of the control socket
// (localfile.Peer). It makes no plan.
//
// Invariant: the approvals that a run needs and the run's first row are written in one transaction, so that no approval
// is used twice and none is lost. A row that the ledger does not know counts for nothing.
package approval

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret/seal"
)

// Topic is what the transactions claim.
const Topic = "rotation_approval"

// Life is how long an approval counts.
const Life = 24 * time.Hour

// ahead is by how much the clock of the replica that took an approval may be ahead of this one's.
const ahead = 5 * time.Minute

var (
	// ErrNeeded is wrapped when not enough people have approved of a plan.
	ErrNeeded = errors.New("it waits for approval")
	// ErrChanged is wrapped when a plan is not the one that was approved of, or is about to be.
	ErrChanged = errors.New("the plan has changed")
)

// Person is who approves or starts. Two with one UID are one person.
type Person struct {
	UID  int    `json:"uid"`
	Name string `json:"name"`
	// Login: UID is that of the login, which stays the same through sudo and su. Otherwise it is the process's own.
	Login bool `json:"login"`
}

// Approval is one person's.
type Approval struct {
	Rotation string    `json:"rotation"`
	Hash     string    `json:"plan"`
	Text     string    `json:"text"` // the plan's canonical form, to say later what has changed
	By       Person    `json:"by"`
	At       time.Time `json:"at"`
}

func (a *Approval) id() string { return a.Rotation + "/" + strconv.Itoa(a.By.UID) }

// expired also tells of one from a time that has not come yet: a clock was set back since.
func (a *Approval) expired(now time.Time) bool {
	age := now.Sub(a.At)
	return age >= Life || age < -ahead
}

// Approvals are those of all rotations, in the database. It is safe for concurrent use.
type Approvals struct {
	db   *database.DB
	book *ledger.Book
	now  func() time.Time
}

// New returns those in a migrated db. book, of NewLedger, vouches for the rows.
func New(db *database.DB, book *ledger.Book, now func() time.Time) *Approvals {
	return &Approvals{db: db, book: book, now: now}
}

// NewLedger returns the book that vouches for the rows.
func NewLedger(s *seal.Sealer) *ledger.Book { return ledger.New(Topic, s.RowKey()) }

// Give has by approve of p, which the caller has just made. hash is what the person has read: if that is another plan,
// nothing is approved of. Who has approved of another plan of the rotation does not any more.
func (s *Approvals) Give(ctx context.Context, p *plan.Plan, hash string, by Person) (Approval, error) {
	a := Approval{Rotation: p.Does.Rotation, Hash: p.Hash, Text: p.Does.Text(), By: by, At: s.now().UTC()}
	if hash != p.Hash {
		return Approval{}, fmt.Errorf("approving of the rotation %q: %w", a.Rotation, fault.WithExit(fault.WithHint(
			fmt.Errorf("%w: it is %s now", ErrChanged, p.Hash),
			"`sallyport rotate "+a.Rotation+" --dry-run` shows it; approve of what you have read"), fault.ExitApproval))
	}
	err := s.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		if err := s.prune(ctx, tx, page); err != nil {
			return err
		}
		return s.write(ctx, tx, page, &a)
	})
	if err != nil {
		return Approval{}, fmt.Errorf("approving of the rotation %q: %w", a.Rotation, database.Explain(err))
	}
	return a, nil
}

// Request is what a run needs.
type Request struct {
	Plan    *plan.Plan
	Starter *Person // nil: no person starts it, but the schedule
}

// Permit is asked when a run begins. With enough approvals it uses up all that the rotation has.
func (s *Approvals) Permit(r Request) run.Permit {
	if r.Plan.Does.Approve <= 0 {
		return nil
	}
	return func(ctx context.Context, tx *sql.Tx, fresh run.Entry) (names []string, kept func(), err error) {
		if fresh.OldVersion != r.Plan.Does.Secret.Version {
			return nil, nil, fault.WithExit(fault.WithHint(fmt.Errorf("%w: version %q was current when it was made, "+
				"and %q is now", ErrChanged, r.Plan.Does.Secret.Version, fresh.OldVersion), "rotate again"),
				fault.ExitApproval)
		}
		if !slices.Equal(fresh.Files, r.Plan.Does.Driver.Files) {
			return nil, nil, fault.WithExit(fault.WithHint(fmt.Errorf("%w: a file that says what the driver does is "+
				"another than when it was made", ErrChanged), "rotate again"), fault.ExitApproval)
		}
		page, valid, err := s.within(ctx, tx, r.Plan.Does.Rotation)
		if err != nil {
			return nil, nil, err
		}
		counted, err := enough(r, valid)
		if err != nil {
			return nil, nil, err
		}
		if err := s.drop(ctx, tx, page, func(e ledger.Entry) bool { return e.Name == fresh.Name }); err != nil {
			return nil, nil, err
		}
		for _, a := range counted {
			names = append(names, a.By.Name)
		}
		return names, func() { s.book.Keep(page) }, s.book.Write(ctx, tx, page)
	}
}

// Enough tells whether a run could begin now, as Permit will.
func (s *Approvals) Enough(ctx context.Context, r Request) error {
	all, err := s.List(ctx)
	if err != nil || r.Plan.Does.Approve <= 0 {
		return err
	}
	_, err = enough(r, all)
	return err
}

// enough returns the approvals that count for a request, or an error that says what is missing.
func enough(r Request, all []Approval) ([]Approval, error) {
	does := &r.Plan.Does
	var names, changed []string
	counted := slices.DeleteFunc(slices.Clone(all), func(a Approval) bool {
		switch {
		case a.Rotation != does.Rotation, r.Starter != nil && r.Starter.UID == a.By.UID:
			return true
		case a.Hash != r.Plan.Hash:
			changed = append(changed, a.By.Name+" approved of another plan ("+
				strings.Join(plan.Differences(a.Text, does.Text()), "; ")+")")
			return true
		}
		names = append(names, a.By.Name)
		return false
	})
	if len(counted) >= does.Approve {
		return counted, nil
	}
	text := fmt.Sprintf("%d of %d people have approved of plan %s", len(counted), does.Approve, r.Plan.Hash)
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	if len(changed) > 0 {
		text += "; " + strings.Join(changed, "; ")
	}
	who := "another person"
	if r.Starter == nil {
		who = "a person"
	}
	return nil, fault.WithExit(fault.WithHint(fmt.Errorf("%w: %s", ErrNeeded, text),
		who+" reads `sallyport rotate "+does.Rotation+" --dry-run` and runs `sallyport rotation approve "+does.Rotation+
			" --hash "+r.Plan.Hash+"`"), fault.ExitApproval)
}

// Of names who has approved of a plan, to be shown.
func (s *Approvals) Of(ctx context.Context, p *plan.Plan) (names []string, err error) {
	all, err := s.List(ctx)
	for _, a := range all {
		if a.Rotation == p.Does.Rotation && a.Hash == p.Hash {
			names = append(names, a.By.Name)
		}
	}
	return names, err
}

// List returns the approvals that count, by rotation and person.
func (s *Approvals) List(ctx context.Context) ([]Approval, error) {
	list, _, err := s.list(ctx)
	return list, err
}

// Check tells what is wrong with the rows.
func (s *Approvals) Check(ctx context.Context) (ledger.Report, error) {
	_, report, err := s.list(ctx)
	return report, err
}

func (s *Approvals) list(ctx context.Context) (list []Approval, report ledger.Report, err error) {
	err = s.db.Snapshot(ctx, func(tx *sql.Tx) error {
		state, err := s.book.Read(ctx, tx)
		if err != nil {
			return err
		}
		report = s.book.NewReport(state)
		rows, malformed, err := s.rows(ctx, tx)
		report.Unknown = malformed
		for id, want := range state.Page.Entries {
			a, there := rows[id]
			switch {
			case !there:
				report.Missing = append(report.Missing, id)
			case a.tag != want.Tag:
				report.Altered = append(report.Altered, id)
			case !a.expired(s.now()):
				list = append(list, a.Approval)
			}
		}
		for id := range rows {
			if _, listed := state.Page.Entries[id]; !listed {
				report.Unknown++
			}
		}
		return err
	})
	if err != nil {
		return nil, ledger.Report{}, fmt.Errorf("reading the approvals of rotations: %w", database.Explain(err))
	}
	slices.SortFunc(list, byPerson)
	return list, report, nil
}

func byPerson(a, b Approval) int {
	return cmp.Or(strings.Compare(a.Rotation, b.Rotation), cmp.Compare(a.By.UID, b.By.UID))
}

// within reads the approvals that count in a transaction of another topic, which they join.
func (s *Approvals) within(ctx context.Context, tx *sql.Tx, rotation string) (*ledger.Page, []Approval, error) {
	if err := s.db.Claim(ctx, tx, Topic); err != nil {
		return nil, nil, err
	}
	state, err := s.book.Read(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	rows, _, err := s.rows(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	var valid []Approval
	for id, want := range state.Page.Entries {
		a, there := rows[id]
		if there && a.tag == want.Tag && a.Rotation == rotation && !a.expired(s.now()) {
			valid = append(valid, a.Approval)
		}
	}
	slices.SortFunc(valid, byPerson)
	return state.Page.Next(), valid, nil
}

// row is one as it is kept, with the tag of what is there.
type row struct {
	Approval

	tag ledger.Tag
}

// rows reads the rows that can be read, by their keys, and counts the others.
func (s *Approvals) rows(ctx context.Context, tx *sql.Tx) (list map[string]*row, malformed int, err error) {
	found, err := tx.QueryContext(ctx, `SELECT CASE WHEN length(id) <= 300 THEN id END,
		CASE WHEN length(name) <= 200 THEN name END, CASE WHEN length(body) <= 262144 THEN body END
		FROM rotation_approval`)
	if err != nil {
		return nil, 0, err
	}
	defer found.Close() //nolint:errcheck // read only
	list = make(map[string]*row)
	for found.Next() {
		var id, name, body string
		r := new(row)
		if found.Scan(&id, &name, &body) != nil || json.Unmarshal([]byte(body), &r.Approval) != nil {
			malformed++
			continue
		}
		r.tag = s.book.Tag(id, name, body)
		list[id] = r
	}
	return list, malformed, found.Err()
}

func (s *Approvals) write(ctx context.Context, tx *sql.Tx, page *ledger.Page, a *Approval) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	page.Entries[a.id()] = ledger.Entry{
		Tag: s.book.Tag(a.id(), a.Rotation, string(body)), Name: a.Rotation, Marks: []int64{database.Micros(a.At)},
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO rotation_approval (id, name, body) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body`, a.id(), a.Rotation, string(body))
	return err
}

// prune drops what has expired, also of rotations that the configuration has no longer.
func (s *Approvals) prune(ctx context.Context, tx *sql.Tx, page *ledger.Page) error {
	return s.drop(ctx, tx, page, func(e ledger.Entry) bool {
		return (&Approval{At: database.Time(e.Mark(0))}).expired(s.now())
	})
}

// drop takes approvals off the page and out of the table. The page says which: a row that someone hides meanwhile is
// off it too, and counts for nothing when it comes back.
func (s *Approvals) drop(ctx context.Context, tx *sql.Tx, page *ledger.Page, which func(ledger.Entry) bool) error {
	for _, id := range slices.Sorted(maps.Keys(page.Entries)) {
		if !which(page.Entries[id]) {
			continue
		}
		delete(page.Entries, id)
		if _, err := tx.ExecContext(ctx, "DELETE FROM rotation_approval WHERE id = $1", id); err != nil {
			return err
		}
	}
	return nil
}

// change runs fn in a transaction that no other change overlaps, with the page to change.
func (s *Approvals) change(ctx context.Context, fn func(tx *sql.Tx, page *ledger.Page) error) error {
	return s.book.Change(ctx, s.db.WriteQuietly, fn)
}

// Adopt does nothing but write the first page: the table came after the ledger. It runs in a transaction that has
// claimed Topic.
func (s *Approvals) Adopt(ctx context.Context, tx *sql.Tx) error {
	return s.book.Write(ctx, tx, new(ledger.Page).Next())
}

// Accept has no approval count in a database that was put back: some of them may have been used since. People approve
// again.
func (s *Approvals) Accept(ctx context.Context) error {
	err := s.change(ctx, func(tx *sql.Tx, page *ledger.Page) error {
		clear(page.Entries)
		_, err := tx.ExecContext(ctx, "DELETE FROM rotation_approval")
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping the approvals of rotations: %w", database.Explain(err))
	}
	return nil
}
