package database

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"

	"sallyport/internal/fault"
)

// dialect is what differs between the databases.
type dialect interface {
	name() Dialect
	// id is the server's id of a connection.
	id(ctx context.Context, conn *sql.Conn) (string, error)
	// catalogue selects, for every column of every table of the schema: table, column, type, collation, position in the
	// primary key from 1 or 0, and whether the table has a rowid; in the columns' order.
	catalogue(schema string) (query string, args []any)
	// landmarks says where there are tables whose names end in suffix.
	landmarks(ctx context.Context, conn *sql.Conn, suffix string) ([]string, error)
	// text reports whether a column of this type holds text.
	text(kind string) bool
	// quote quotes a name.
	quote(name string) string
	// bind is the n-th placeholder, from 1.
	bind(n int) string
	// read is the expression for a column's text.
	read(quoted string) string
	// contains is the condition that a text holds a placeholder's, byte for byte.
	contains(text, bind string) string
	// position is the column by which rows lie in the table, "" for none.
	position() string
	// epoch is the expression for a time column as seconds since 1970, a real number.
	epoch(quoted string) string
	// begin starts a transaction: a snapshot, or one after which nobody else can write to the tables.
	begin(ctx context.Context, conn *sql.Conn, tables []table, write bool) error
	// update writes a part of the rows, and returns how many rows it has hit.
	update(ctx context.Context, t *Tx, to target, rows []Row) (int64, error)
	// updates is how many rows and bytes one call of update takes.
	updates() (rows, size int)
	// explain adds hints and exit codes to a driver's error, and takes out what it may quote.
	explain(err error) error
	// sessions are the others who are connected.
	sessions(ctx context.Context, d *DB, conn *sql.Conn) ([]Session, error)
}

// quoteWith doubles the quote inside of a name.
func quoteWith(quote, name string) string {
	return quote + strings.ReplaceAll(name, quote, quote+quote) + quote
}

// locked makes the error that another process is in the way.
func locked(err error) error {
	return fault.WithExit(fault.WithHint(err,
		"stop every n8n process (main, webhook, workers) and whatever else uses the database, then try again"),
		fault.ExitLocked)
}

func unavailable(err error, hint string) error {
	if hint != "" {
		err = fault.WithHint(err, hint)
	}
	return fault.WithExit(err, fault.ExitStore)
}

// long is what could be a value, or a part of one, in a driver's message.
var long = regexp.MustCompile(`[A-Za-z0-9+/=_:-]{40,}`)

// message is an error whose text has been looked through; errors.As still finds the driver's own.
type message struct {
	error

	text string
}

func (m message) Error() string { return m.text }
func (m message) Unwrap() error { return m.error }

// clean takes out of a driver's text what could be a value. kept is false where the text may quote what it was given.
func clean(err error, code, text string, kept bool) error {
	if !kept {
		return message{err, fmt.Sprintf("the database refuses it (%s)", code)}
	}
	text = long.ReplaceAllString(text, "…")
	return message{err, fmt.Sprintf("%s (%s)", text, code)}
}
