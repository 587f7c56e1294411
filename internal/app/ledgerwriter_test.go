package app_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/database"
)

// writer is someone who can write the database, and has no seal key.
type writer struct {
	t  testing.TB
	db *database.DB
}

func (b *bed) writer() writer {
	b.t.Helper()
	c := b.load()
	where := c.Database
	if where == "" {
		where = filepath.Join(c.Data, "sallyport.db")
	}
	db, err := database.Open(b.t.Context(), where)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = db.Close() })
	return writer{b.t, db}
}

func (w writer) do(statements ...string) {
	w.t.Helper()
	for _, s := range statements {
		if _, err := w.db.ExecContext(w.t.Context(), s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
}

// zeros is an expression for n bytes.
func (w writer) zeros(n int) string {
	if w.db.Dialect == database.SQLite {
		return fmt.Sprintf("zeroblob(%d)", n)
	}
	return fmt.Sprintf("decode(repeat('00', %d), 'hex')", n)
}

// long is an expression for a text of n bytes that is none of Sallyport's.
func (w writer) long(n int) string {
	if w.db.Dialect == database.SQLite {
		return w.zeros(n)
	}
	return fmt.Sprintf("repeat('{', %d)", n)
}

// odd are the number, the pending and the created of a row that nobody can read, or of one that is out of every range
// where the database holds the types.
func (w writer) odd() string {
	if w.db.Dialect == database.SQLite {
		return "'x', " + w.zeros(1) + ", '{', 'y', 'z'"
	}
	return "-9223372036854775808, " + w.zeros(1) + ", '{', -7, 9223372036854775807"
}

// keep copies tables aside, and putBack brings back what they were, all of it.
func (w writer) keep(tables ...string) {
	w.t.Helper()
	for _, table := range tables {
		w.do("CREATE TABLE kept_" + table + " AS SELECT * FROM " + table)
	}
}

func (w writer) putBack(tables ...string) {
	w.t.Helper()
	conn, err := w.db.Conn(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	off, on := "PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"
	if w.db.Dialect == database.PostgreSQL {
		off, on = "SET session_replication_role = replica", "SET session_replication_role = DEFAULT"
	}
	do := func(s string) {
		w.t.Helper()
		if _, err := conn.ExecContext(context.WithoutCancel(w.t.Context()), s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
	do(off)
	defer do(on)
	for _, table := range tables {
		do("DELETE FROM " + table)
		do("INSERT INTO " + table + " SELECT * FROM kept_" + table)
	}
}

// putBackWhole tells of an attack that brings back rows together with the list that vouches for them.
func putBackWhole(attack string) bool {
	return strings.Contains(attack, "list put back") || strings.Contains(attack, "everything") ||
		strings.Contains(attack, "and their list")
}
