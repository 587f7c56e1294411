package database

import (
	"errors"
	"strings"

	"sallyport/internal/fault"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Explain adds to a driver's error what a person can do about it, and the exit code. Other errors pass unchanged.
func Explain(err error) error {
	var lite *sqlite.Error
	var server *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &lite):
		hint, exit := sqliteHint(lite.Code() & 0xff) // the low byte is the primary result code
		return annotate(err, hint, exit)
	case errors.As(err, &server):
		return annotate(err, postgresHint(server.Code), fault.ExitStore)
	case errors.As(err, &connect):
		return annotate(err, "is PostgreSQL running, and may this machine connect to it?", fault.ExitStore)
	}
	return err
}

func annotate(err error, hint string, exit fault.Exit) error {
	if hint != "" {
		err = fault.WithHint(err, hint)
	}
	return fault.WithExit(err, exit)
}

func sqliteHint(code int) (string, fault.Exit) {
	switch code {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process holds the database's write lock: let it finish, or end it (`fuser` on the file names " +
			"it)", fault.ExitLocked
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return "the file and its directory must be writable for the user that Sallyport runs as", fault.ExitStore
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return "the file is damaged or is not a database: stop Sallyport and restore it, with its -wal file, from a " +
			"backup", fault.ExitStore
	case sqlite3.SQLITE_FULL:
		return "free space on the disk that holds the database", fault.ExitStore
	case sqlite3.SQLITE_IOERR:
		return "the disk reports an error: see the system log", fault.ExitStore
	}
	return "", fault.ExitStore
}

func postgresHint(state string) string {
	switch {
	case strings.HasPrefix(state, "28"):
		return "PostgreSQL refuses this user: check user, password and pg_hba.conf"
	case state == "3D000":
		return "create the database first: createdb"
	case state == "42501":
		return "grant the user CREATE and USAGE on the schema"
	case strings.HasPrefix(state, "53"):
		return "PostgreSQL is out of connections, memory or disk"
	case state == "25006":
		return "this server is a read-only standby: connect to the primary (target_session_attrs=read-write)"
	}
	return ""
}
