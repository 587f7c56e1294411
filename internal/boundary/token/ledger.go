package token

import (
	"context"
	"database/sql"
	"fmt"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
)

// Ledger is the book that vouches for the rows.
func (r *Registry) Ledger() *ledger.Book { return r.book }

// Report is what was wrong with the table when it was last read.
func (r *Registry) Report() ledger.Report {
	if report := r.report.Load(); report != nil {
		return *report
	}
	return ledger.Report{}
}

// Adopt takes the rows as they are, in a database from before there was a ledger. It runs in a transaction that has
// claimed Topic; once that has committed, Load.
func (r *Registry) Adopt(ctx context.Context, tx *sql.Tx) error {
	next := new(ledger.Page).Next()
	err := eachRow(ctx, tx, func(g *row) {
		if g != nil {
			next.Entries[g.ID] = r.entry(g)
		}
	})
	if err != nil {
		return fmt.Errorf("adopting proxy tokens: %w", database.Explain(err))
	}
	return r.book.Write(ctx, tx, next)
}

// Accept has the rows of a database that was put back count, by the database's own list, and gives up those that are
// gone. A generation that has ended since then stays ended: no end moves to a later time. A person answers for it.
func (r *Registry) Accept(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var after *reading
	var next *ledger.Page
	err := r.db.Write(ctx, Topic, func(tx *sql.Tx) error {
		s, err := r.book.Read(ctx, tx)
		if err != nil {
			return err
		}
		if s.Own == nil && s.Why != nil {
			return fault.WithHint(s.Why,
				"nothing in the database vouches for its rows: restore a backup of the whole database, or issue "+
					"tokens of other names")
		}
		if s.Own == nil {
			return nil
		}
		newest := s.Page
		m, err := r.match(ctx, tx, ledger.State{Page: s.Own}, nil)
		if err != nil {
			return database.Explain(err)
		}
		next = &ledger.Page{Seq: newest.Seq}
		next = next.Next()
		for i := range m.rows {
			g := &m.rows[i]
			if since := newest.Entries[g.ID].Mark(0); since != 0 && (g.end() == 0 || since < g.end()) {
				g.Pending = false
				if g.RetireAt = database.Time(since); past(g.RetireAt, r.clock()) {
					g.Revoked, g.RetireAt = g.RetireAt, g.Revoked
				}
				if err := update(ctx, tx, g); err != nil {
					return database.Explain(err)
				}
			}
			next.Entries[g.ID] = r.entry(g)
		}
		if err := r.book.Write(ctx, tx, next); err != nil {
			return err
		}
		after, err = r.match(ctx, tx, ledger.State{Page: next, Own: next}, nil)
		return database.Explain(err)
	})
	if err != nil {
		return fmt.Errorf("accepting the proxy tokens of the database: %w", err)
	}
	if after != nil {
		r.book.Keep(next)
		r.take(after)
	}
	return nil
}
