// Package database opens Sallyport's own state, in a SQLite file or in PostgreSQL, brings its tables up to date, and
// tells every process on it what has changed.
//
// It is not a query layer: the packages that own a table write its SQL, in the common subset of both dialects, with the
// placeholders $1, $2, … in the order of their first appearance (SQLite numbers them so) and with times as Micros.
//
// Invariant: what Write has returned from is on disk (SQLite: WAL, synchronous=FULL; PostgreSQL: synchronous_commit not
// off), and no error of this package carries a connection string's password.
package database

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/fault"

	"github.com/jackc/pgx/v5"
)

// Dialect is the kind of database.
type Dialect string

// The dialects.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgres"
)

// DB is a pool of connections to Sallyport's state. It is safe for concurrent use; Close ends it.
type DB struct {
	*sql.DB

	Dialect Dialect
	// Where is the file, or the host and database name: for people, without user or password.
	Where string

	postgres *pgx.ConnConfig
	file     fs.FileInfo   // SQLite: the file that was opened
	writer   chan struct{} // SQLite: holds a token while a transaction of this process writes
	deaf     atomic.Pointer[error]
}

// Open opens the database that url names and checks that it answers:
//
//	sqlite:///var/lib/sallyport/state.db or a plain path     a SQLite file, made with mode 0600 when it is not there
//	postgres://user:password@host:5432/name?sslmode=…        PostgreSQL, with libpq's parameters
//
// The tables are Migrate's business.
func Open(ctx context.Context, url string) (*DB, error) {
	scheme, rest, hasScheme := strings.Cut(url, "://")
	switch {
	case !hasScheme:
		return openSQLite(ctx, url)
	case scheme == "sqlite":
		return openSQLite(ctx, rest)
	case scheme == "postgres" || scheme == "postgresql":
		return openPostgres(ctx, url)
	default:
		return nil, fault.WithHint(fmt.Errorf("opening database: a URL of this kind is not supported"),
			"use sqlite:///path/to/file or postgres://user@host/name")
	}
}

// Micros is how times are kept: microseconds since 1970 in UTC, and 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time reads what Micros wrote.
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
