package token

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// What changes are refused for. Each comes wrapped with the name and a hint.
var (
	ErrUnknown = errors.New("no such token")
	ErrActive  = errors.New("the token has an active generation")
	ErrPending = errors.New("a rotation of the token is in progress")
	ErrEnded   = errors.New("the generation has ended")
)

const (
	changeTimeout = 30 * time.Second // how long a change may wait for the database
	readTimeout   = 5 * time.Second  // how long a reading may
)

// maxName is the length of the longest token name, in bytes.
const maxName = 100

// Issue makes the first generation of the token name, or the next when all earlier ones have ended or are retiring. The
// value is shown this once. A zero expires is never. Errors: ErrActive.
func (r *Registry) Issue(ctx context.Context, name string, scope Scope, expires time.Time) (secret.Value,
	Generation, error,
) {
	now := r.clock()
	if err := checkName(name); err != nil {
		return secret.Value{}, Generation{}, fmt.Errorf("issuing token %q: %w", name, err)
	}
	if err := scope.Check(); err != nil {
		return secret.Value{}, Generation{}, fmt.Errorf("issuing token %q: %w", name, err)
	}
	if past(expires, now) {
		return secret.Value{}, Generation{}, fmt.Errorf("issuing token %q: it would expire at once", name)
	}
	value, made, err := r.make(ctx, "issuing", func(t *table) (*row, error) {
		if active := t.find(name, Current, Pending); active != nil {
			return nil, fault.WithHint(fmt.Errorf("%w (%s)", ErrActive, active.ID),
				"`sallyport token rotate "+name+"` makes the next one while this one stays valid for a while")
		}
		return t.add(&row{Generation: Generation{
			Name: name, Scope: scope,
			Expires: database.Time(database.Micros(expires)),
		}})
	}, name)
	return value, made, err
}

// Rotate is Begin and Finish in one step: the next generation is current, the older ones retire after overlap.
func (r *Registry) Rotate(ctx context.Context, name string, overlap time.Duration) (secret.Value, Generation, error) {
	return r.make(ctx, "rotating", func(t *table) (*row, error) {
		next, err := t.begin(name, nil)
		if err != nil {
			return nil, err
		}
		return next, t.finish(next, overlap)
	}, name)
}

// Begin makes the next generation of name with the scope and life time of the current one, or, when that has run out,
// of the last. It is accepted at once, in state pending, and the current one stays what it is until Finish. Errors:
// ErrUnknown, ErrPending.
func (r *Registry) Begin(ctx context.Context, name string) (secret.Value, Generation, error) {
	return r.make(ctx, "rotating", func(t *table) (*row, error) { return t.begin(name, nil) }, name)
}

// Plan is what is known of a token in advance.
type Plan struct {
	Scope Scope
	Life  time.Duration // of a generation; 0: until it is revoked
}

// BeginPlanned is Begin for a token that is known in advance: generations live as long as planned, and where none was
// made yet, or a person has revoked the last, the next has the scope that is planned.
func (r *Registry) BeginPlanned(ctx context.Context, name string, plan Plan) (secret.Value, Generation, error) {
	if err := errors.Join(checkName(name), plan.Scope.Check()); err != nil {
		return secret.Value{}, Generation{}, fmt.Errorf("rotating token %q: %w", name, err)
	}
	return r.make(ctx, "rotating", func(t *table) (*row, error) { return t.begin(name, &plan) }, name)
}

// Finish makes the pending generation id the current one; the older ones of its name are accepted for overlap more,
// though never past an end they already have. Doing it again changes nothing. Errors: ErrUnknown, ErrEnded.
func (r *Registry) Finish(ctx context.Context, id string, overlap time.Duration) error {
	return r.change(ctx, "finishing the rotation to", id, func(t *table) error {
		next := t.byID(id)
		if next == nil {
			return unknown()
		}
		return t.finish(next, overlap)
	})
}

// Abort drops the pending generation id: it is refused from now on. Doing it again changes nothing. Errors: ErrUnknown,
// and ErrActive when the generation is not pending any more.
func (r *Registry) Abort(ctx context.Context, id string) error {
	return r.change(ctx, "aborting the rotation to", id, func(t *table) error {
		next := t.byID(id)
		switch {
		case next == nil:
			return unknown()
		case !next.Revoked.IsZero():
			return nil
		case !next.Pending:
			return fault.WithHint(ErrActive, "its rotation is finished: `sallyport token revoke "+id+
				"` ends it, or rotate once more")
		}
		next.Revoked = t.now // and stays Pending: see Last
		return t.save(next)
	})
}

