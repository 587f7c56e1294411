package database

import (
	"context"
	"fmt"
	"strings"
)

// Finding is something beside the encrypted values that whoever changes the key, or has lost it to someone, has to know
// of.
type Finding struct {
	What  string // for people, in the plural: "API keys in the clear"
	Table string
	Count int64
	Names []string // what tells the rows apart, never a value: at most 100
}

// finding says where to look.
type finding struct {
	what, table, where string   // the condition is in terms of quoted names
	needs              []string // columns
	named              []string // columns that name a row
}

// namesMost is how many rows of a finding are named.
const namesMost = 100

func findings() []finding {
	return []finding{
		{"API keys in the clear", "user_api_keys", "", nil, []string{"label", "userId"}},
		{"API keys in the clear", "user", "{apiKey} IS NOT NULL", []string{"apiKey"}, []string{"email"}},
		{"executions that wait to be resumed", "execution_entity", "{status} = 'waiting'", []string{"status"}, nil},
		{
			"executions that run, or have crashed while they ran", "execution_entity", "{status} IN ('running', 'new')",
			[]string{"status"},
			nil,
		},
		{
			"executions whose data are not in the database", "execution_entity", "{storedAt} <> 'db'",
			[]string{"storedAt"},
			nil,
		},
		{"variables in the clear", "variables", "", nil, []string{"key"}},
	}
}

// Plaintext returns what n8n keeps in the clear that a leak touches too, and the executions that a changed key touches:
// names and counts, no values. What there is none of is left out.
func (d *DB) Plaintext(ctx context.Context) ([]Finding, error) {
	conn, err := d.conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for secrets in the clear: %w", d.dialect.explain(err))
	}
	defer func() { _ = conn.Close() }()
	t := &Tx{db: d, conn: conn}
	if t.tables, err = d.catalogue(ctx, conn); err != nil {
		return nil, d.dialect.explain(err)
	}
	var found []Finding
	for _, f := range findings() {
		one, err := t.find(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", f.what, d.dialect.explain(err))
		}
		if one.Count > 0 {
			found = append(found, one)
		}
	}
	return found, nil
}

func (t *Tx) find(ctx context.Context, f finding) (one Finding, err error) {
	one = Finding{What: f.what, Table: f.table}
	have, ok := t.tables[f.table]
	if !ok {
		return one, nil
	}
	where := "1 = 1"
	if f.where != "" {
		where = f.where
	}
	for _, name := range f.needs {
		if _, ok := have.column(name); !ok {
			return one, nil
		}
		where = strings.ReplaceAll(where, "{"+name+"}", t.db.dialect.quote(name))
	}
	from := " FROM " + t.qualified(have) + " WHERE " + where
	if err := t.conn.QueryRowContext(ctx, "SELECT count(*)"+from).Scan(&one.Count); err != nil ||
		one.Count == 0 || f.named == nil {
		return one, err
	}
	named := make([]string, len(f.named))
	for i, name := range f.named {
		named[i] = t.db.dialect.read(t.db.dialect.quote(name))
	}
	one.Names, err = strs(ctx, t.conn, func(v []string) string { return strings.Join(v, " of ") },
		"SELECT "+strings.Join(named, ", ")+from+fmt.Sprintf(" ORDER BY 1 LIMIT %d", namesMost))
	return one, err
}
