// Package database reads and rewrites what n8n encrypts, in n8n's own database: SQLite, PostgreSQL, and MySQL or
// MariaDB for n8n 1.x. One table (Inventory) names every place that holds encrypted values; everything here works from
// it.
//
// It knows where values lie, not what they say: it holds no key and decrypts nothing. It never creates a database,
// changes no schema, and writes only what Tx's methods are told to, in the one transaction that DB.Begin starts.
//
// Invariant: no error, and nothing else that is meant for people, quotes a cell, a value or a password.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sallyport/internal/fault"
)

// Dialect is the kind of database.
type Dialect string

// The dialects. MySQL is MariaDB too.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgres"
	MySQL      Dialect = "mysql"
)

// Options say which database, and what for.
type Options struct {
	// URL is one of
	//
	//	sqlite:///abs/path/database.sqlite, sqlite:rel/path       the path as it is, without escapes
	//	postgres://user:password@host:5432/name?sslmode=…          with libpq's parameters; postgresql:// too
	//	mysql://user:password@host:3306/name?tls=true              mariadb:// too; socket=/path names a unix socket
	URL string
	// TablePrefix is n8n's DB_TABLE_PREFIX.
	TablePrefix string
	// Schema is n8n's DB_POSTGRESDB_SCHEMA; "" is public. The other dialects have none.
	Schema string
	// Write allows Begin to start a transaction that writes.
	Write bool
}

// DB is n8n's database. Its methods may be used concurrently, while its transactions are each for one goroutine.
type DB struct {
	pool    *sql.DB
	dialect dialect
	name    string
	schema  string
	prefix  string
	write   bool
	path    string // SQLite's file, absolute

	mu   sync.Mutex
	mine map[string]bool // the ids of our own connections, so that Sessions leaves them out
}

// name is what n8n and a careful operator call schemas and tables.
var validName = regexp.MustCompile(`^[A-Za-z0-9_$]*$`)

// Open connects, and checks that there is an n8n. Its errors carry a hint; most end the process with fault.ExitStore.
func Open(ctx context.Context, o Options) (*DB, error) {
	if !validName.MatchString(o.TablePrefix) || !validName.MatchString(o.Schema) {
		return nil,
			fault.WithHint(
				fault.WithExit(
					errors.New("opening n8n's database: a table prefix or schema is letters, digits, _ and $"),
					fault.ExitUsage),
				"take them from DB_TABLE_PREFIX and DB_POSTGRESDB_SCHEMA of n8n")
	}
	d := &DB{prefix: o.TablePrefix, schema: o.Schema, write: o.Write, mine: make(map[string]bool)}
	if err := d.connect(o.URL); err != nil {
		return nil, err
	}
	if err := d.check(ctx); err != nil {
		_ = d.pool.Close()
		return nil, fmt.Errorf("opening n8n's database %s: %w", d.name, d.dialect.explain(err))
	}
	return d, nil
}

func (d *DB) connect(url string) error {
	scheme, _, _ := strings.Cut(url, ":")
	switch scheme {
	case "sqlite":
		return d.openSQLite(strings.TrimPrefix(strings.TrimPrefix(url, "sqlite:"), "//"))
	case "postgres", "postgresql":
		return d.openPostgres(url)
	case "mysql", "mariadb":
		return d.openMySQL(url)
	}
	return fault.WithHint(fault.WithExit(errors.New("opening n8n's database: a URL of this kind is not supported"),
		fault.ExitUsage),
		"use sqlite:///path/database.sqlite, postgres://user@host/name or mysql://user@host/name")
}

// landmarks are the tables by which an n8n of any version is known.
var landmarks = [...]string{"credentials_entity", "settings", "migrations"}

// check finds out whether n8n's tables are there.
func (d *DB) check(ctx context.Context) error {
	conn, err := d.conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	tables, err := d.catalogue(ctx, conn)
	if err != nil {
		return err
	}
	for _, name := range landmarks {
		if _, ok := tables[name]; !ok {
			return d.notHere(ctx, conn)
		}
	}
	return nil
}

// notHere says where n8n's tables are instead.
func (d *DB) notHere(ctx context.Context, conn *sql.Conn) error {
	where := fmt.Sprintf("with the table prefix %q", d.prefix)
	if d.dialect.name() == PostgreSQL {
		where = fmt.Sprintf("in the schema %q %s", d.schema, where)
	}
	found, err := d.dialect.landmarks(ctx, conn, landmarks[0])
	if err != nil {
		return err
	}
	hint := "is this the database of n8n? It has none of n8n's tables, under any prefix, that this user may see"
	if len(found) > 0 {
		hint = "there are such tables: " + strings.Join(found, "; ") +
			". Give the prefix and the schema that n8n uses (DB_TABLE_PREFIX, DB_POSTGRESDB_SCHEMA)"
	}
	return fault.WithExit(fault.WithHint(fmt.Errorf("no tables of n8n %s", where), hint), fault.ExitStore)
}

// landmarkOf tells of a landmark table that has another prefix or schema.
func landmarkOf(schema, table string) string {
	prefix := strings.TrimSuffix(table, landmarks[0])
	if schema == "" {
		return fmt.Sprintf("prefix %q", prefix)
	}
	return fmt.Sprintf("schema %q with prefix %q", schema, prefix)
}

// Dialect is the kind of database.
func (d *DB) Dialect() Dialect { return d.dialect.name() }

// Name is the file, or the host and the database: for people, without user or password.
func (d *DB) Name() string { return d.name }

// Close ends all connections; a transaction that is still open is rolled back.
func (d *DB) Close() error { return d.pool.Close() }

// conn takes a connection of the pool and notes that it is ours.
func (d *DB) conn(ctx context.Context) (*sql.Conn, error) {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	id, err := d.dialect.id(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mine[id] = true
	return conn, nil
}

// table is a table of n8n as the database has it.
type table struct {
	name    string // with the prefix
	columns []column
	key     []string // the primary key's columns, in its order
	rowid   bool     // SQLite: the table has one
}

type column struct {
	name      string
	kind      string // as the catalogue names its type
	collation string // MySQL's
	text      bool   // it holds text, or JSON
}

func (t table) column(name string) (column, bool) {
	i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return column{}, false
	}
	return t.columns[i], true
}

// catalogue reads which tables there are, by their names without the prefix.
func (d *DB) catalogue(ctx context.Context, conn *sql.Conn) (map[string]table, error) {
	query, args := d.dialect.catalogue(d.schema)
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading which tables there are: %w", err)
	}
	defer func() { _ = rows.Close() }()
	tables := make(map[string]table)
	keys := make(map[string]map[int]string)
	for rows.Next() {
		var name string
		var c column
		var key int // the column's position in the primary key, from 1; 0 for none
		var rowid bool
		if err := rows.Scan(&name, &c.name, &c.kind, &c.collation, &key, &rowid); err != nil {
			return nil, fmt.Errorf("reading which tables there are: %w", err)
		}
		short, ours := strings.CutPrefix(name, d.prefix)
		if !ours || short == "" {
			continue
		}
		c.text = d.dialect.text(c.kind)
		t := tables[short]
		t.name, t.rowid, t.columns = name, rowid, append(t.columns, c)
		tables[short] = t
		if key > 0 {
			if keys[short] == nil {
				keys[short] = make(map[int]string)
			}
			keys[short][key] = c.name
		}
	}
	for short, of := range keys {
		t := tables[short]
		for i := 1; i <= len(of); i++ {
			t.key = append(t.key, of[i])
		}
		tables[short] = t
	}
	return tables, rows.Err()
}
