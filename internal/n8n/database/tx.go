package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/fault"
)

// Tx is the one transaction: a snapshot that only reads, or one that has locked every other writer out. It is for one
// goroutine.
type Tx struct {
	db     *DB
	conn   *sql.Conn
	tables map[string]table
	write  bool
	done   bool
}

// Begin starts a transaction. With write, nobody else can write to the places or to deployment_key until it ends; when
// someone already does and goes on for some seconds, it fails with fault.ExitLocked. SQLite's and PostgreSQL's readers
// go on.
//
// A cancelled ctx ends PostgreSQL's and MySQL's transaction; whoever begins one also calls Rollback, which does nothing
// after Commit.
func (d *DB) Begin(ctx context.Context, write bool) (*Tx, error) {
	if write && !d.write {
		return nil, errors.New("beginning a transaction: the database was opened for reading")
	}
	conn, err := d.conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction on %s: %w", d.name, d.dialect.explain(err))
	}
	t := &Tx{db: d, conn: conn, write: write}
	if t.tables, err = d.catalogue(ctx, conn); err == nil {
		err = d.dialect.begin(ctx, conn, t.lockable(), write)
	}
	if err != nil {
		_ = t.Rollback() //nolint:contextcheck // as end says
		return nil, fmt.Errorf("beginning a transaction on %s: %w", d.name, d.dialect.explain(err))
	}
	return t, nil
}

// lockable are the tables that a writer keeps to itself, with their full names.
func (t *Tx) lockable() (tables []table) {
	names := []string{deploymentKeys}
	for _, p := range Inventory() {
		names = append(names, p.Table)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if have, ok := t.tables[name]; ok {
			have.name = t.qualified(have)
			tables = append(tables, have)
		}
	}
	return tables
}

// qualified is a table's name as statements have it.
func (t *Tx) qualified(of table) string {
	if t.db.schema == "" {
		return t.db.dialect.quote(of.name)
	}
	return t.db.dialect.quote(t.db.schema) + "." + t.db.dialect.quote(of.name)
}

// Commit makes the changes last. After an error of it with SQLite nothing has changed; with a server that was lost
// meanwhile, only looking tells.
func (t *Tx) Commit() error {
	if t.done {
		return errors.New("committing: the transaction has ended")
	}
	err := t.end("COMMIT")
	if err != nil {
		return fmt.Errorf("committing to %s: %w", t.db.name, t.db.dialect.explain(err))
	}
	return nil
}

// Rollback undoes everything; after Commit it does nothing.
func (t *Tx) Rollback() error {
	if t.done {
		return nil
	}
	if err := t.end("ROLLBACK"); err != nil {
		return fmt.Errorf("rolling back on %s: %w", t.db.name, t.db.dialect.explain(err))
	}
	return nil
}

// end does not depend on a context: a transaction whose caller was cancelled must end all the same. A connection on
// which ending fails is closed, which rolls back.
func (t *Tx) end(statement string) error {
	t.done = true
	_, err := t.conn.ExecContext(context.Background(), statement) //nolint:forbidigo // see above
	if err != nil {
		_ = t.conn.Raw(func(any) error { return errBroken })
	}
	return errors.Join(err, ignoreDone(t.conn.Close()))
}

// errBroken makes database/sql throw a connection away.
var errBroken = errors.New("broken")

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// Locations returns those of the inventory whose table and column exist here. The keys are the table's own.
func (t *Tx) Locations(context.Context) ([]Location, error) {
	var locations []Location
	for _, p := range Inventory() {
		have, ok := t.tables[p.Table]
		if !ok {
			continue
		}
		if _, ok := have.column(p.Column); !ok {
			continue
		}
		if !slices.Equal(have.key, p.Key) {
			return nil, fault.WithHint(fmt.Errorf("finding places: the primary key of %s is %q, want %q",
				p.Table, have.key, p.Key),
				"this n8n is of a version that is not known; nothing has been changed")
		}
		locations = append(locations, p)
	}
	return locations, nil
}

// target is a place as statements have it.
type target struct {
	table  string // qualified
	quoted string // the column
	column column
	key    []column
	order  []string // what its rows can be walked by, as statements have it; none if there is nothing
	stamp  string   // the column that some databases set by themselves when a row is written; "" where there is none
}

