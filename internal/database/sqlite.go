package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/pause"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteConns is enough for one writer, the listener and two readers; more would only wait for each other.
const sqliteConns = 4

func openSQLite(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening database %q: %w", path, err)
	}
	if err := prepareFile(path); err != nil {
		return nil, fmt.Errorf("opening database %q: %w", path, err)
	}
	file, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("opening database %q: %w", path, err)
	}
	db := &DB{Dialect: SQLite, Where: path, file: file, writer: make(chan struct{}, 1)}
	db.DB = sql.OpenDB(connector{db})
	db.SetMaxOpenConns(sqliteConns)
	db.SetMaxIdleConns(sqliteConns)
	err = db.checkSQLite(ctx)
	if err == nil {
		err = prepareFile(path) // see there
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening database %q: %w", path, err)
	}
	return db, nil
}

// connector makes connections to the one file that was opened. The pool makes them whenever it needs one: a connection
// to another file that has come into its place, or to an empty one that SQLite makes where there is none, would answer
// as if every token and secret were gone, and would stay in the pool after the file is back.
type connector struct{ db *DB }

func (c connector) Driver() driver.Driver { return &sqlite.Driver{} }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	if err := c.db.inPlace(); err != nil {
		return nil, err
	}
	conn, err := c.Driver().Open(sqliteDSN(c.db.Where))
	if err != nil {
		return nil, err
	}
	if err := c.db.inPlace(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// sqliteDSN sets what every connection has. secure_delete overwrites what is deleted; defensive keeps a stray statement
// from corrupting the file; a transaction takes the write lock when it begins, so that it never fails half-way for it.
func sqliteDSN(path string) string {
	query := url.Values{
		"mode":          {"rw"}, // prepareFile has made it
		"_busy_timeout": {"5000"},
		"_foreign_keys": {"on"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
		"_defensive":    {"1"},
		"_error_rc":     {"1"},
		"_pragma":       {"secure_delete(1)"},
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

// prepareFile makes the file with mode 0600 before SQLite would make it with the umask's, and tightens an older one.
// SQLite gives -wal and -shm the mode of the file itself. A file that is there is not opened: to close it again would
// give back the locks that this process may hold on it through another connection.
//
// SQLite opens by path, and its driver takes no descriptor: between this and that a link could be put in the place of
// the file by who may write to the directory. Its owner and mode are judged first, so that this is nobody but this user
// and root; in a directory of root's that others may write to (a volume of Kubernetes) it is whoever shares the volume.
// There it is looked at again once the database is open, before anything is written that was not there.
func prepareFile(path string) error {
	dir, err := localfile.MakeDir(filepath.Dir(path))
	if err != nil {
		if fault.HintOf(err) == "" {
			err = fault.WithHint(err, "make the directory, or set `data` to one that Sallyport may write to")
		}
		return err
	}
	return errors.Join(prepareIn(dir, filepath.Base(path)), dir.Close())
}

// prepareIn is prepareFile in an open directory. A link, a second name or another user's file is refused, for the two
// files beside the database too: what root opens, makes or chmods is this directory's own.
func prepareIn(dir *localfile.Dir, name string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := dir.Check(name + suffix); err != nil {
			if errors.Is(err, localfile.ErrKind) {
				err = fault.WithExit(fault.WithHint(err,
					"name a file, in a directory that is writable for the user that Sallyport runs as"),
					fault.ExitStore)
			}
			return err
		}
	}
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return makeFile(dir, name)
	}
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := dir.Chmod(name+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.WithHint(err, "the database must be readable for nobody else: chmod 600 "+name)
		}
	}
	return nil
}

func makeFile(dir *localfile.Dir, name string) error {
	file, err := dir.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // by another process, just now
	}
	if err != nil {
		return fault.WithExit(fault.WithHint(err, "the directory must be writable for the user that Sallyport runs as"),
			fault.ExitStore)
	}
	return file.Close()
}

// inPlace is an error when the file that was opened is no longer at its path. What is open goes on with it as if
// nothing had happened, while every other process would read and write another one: a token that is revoked there would
// be accepted here.
func (db *DB) inPlace() error {
	now, err := os.Lstat(db.Where)
	if err == nil && os.SameFile(db.file, now) {
		return nil
	}
	if err == nil {
		err = errors.New("another file is in the place of the one that was opened")
	}
	return fault.WithHint(err,
		"put the database file back where it was, or restart Sallyport for the one that is there now")
}

// openPatience is how long opening waits while other processes open the same new file.
const openPatience = 5 * time.Second

func (db *DB) checkSQLite(ctx context.Context) error {
	mode, err := db.journalMode(ctx)
	if err != nil {
		return Explain(err)
	}
	if mode != "wal" {
		return fault.WithHint(fmt.Errorf("the file system does not carry SQLite's write-ahead log (journal mode %q)",
			mode),
			"put `data` on a local disk, or use `database: postgres://…`")
	}
	return nil
}

// journalMode makes a connection, which turns the file to WAL. For that a new file is needed alone, and SQLite does not
// wait for it by itself: the first processes on it would be told that it is locked.
func (db *DB) journalMode(ctx context.Context) (mode string, err error) {
	waiting, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	for {
		err = db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode)
		var lite *sqlite.Error
		if !errors.As(err, &lite) || lite.Code()&0xff != sqlite3.SQLITE_BUSY ||
			pause.For(waiting, lockInterval) != nil {
			return mode, err
		}
	}
}
