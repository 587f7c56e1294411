package token

import (
	"fmt"
	"slices"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
)

// table is the rows of one transaction, and the rules of a token's life over them.
type table struct {
	rows    []row
	added   []row                   // by this transaction
	lost    map[string]ledger.Entry // generations that the ledger knows and the table does not have as they ought to be
	numbers map[string]int
	page    *ledger.Page

	now    time.Time
	hash   func(token string) [hashSize]byte
	insert func(*row) error
	save   func(*row) error
	minted string // the value of the generation that add made
}

func (t *table) byID(id string) *row {
	for i := range t.rows {
		if t.rows[i].ID == id {
			return &t.rows[i]
		}
	}
	return nil
}

func (t *table) named(name string) []*row {
	var named []*row
	for i := range t.rows {
		if t.rows[i].Name == name {
			named = append(named, &t.rows[i])
		}
	}
	return named
}

// find returns a generation of name in one of the states, or nil.
func (t *table) find(name string, states ...string) *row {
	for _, g := range t.named(name) {
		if slices.Contains(states, g.State(t.now)) {
			return g
		}
	}
	return nil
}

// add mints a value for g, numbers it after its predecessors and keeps it.
func (t *table) add(g *row) (*row, error) {
	t.minted, g.ID = mint()
	g.hash = t.hash(t.minted)
	g.Created = t.now
	g.Number = t.numbers[g.Name] + 1
	if err := g.setScope(g.Scope); err != nil {
		return nil, err
	}
	if err := t.insert(g); err != nil {
		return nil, err
	}
	t.added = append(t.added, *g)
	return g, nil
}

// endLost ends, in the ledger, what is not in the table as it ought to be: should the row be put right again, it stays
// ended. It returns how many there are of that name or id, and how many of them had not ended before.
func (t *table) endLost(nameOrID string) (lost, ended int) {
	now := database.Micros(t.now)
	for id, e := range t.lost {
		if id != nameOrID && e.Name != nameOrID {
			continue
		}
		lost++
		if end := e.Mark(0); end == 0 || end > now {
			ended++
			t.page.Entries[id] = ledger.Entry{Name: e.Name, Marks: []int64{now}}
		}
	}
	return lost, ended
}

// last is the latest generation of name that a rotation has finished, or nil; see Last.
func (t *table) last(name string) (last *row) {
	for _, g := range t.named(name) {
		if !g.Pending && (last == nil || g.Number > last.Number) {
			last = g
		}
	}
	return last
}

// begin adds the pending successor of name's current or last generation, or the first as planned.
func (t *table) begin(name string, plan *Plan) (*row, error) {
	if pending := t.find(name, Pending); pending != nil {
		err := fault.WithHint(fmt.Errorf("%w (to %s)", ErrPending, pending.ID),
			"`sallyport rotation status` shows it, `sallyport rotation abort "+name+"` drops it")
		return nil, fault.WithExit(err, fault.ExitLocked)
	}
	before := t.find(name, Current)
	if last := t.last(name); before == nil && last != nil && last.State(t.now) != Revoked {
		before = last
	}
	next := &row{Generation: Generation{Name: name, Pending: true}}
	var life time.Duration
	switch {
	case before != nil:
		next.Scope = before.Scope
		if !before.Expires.IsZero() {
			life = before.Expires.Sub(before.Created)
		}
	case plan != nil:
		next.Scope = plan.Scope
	default:
		return nil, fault.WithHint(ErrUnknown, "nothing of this name is valid: `sallyport token issue "+name+
			" --services …` makes one")
	}
	if plan != nil {
		life = plan.Life
	}
	if life > 0 {
		next.Expires = t.now.Add(life)
	}
	return t.add(next)
}

// finish makes next current and sets the end of those before it.
func (t *table) finish(next *row, overlap time.Duration) error {
	switch state := next.State(t.now); {
	case state == Current:
		return nil // done before
	case state != Pending:
		return fault.WithHint(fmt.Errorf("%w (%s)", ErrEnded, state), "begin a new rotation")
	case overlap < 0:
		return fmt.Errorf("the overlap is negative")
	}
	next.Pending = false
	if err := t.save(next); err != nil {
		return err
	}
	end := t.now.Add(overlap)
	for _, older := range t.named(next.Name) {
		if older.ID == next.ID || older.State(t.now) != Current {
			continue // one that is retiring keeps the end that its consumers were told
		}
		older.RetireAt = end
		if past(older.Expires, end) {
			older.RetireAt = older.Expires
		}
		if err := t.save(older); err != nil {
			return err
		}
	}
	return nil
}
