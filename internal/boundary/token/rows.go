package token

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
)

// row is a line of table proxy_token.
type row struct {
	Generation

	hash [hashSize]byte
	text string // Scope, as it is kept
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// columns bounds what a column can be read as: whoever can write the database may have put anything there.
const columns = `CASE WHEN length(id) <= 100 THEN id END, CASE WHEN length(name) <= 100 THEN name END, number,
	CASE WHEN length(hash) = 32 THEN hash END, CASE WHEN length(scope) <= 1048576 THEN scope END,
	pending, created, expires, retire_at, revoked, last_used, substr(last_workflow, 1, 200)`

// eachRow calls fn with every row; nil stands for one that cannot be read as a generation.
func eachRow(ctx context.Context, from querier, fn func(*row)) error {
	result, err := from.QueryContext(ctx, "SELECT "+columns+" FROM proxy_token")
	if err != nil {
		return err
	}
	defer func() { _ = result.Close() }()
	for result.Next() {
		r, ok := scan(result)
		if !ok {
			r = nil
		}
		fn(r)
	}
	return result.Err()
}

func scan(result *sql.Rows) (r *row, ok bool) {
	var hash []byte
	var pending int
	var created, expires, retireAt, revoked, lastUsed int64
	r = new(row)
	err := result.Scan(&r.ID, &r.Name, &r.Number, &hash, &r.text, &pending, &created, &expires, &retireAt, &revoked,
		&lastUsed, &r.LastWorkflow)
	if err != nil || copy(r.hash[:], hash) != hashSize || len(hash) != hashSize {
		return nil, false
	}
	if json.Unmarshal([]byte(r.text), &r.Scope) != nil {
		return nil, false
	}
	r.Pending = pending != 0
	r.Created, r.Expires, r.RetireAt = database.Time(created), database.Time(expires), database.Time(retireAt)
	r.Revoked, r.LastUsed = database.Time(revoked), database.Time(lastUsed)
	return r, true
}

// setScope gives r a scope in both forms.
func (r *row) setScope(s Scope) error {
	text, err := json.Marshal(s)
	r.Scope, r.text = s, string(text)
	return err
}

func insert(ctx context.Context, tx *sql.Tx, r *row) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO proxy_token (id, name, number, hash, scope, pending, created, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.ID, r.Name, r.Number, r.hash[:], r.text, bit(r.Pending), database.Micros(r.Created),
		database.Micros(r.Expires))
	return err
}

// update writes what changes in a generation's life.
func update(ctx context.Context, tx *sql.Tx, r *row) error {
	_, err := tx.ExecContext(ctx,
		"UPDATE proxy_token SET scope = $1, pending = $2, retire_at = $3, revoked = $4 WHERE id = $5",
		r.text, bit(r.Pending), database.Micros(r.RetireAt), database.Micros(r.Revoked), r.ID)
	return err
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// end is when r ends, in microseconds; 0 is never. It is the first mark of the row's entry in the ledger.
func (r *row) end() int64 {
	end := int64(0)
	for _, one := range []int64{database.Micros(r.Expires), database.Micros(r.RetireAt), database.Micros(r.Revoked)} {
		if one != 0 && (end == 0 || one < end) {
			end = one
		}
	}
	return end
}

// entry is what the ledger says of r. When it was last used decides nothing.
func (r *Registry) entry(g *row) ledger.Entry {
	tag := r.book.Tag(g.ID, g.Name, g.Number, g.hash[:], g.text, g.Pending, database.Micros(g.Created),
		database.Micros(g.Expires),
		database.Micros(g.RetireAt), database.Micros(g.Revoked))
	e := ledger.Entry{Tag: tag, Name: g.Name}
	if end := g.end(); end != 0 {
		e.Marks = []int64{end}
	}
	return e
}

// reading is the table at one moment, as far as the ledger vouches for it.
type reading struct {
	rows    []row
	lost    map[string]ledger.Entry // what the ledger has of rows that are not there as they ought to be, by id
	numbers map[string]int          // the highest number of a name in any row, so that a new one is free
	report  ledger.Report
}

// maxNumber bounds the numbers that are heeded of rows that nobody vouches for.
const maxNumber = 1 << 40

// match reads the rows that page p lists. Of one that is not there as it ought to be, what this process knows of it
// stands in, if that is what the ledger vouches for.
func (r *Registry) match(ctx context.Context, from querier, s ledger.State, known []row) (*reading, error) {
	found := make(map[string]*row, len(s.Page.Entries))
	seen := make(map[string]bool)
	m := &reading{lost: make(map[string]ledger.Entry), numbers: make(map[string]int), report: r.book.NewReport(s)}
	err := eachRow(ctx, from, func(g *row) {
		if g == nil {
			m.report.Unknown++
			return
		}
		if g.Number < maxNumber || r.lists(s.Page, g) {
			m.numbers[g.Name] = max(m.numbers[g.Name], g.Number)
		}
		switch want, listed := s.Page.Entries[g.ID]; {
		case !listed:
			m.report.Unknown++
		case r.lists(s.Page, g):
			found[g.ID] = g
		case want.Tag != ledger.Tag{}:
			seen[g.ID] = true
		}
	})
	if err != nil {
		return nil, err
	}
	remembered := make(map[string]*row, len(known))
	for i := range known {
		remembered[known[i].ID] = &known[i]
	}
	for id, e := range s.Page.Entries {
		g := found[id]
		if g == nil && e.Tag != (ledger.Tag{}) {
			m.missed(id, e, seen[id])
			if g = remembered[id]; g != nil && !r.lists(s.Page, g) {
				g = nil
			}
		}
		if g == nil {
			m.lost[id] = e
			continue
		}
		m.rows = append(m.rows, *g)
	}
	slices.SortFunc(m.rows, func(a, b row) int { return compareRows(&a, &b) })
	return m, nil
}

func (r *Registry) lists(p *ledger.Page, g *row) bool {
	e, ok := p.Entries[g.ID]
	return ok && e.Tag != ledger.Tag{} && e.Tag == r.entry(g).Tag
}

func (m *reading) missed(id string, e ledger.Entry, seen bool) {
	line := id
	if e.Name != "" {
		line = e.Name + " " + id
	}
	if seen {
		m.report.Altered = append(m.report.Altered, line)
		return
	}
	m.report.Missing = append(m.report.Missing, line)
}

func compareRows(a, b *row) int {
	switch {
	case a.Name != b.Name:
		if a.Name < b.Name {
			return -1
		}
		return 1
	default:
		return a.Number - b.Number
	}
}
