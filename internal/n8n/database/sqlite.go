package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sallyport/internal/fault"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteWait is how long a lock is waited for, in milliseconds.
const sqliteWait = 3000

type sqliteDialect struct{}

func (d *DB) openSQLite(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("opening n8n's database: %w", err)
	}
	if err := usable(path, d.write); err != nil {
		return fmt.Errorf("opening n8n's database %s: %w", path, err)
	}
	mode := "ro"
	if d.write {
		mode = "rw"
	}
	query := url.Values{"mode": {mode}, "_pragma": {
		"busy_timeout(" + strconv.Itoa(sqliteWait) + ")",
		"cache_size(-32768)",
	}}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return fmt.Errorf("opening n8n's database %s: %w", path, err)
	}
	d.pool, d.dialect, d.name, d.path, d.schema = pool, sqliteDialect{}, path, path, ""
	return nil
}

// usable refuses what SQLite would refuse with less words. It opens nothing: closing a file gives back the locks that
// this process holds on it.
func usable(path string, write bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return unavailable(errors.New("no such file"),
			"n8n keeps it in its user folder: .n8n/database.sqlite, or what DB_SQLITE_DATABASE says")
	case errors.Is(err, fs.ErrPermission):
		return unavailable(errors.New("permission denied"), "run this as the user that n8n runs as, or as root")
	case err != nil:
		return unavailable(err, "")
	case !info.Mode().IsRegular():
		return unavailable(errors.New("not a file"), "name the file itself: .n8n/database.sqlite")
	case info.Size() == 0:
		return unavailable(errors.New("the file is empty"), "n8n has not written to it yet, or it is another file")
	case write && info.Mode().Perm()&0o222 == 0:
		return unavailable(errors.New("the file is read-only"), "allow writing to it and its folder: chmod u+w")
	}
	return nil
}

func (sqliteDialect) name() Dialect { return SQLite }

func (sqliteDialect) id(context.Context, *sql.Conn) (string, error) { return "", nil }

func (sqliteDialect) catalogue(string) (string, []any) {
	return `SELECT t.name, c.name, c.type, '', c.pk, t.wr = 0
		FROM pragma_table_list t JOIN pragma_table_info(t.name) c
		WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY t.name, c.cid`,
		nil
}

func (sqliteDialect) landmarks(ctx context.Context, conn *sql.Conn, suffix string) ([]string, error) {
	return strs(ctx, conn, func(v []string) string { return landmarkOf("", v[0]) },
		"SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, -length(?1)) = ?1", suffix)
}

// text: a column without a type, or with one that SQLite gives the affinity of text. TypeORM's simple-json is text.
func (sqliteDialect) text(kind string) bool {
	kind = strings.ToUpper(kind)
	return kind == "" || strings.Contains(kind, "CHAR") || strings.Contains(kind, "TEXT") ||
		strings.Contains(kind, "CLOB") || strings.Contains(kind, "JSON")
}

func (sqliteDialect) quote(name string) string { return quoteWith(`"`, name) }

func (sqliteDialect) bind(n int) string { return "?" + strconv.Itoa(n) }

func (sqliteDialect) read(quoted string) string { return "CAST(" + quoted + " AS TEXT)" }

func (sqliteDialect) contains(text, bind string) string {
	return "instr(" + text + ", " + bind + ") > 0"
}

func (sqliteDialect) position() string { return "rowid" }

func (sqliteDialect) epoch(quoted string) string { return "unixepoch(" + quoted + ", 'subsec')" }

// begin: SQLite has one writer. IMMEDIATE makes it us; readers go on, unless the file has a rollback journal.
func (sqliteDialect) begin(ctx context.Context, conn *sql.Conn, _ []table, write bool) error {
	statements := []string{"BEGIN", "SELECT count(*) FROM sqlite_master"} // the snapshot is taken by the first read
	if write {
		statements = []string{"BEGIN IMMEDIATE"}
	}
	return execAll(ctx, conn, statements)
}

func (sqliteDialect) updates() (int, int) { return 1000, 64 << 20 }

func (sqliteDialect) update(ctx context.Context, t *Tx, to target, rows []Row) (hit int64, err error) {
	where := make([]string, len(to.key))
	for i, k := range to.key {
		where[i] = t.db.dialect.quote(k.name) + " = ?"
	}
	statement, err := t.conn.PrepareContext(ctx, fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s", to.table, to.quoted,
		strings.Join(where, " AND ")))
	if err != nil {
		return 0, err
	}
	defer func() { _ = statement.Close() }()
	args := make([]any, 1+len(to.key))
	for _, row := range rows {
		args[0] = row.Cell
		for i, k := range row.Key {
			args[i+1] = k
		}
		result, err := statement.ExecContext(ctx, args...)
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil || n != 1 {
			return 0, err
		}
		hit++
	}
	return hit, nil
}

func (sqliteDialect) explain(err error) error {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return err
	}
	err = clean(err, "SQLite "+strconv.Itoa(lite.Code()), lite.Error(), true)
	switch lite.Code() & 0xff { // the primary result code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return locked(err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return unavailable(err,
			"the file, its -wal and -shm, and its folder must be readable and writable: run this as the user that "+
				"n8n runs as, or as root")
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return unavailable(err, "the file is damaged or is no SQLite database: is it .n8n/database.sqlite?")
	case sqlite3.SQLITE_FULL:
		return unavailable(err,
			"free space on the disk that holds the database: a re-key writes about as much as the encrypted values "+
				"take")
	}
	return fault.WithExit(err, fault.ExitStore)
}
