package database

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sallyport/internal/pause"
)

// lockInterval is how often another process's lock is tried, on SQLite.
const lockInterval = 50 * time.Millisecond

// lockMigrations keeps every other process from migrating until unlock is called. goose's own lock polls once a second
// and knows PostgreSQL only.
func (db *DB) lockMigrations(ctx context.Context) (unlock func() error, err error) {
	if db.Dialect == SQLite {
		return lockDirectory(ctx, filepath.Dir(db.Where))
	}
	return lockSession(ctx, db.DB, "SELECT pg_advisory_lock($1)", "SELECT pg_advisory_unlock($1)", lockID("migrate"))
}

// lockDirectory takes the lock of the directory that holds the database. The database's own write lock is what goose
// needs for its transactions, and a lock file would belong to whichever user came first. A killed process gives it
// back.
func lockDirectory(ctx context.Context, path string) (unlock func() error, err error) {
	dir, err := os.Open(path) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err
	}
	fd := int(dir.Fd())
	for err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) ||
		errors.Is(err, syscall.EINTR); {
		if pause.For(ctx, lockInterval) != nil {
			return nil, errors.Join(ctx.Err(), dir.Close())
		}
		err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir.Close, nil
}

// lockSession takes a lock that belongs to a connection and keeps that connection until unlock, which gives the lock
// back also when ctx has ended.
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
