package builtin

import (
	"context"
	"database/sql"
	"fmt"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
)

// marks are how a secret stands: the marks of its entry in the ledger. The zero marks are those of a secret that never
// was.
type marks struct {
	current int64 // the current version
	floor   int64 // versions up to this one are gone
	highest int64 // the highest number ever given out
}

func (m marks) deleted() bool { return m.current <= m.floor }

func (m marks) entry() ledger.Entry {
	return ledger.Entry{Marks: []int64{m.current, m.floor, m.highest}}
}

func marksOf(page *ledger.Page, path string) marks {
	e := page.Entries[path]
	return marks{e.Mark(0), e.Mark(1), e.Mark(2)}
}

// Ledger is the book that vouches for the rows.
func (s *Store) Ledger() *ledger.Book { return s.book }

// version names a version of a secret.
type version struct {
	path   string
	number int64
}

// reading is the store at one moment, without values.
type reading struct {
	marks   map[string]marks
	created map[version]int64 // of what is in the table and not gone
	report  ledger.Report
}

func (s *Store) read(ctx context.Context) (m *reading, err error) {
	err = s.db.Snapshot(ctx, func(tx *sql.Tx) error {
		state, err := s.book.Read(ctx, tx)
		if err == nil {
			m, err = s.match(ctx, tx, state)
		}
		return err
	})
	if err == nil {
		s.report.Store(&m.report)
	}
	return m, err
}

// Check reads the tables and tells what is wrong with them.
func (s *Store) Check(ctx context.Context) (ledger.Report, error) {
	m, err := s.read(ctx)
	if err != nil {
		return ledger.Report{}, fmt.Errorf("checking the secrets of the database: %w", database.Explain(err))
	}
	return m.report, nil
}

// Report is what was wrong with the tables when they were last read whole.
func (s *Store) Report() ledger.Report {
	if report := s.report.Load(); report != nil {
		return *report
	}
	return ledger.Report{}
}

// match compares the tables with what the ledger says. A secret whose row says otherwise stands as the ledger says.
func (s *Store) match(ctx context.Context, tx *sql.Tx, state ledger.State) (*reading, error) {
	m := &reading{marks: make(map[string]marks), created: make(map[version]int64), report: s.book.NewReport(state)}
	for path := range state.Page.Entries {
		m.marks[path] = marksOf(state.Page, path)
	}
	seen, wrong := make(map[string]bool), make(map[string]bool)
	err := eachSecret(ctx, tx, func(name string, is marks) {
		want, listed := m.marks[name]
		switch {
		case !listed:
			m.report.Unknown++
			return
		case is.deleted() != want.deleted() || !want.deleted() && is.current != want.current:
			wrong[name] = true
		}
		seen[name] = true
	}, &m.report.Unknown)
	if err != nil {
		return nil, err
	}
	err = eachVersion(ctx, tx, func(v version, created int64, there bool) {
		if is := m.marks[v.path]; v.number > is.floor && v.number <= is.highest && there {
			m.created[v] = created
		}
	}, &m.report.Unknown)
	if err != nil {
		return nil, err
	}
	for name, is := range m.marks {
		_, there := m.created[version{name, is.current}]
		switch {
		case wrong[name]:
			m.report.Altered = append(m.report.Altered, name)
		case !is.deleted() && (!seen[name] || !there):
			m.report.Missing = append(m.report.Missing, name)
		}
	}
	return m, nil
}

// eachSecret calls fn for every row of the table secret, and counts those that cannot be read.
func eachSecret(ctx context.Context, tx *sql.Tx, fn func(name string, is marks), malformed *int) error {
	rows, err := tx.QueryContext(ctx, "SELECT CASE WHEN length(name) <= 200 THEN name END, latest, deleted FROM secret")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var newest, deleted int64
		if rows.Scan(&name, &newest, &deleted) != nil || newest < 1 || !ValidName(name) {
			*malformed++
			continue
		}
		is := marks{current: newest, highest: newest}
		if deleted != 0 {
			is.floor = newest
		}
		fn(name, is)
	}
	return rows.Err()
}

// eachVersion is eachSecret for the table secret_version; there tells that its value is.
func eachVersion(ctx context.Context, tx *sql.Tx, fn func(v version, created int64, there bool), malformed *int) error {
	rows, err := tx.QueryContext(ctx, `SELECT CASE WHEN length(name) <= 200 THEN name END, version, created,
		CASE WHEN sealed IS NULL OR deleted <> 0 THEN 0 ELSE 1 END FROM secret_version`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v version
		var created, there int64
		if rows.Scan(&v.path, &v.number, &created, &there) != nil {
			*malformed++
			continue
		}
		fn(v, created, there != 0)
	}
	return rows.Err()
}

// Adopt takes the secrets as they are, in a database from before there was a ledger. It runs in a transaction that has
// claimed Topic.
func (s *Store) Adopt(ctx context.Context, tx *sql.Tx) error {
	known, malformed := make(map[string]marks), 0
	err := eachSecret(ctx, tx, func(name string, is marks) { known[name] = is }, &malformed)
	if err == nil {
		err = eachVersion(ctx, tx, func(v version, _ int64, there bool) {
			if is, ok := known[v.path]; ok && !there && v.number < is.current {
				is.floor = max(is.floor, v.number)
				known[v.path] = is
			}
		}, &malformed)
	}
	if err != nil {
		return fmt.Errorf("adopting the secrets of the database: %w", database.Explain(err))
	}
	next := new(ledger.Page).Next()
	for name, is := range known {
		next.Entries[name] = is.entry()
	}
	return s.book.Write(ctx, tx, next)
}

// Accept has the secrets of a database that was put back stand as its own list says. A number that was given out since
// then is not given out again. A person answers for it.
func (s *Store) Accept(ctx context.Context) error {
	var next *ledger.Page
	err := s.db.Write(ctx, Topic, func(tx *sql.Tx) error {
		state, err := s.book.Read(ctx, tx)
		switch {
		case err != nil:
			return err
		case state.Own == nil && state.Why != nil:
			return fault.WithHint(state.Why,
				"nothing in the database vouches for its secrets: restore a backup of the whole database, or set "+
					"them again")
		case state.Own == nil:
			return nil
		}
		next = state.Page.Next()
		for name := range next.Entries {
			is, since := marksOf(state.Own, name), marksOf(state.Page, name)
			is.highest = max(is.highest, since.highest)
			next.Entries[name] = is.entry()
		}
		if err := giveUp(ctx, tx, next); err != nil {
			return err
		}
		return s.book.Write(ctx, tx, next)
	})
	if err != nil {
		return fmt.Errorf("accepting the secrets of the database: %w", database.Explain(err))
	}
	if next != nil {
		s.book.Keep(next)
		_, err = s.read(ctx)
	}
	return err
}

// giveUp counts the secrets as deleted whose value is gone.
func giveUp(ctx context.Context, tx *sql.Tx, page *ledger.Page) error {
	there, malformed := make(map[version]bool), 0
	err := eachVersion(ctx, tx, func(v version, _ int64, ok bool) { there[v] = there[v] || ok }, &malformed)
	if err != nil {
		return err
	}
	for name := range page.Entries {
		if is := marksOf(page, name); !there[version{name, is.current}] {
			is.floor = is.highest
			is.current = min(is.current, is.floor)
			page.Entries[name] = is.entry()
		}
	}
	return nil
}
