package database

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// lockInterval is how often another process's lock is tried, on SQLite.
const lockInterval = 50 * time.Millisecond

// lockMigrations keeps every other process from migrating until unlock is called. goose's own lock polls once a second and
// knows PostgreSQL only.
func (db *DB) lockMigrations(ctx context.Context) (unlock func() error, err error) {
	if db.Dialect == PostgreSQL {
		return lockSession(ctx, db.DB, "SELECT pg_advisory_lock($1)", "SELECT pg_advisory_unlock($1)", lockID("migrate"))
	}
	return lockBeside(ctx, db.Where)
}

// lockBeside locks path by a SQLite database of its own: it stays empty, its lock is the operating system's, which a killed
// process gives back, and holding it leaves the real database free for goose's transactions.
func lockBeside(ctx context.Context, path string) (unlock func() error, err error) {
	path += ".migrating"
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // beside the operator's own file
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: path}
	pool, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	// SQLite's own way to wait does not end with the context.
	release, err := lockSession(ctx, pool, "BEGIN IMMEDIATE", "ROLLBACK")
	for isBusy(err) && pause(ctx, lockInterval) {
		release, err = lockSession(ctx, pool, "BEGIN IMMEDIATE", "ROLLBACK")
	}
	if err != nil {
		return nil, errors.Join(ctx.Err(), err, pool.Close())
	}
	return func() error { return errors.Join(release(), pool.Close()) }, nil
}

func isBusy(err error) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_BUSY
}

// lockSession takes a lock that belongs to a connection and keeps that connection until unlock, which gives the lock back
// also when ctx has ended.
func lockSession(ctx context.Context, pool *sql.DB, lock, free string, args ...any) (unlock func() error, err error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, lock, args...); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), free, args...)
		return errors.Join(err, conn.Close())
	}, nil
}
