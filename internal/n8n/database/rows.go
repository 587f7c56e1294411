package database

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Row is a row's key and the cell of a place.
type Row struct {
	Key  []string
	Cell string
}

const (
	batchRows  = 1000
	batchBytes = 4 << 20
	// firstRows is how many the first page asks for, before it is known how large they are: a server sends what was
	// asked for, wanted or not.
	firstRows = 16
)

// Rows hands out every row whose cell is not empty, in batches of up to 1,000 rows and about 4 MiB; a larger cell comes
// alone. Of execution_data it gives only rows that may hold ciphertext, which the server finds out. fn may call Update,
// Get and the like on this transaction; the slice is fn's own.
func (t *Tx) Rows(ctx context.Context, p Location, fn func([]Row) error) error {
	scan, err := t.scan(ctx, p)
	if err != nil {
		return fmt.Errorf("reading %s: %w", p, err)
	}
	return scan.each(ctx, t, fn)
}

// Count is how many rows Rows hands out.
func (t *Tx) Count(ctx context.Context, p Location) (n int64, err error) {
	scan, err := t.scan(ctx, p)
	if err == nil {
		err = t.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+scan.to.table+" WHERE "+strings.Join(scan.where,
			" AND "), scan.args...).Scan(&n)
	}
	if err != nil {
		return 0, fmt.Errorf("counting %s: %w", p, t.db.dialect.explain(err))
	}
	return n, nil
}

// scan is a walk over a column by the primary key: each page begins behind the last row of the page before.
type scan struct {
	what  string // for errors
	to    target
	where []string
	args  []any
}

func (t *Tx) scan(ctx context.Context, p Location) (scan, error) {
	to, err := t.target(p)
	if err != nil {
		return scan{}, err
	}
	s := scan{
		what: p.String(), to: to,
		where: []string{to.quoted + " IS NOT NULL", t.db.dialect.read(to.quoted) + " <> ''"},
	}
	if p.Setting != "" {
		s.filter(t, p.Setting, func(bind string) string { return t.db.dialect.quote("key") + " = " + bind })
	}
	if p.Layout == Flatted {
		marks, err := t.marks(ctx, p)
		if err != nil {
			return scan{}, err
		}
		s.any(t, marks)
	}
	return s, nil
}

func (s *scan) filter(t *Tx, arg string, condition func(bind string) string) {
	s.args = append(s.args, arg)
	s.where = append(s.where, condition(t.db.dialect.bind(len(s.args))))
}

// any keeps the rows that hold one of the texts.
func (s *scan) any(t *Tx, texts []string) {
	conditions := make([]string, len(texts))
	for i, text := range texts {
		s.args = append(s.args, text)
		conditions[i] = t.db.dialect.contains(t.db.dialect.read(s.to.quoted), t.db.dialect.bind(len(s.args)))
	}
	s.where = append(s.where, "("+strings.Join(conditions, " OR ")+")")
}

// marks are what execution data hold that may hold ciphertext: a string that begins like CBC or with the id of a data
// key, or a key under which there is nothing else.
func (t *Tx) marks(ctx context.Context, p Location) ([]string, error) {
	marks := []string{`"` + cbcMark}
	for _, key := range p.Anywhere {
		if key.Beside == "" {
			marks = append(marks, `"`+key.Key+`"`)
		}
	}
	keys, err := t.DeploymentKeys(ctx)
	for _, key := range keys {
		marks = append(marks, `"`+key.ID+":")
	}
	return marks, err
}

// cbcMark is how every CBC value begins: "Salted__" in base64.
const cbcMark = "U2FsdGVkX1"

// each runs the walk.
func (s scan) each(ctx context.Context, t *Tx, fn func([]Row) error) error {
	limit := firstRows
	var after []any
	for {
		batch, last, err := s.page(ctx, t, after, limit)
		if err != nil {
			return fmt.Errorf("reading %s: %w", s.what, t.db.dialect.explain(err))
		}
		if len(batch) == 0 {
			return nil
		}
		if err := fn(batch); err != nil || len(last) == 0 {
			return err
		}
		after = last
		if len(batch) < limit {
			limit = max(1, len(batch)) // the bytes were enough, or it was the last page
		}
		limit = min(batchRows, 2*limit)
	}
}

// page reads up to limit rows behind after, and fewer when they are large. last is where it ended.
func (s scan) page(ctx context.Context, t *Tx, after []any, limit int) (batch []Row, last []any, err error) {
	query, args := s.query(t, after, limit)
	rows, err := t.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }()
	bytes := 0
	for rows.Next() {
		row := Row{Key: make([]string, len(s.to.key))}
		at := make([]string, len(s.to.order))
		into := make([]any, 0, len(at)+len(row.Key)+1)
		for i := range at {
			into = append(into, &at[i])
		}
		for i := range row.Key {
			into = append(into, &row.Key[i])
		}
		if err := rows.Scan(append(into, &row.Cell)...); err != nil {
			return nil, nil, err
		}
		if len(batch) > 0 && len(at) > 0 && bytes+len(row.Cell) > batchBytes {
			break // it comes again, as the first of the next page
		}
		if len(row.Key) == 0 {
			row.Key = slices.Clone(at)
		}
		batch, bytes = append(batch, row), bytes+len(row.Cell)
		last = last[:0]
		for _, v := range at {
			last = append(last, v)
		}
	}
	return batch, last, rows.Err()
}

func (s scan) query(t *Tx, after []any, limit int) (string, []any) {
	d, order := t.db.dialect, s.to.order
	selected := make([]string, 0, len(order)+len(s.to.key)+1)
	for _, o := range order {
		selected = append(selected, d.read(o))
	}
	for _, k := range s.to.key {
		selected = append(selected, d.read(d.quote(k.name)))
	}
	where, args := slices.Clone(s.where), slices.Clone(s.args)
	if after != nil {
		binds := make([]string, len(after))
		for i, v := range after {
			args = append(args, v)
			binds[i] = d.bind(len(args))
		}
		where = append(where, "("+strings.Join(order, ", ")+") > ("+strings.Join(binds, ", ")+")")
	}
	query := "SELECT " + strings.Join(append(selected, d.read(s.to.quoted)), ", ") + " FROM " + s.to.table + " WHERE " +
		strings.Join(where, " AND ")
	if len(order) == 0 { // a table without any key, of which all hits come at once
		return query, args
	}
	args = append(args, limit)
	return query + " ORDER BY " + strings.Join(order, ", ") + " LIMIT " + d.bind(len(args)), args
}