func (t *Tx) target(p Location) (target, error) {
	have, ok := t.tables[p.Table]
	if !ok {
		return target{}, fmt.Errorf("there is no table %s here", p.Table)
	}
	return t.targetOf(have, p.Column)
}

// stampColumn is ON UPDATE CURRENT_TIMESTAMP on MySQL. A value under another key says what it said, so it stays as it
// is.
const stampColumn = "updatedAt"

func (t *Tx) targetOf(have table, name string) (target, error) {
	to := target{table: t.qualified(have), quoted: t.db.dialect.quote(name), order: t.order(have)}
	var ok bool
	if to.column, ok = have.column(name); !ok {
		return target{}, fmt.Errorf("there is no column %s here", name)
	}
	if _, ok := have.column(stampColumn); ok {
		to.stamp = t.db.dialect.quote(stampColumn)
	}
	for _, name := range have.key {
		k, _ := have.column(name)
		to.key = append(to.key, k)
	}
	return to, nil
}

// order is the primary key. In SQLite it is the rowid, by which the file is sorted: in the order of random ids, every
// page of a large table would be read, and written, as often as there are rows on it.
func (t *Tx) order(of table) []string {
	position := t.db.dialect.position()
	if of.rowid || len(of.key) == 0 && position != "" {
		return []string{position}
	}
	order := make([]string, len(of.key))
	for i, name := range of.key {
		order[i] = t.db.dialect.quote(name)
	}
	return order
}

// Update writes cells; each row must be there, once. After an error the transaction is good for nothing but Rollback.
// updatedAt stays as it is.
func (t *Tx) Update(ctx context.Context, p Location, rows []Row) error {
	to, err := t.target(p)
	if err != nil {
		return fmt.Errorf("writing %s: %w", p, err)
	}
	for _, row := range rows {
		if len(row.Key) != len(to.key) || p.Setting != "" && row.Key[0] != p.Setting {
			return fmt.Errorf("writing %s: a row's key is not this place's", p)
		}
	}
	most, size := t.db.dialect.updates()
	for len(rows) > 0 {
		n := 1
		for bytes := len(rows[0].Cell); n < len(rows) && n < most && bytes+len(rows[n].Cell) <= size; n++ {
			bytes += len(rows[n].Cell)
		}
		hit, err := t.db.dialect.update(ctx, t, to, rows[:n])
		switch {
		case err != nil:
			return fmt.Errorf("writing %s: %w", p, t.db.dialect.explain(err))
		case hit != int64(n):
			return fmt.Errorf("writing %s: %d of %d rows were there", p, hit, n)
		}
		rows = rows[n:]
	}
	return nil
}

// Get reads one cell of a place.
func (t *Tx) Get(ctx context.Context, p Location, key []string) (cell string, found bool, err error) {
	to, err := t.target(p)
	if err == nil && len(key) != len(to.key) {
		err = errors.New("the key has another number of columns")
	}
	if err != nil {
		return "", false, fmt.Errorf("reading %s: %w", p, err)
	}
	where := make([]string, len(key))
	args := make([]any, len(key))
	for i, k := range to.key {
		where[i], args[i] = t.db.dialect.quote(k.name)+" = "+t.db.dialect.bind(i+1), key[i]
	}
	var value sql.NullString
	err = t.conn.QueryRowContext(ctx, "SELECT "+t.db.dialect.read(to.quoted)+" FROM "+to.table+" WHERE "+
		strings.Join(where, " AND "), args...).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("reading %s: %w", p, t.db.dialect.explain(err))
	}
	return value.String, true, nil
}

func execAll(ctx context.Context, conn *sql.Conn, statements []string) error {
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// strs reads rows of strings, and makes one of each.
func strs(ctx context.Context, conn *sql.Conn, join func([]string) string, query string,
	args ...any,
) (out []string, err error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values, into, texts := make([]sql.NullString, len(columns)), make([]any, len(columns)),
			make([]string, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, v := range values {
			texts[i] = v.String
		}
		out = append(out, join(texts))
	}
	return out, rows.Err()
}