// Revoke ends every generation of a name, or the one of an id, at once, and returns how many were accepted until then.
// The last of a name counts as revoked also when it had run out before: no schedule brings it back. Errors: ErrUnknown.
func (r *Registry) Revoke(ctx context.Context, nameOrID string) (count int, err error) {
	err = r.change(ctx, "revoking", nameOrID, func(t *table) error {
		matched := t.named(nameOrID)
		if one := t.byID(nameOrID); one != nil && len(matched) == 0 {
			matched = []*row{one}
		}
		lost, ended := t.endLost(nameOrID)
		if len(matched)+lost == 0 {
			return unknown()
		}
		count = ended
		for _, g := range matched {
			switch state := g.State(t.now); {
			case state == Revoked, state == Expired && g != t.last(g.Name):
				continue
			case state != Expired:
				count++
			}
			g.Pending, g.Revoked = false, t.now
			if err := t.save(g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return count, nil
}

// List reads every generation that the ledger vouches for, with the active scope, sorted by name and newest first.
func (r *Registry) List(ctx context.Context) ([]Generation, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	m, err := r.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing proxy tokens: %w", database.Explain(err))
	}
	r.report.Store(&m.report)
	list := make([]Generation, 0, len(m.rows))
	for i := range m.rows {
		g := &m.rows[i].Generation
		g.Scope = r.scopes.over(g.Name, r.narrowed(g))
		list = append(list, *g)
	}
	if err := r.db.Snapshot(ctx, func(tx *sql.Tx) error { return readUses(ctx, tx, list) }); err != nil {
		return nil, fmt.Errorf("reading who used proxy tokens: %w", database.Explain(err))
	}
	for i := range list {
		r.usages[list[i].ID].addTo(&list[i])
		slices.SortStableFunc(list[i].Uses, func(a, b Use) int { return b.At.Compare(a.At) })
	}
	slices.SortFunc(list, func(a, b Generation) int {
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return b.Number - a.Number
	})
	return list, nil
}

// make runs a change that makes a generation, and returns its value once it is kept.
func (r *Registry) make(ctx context.Context, doing string, fn func(*table) (*row, error), name string) (secret.Value,
	Generation, error,
) {
	var made *row
	var value string
	err := r.change(ctx, doing, name, func(t *table) (err error) {
		made, err = fn(t)
		value = t.minted
		return err
	})
	if err != nil {
		return secret.Value{}, Generation{}, err
	}
	return secret.NewValue([]byte(value)), made.Generation, nil
}

// change runs fn in a transaction that no other change overlaps. When it has committed the view has it too, before any
// later one: r.mu is held throughout.
func (r *Registry) change(ctx context.Context, doing, subject string, fn func(*table) error) error {
	// Load waits for r.mu; a database that does not answer must not keep it for longer than a view may be old.
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	var after *reading
	var page *ledger.Page
	err := r.db.Write(ctx, Topic, func(tx *sql.Tx) error {
		s, err := r.book.Read(ctx, tx)
		if err != nil {
			return err
		}
		before, err := r.match(ctx, tx, s, r.rows)
		if err != nil {
			return database.Explain(err)
		}
		page = s.Page.Next()
		t := r.table(ctx, tx, before, page)
		if err := fn(t); err != nil {
			return err
		}
		if err := r.book.Write(ctx, tx, page); err != nil {
			return err
		}
		after, err = r.match(ctx, tx, ledger.State{Page: page, Own: page}, append(t.rows, t.added...))
		return database.Explain(err)
	})
	if err != nil {
		return fmt.Errorf("%s token %q: %w", doing, subject, err)
	}
	r.book.Keep(page)
	r.take(after)
	return nil
}

// table is what was read, to change it in tx. Each change is put on page, too.
func (r *Registry) table(ctx context.Context, tx *sql.Tx, m *reading, page *ledger.Page) *table {
	t := &table{rows: m.rows, lost: m.lost, numbers: m.numbers, page: page, now: r.clock(), hash: r.hash}
	t.insert = func(g *row) error {
		page.Entries[g.ID] = r.entry(g)
		return database.Explain(insert(ctx, tx, g))
	}
	t.save = func(g *row) error {
		page.Entries[g.ID] = r.entry(g)
		return database.Explain(update(ctx, tx, g))
	}
	return t
}

// clock is now to the microsecond, as the database keeps it, so that a time reads back as it was written.
func (r *Registry) clock() time.Time { return database.Time(database.Micros(r.now())) }

func unknown() error { return fault.WithHint(ErrUnknown, "`sallyport token list` shows names and ids") }

func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) {
		return fault.WithHint(errors.New("the name cannot be used"), "use up to 100 of A-Z a-z 0-9 . _ -")
	}
	return nil
}
