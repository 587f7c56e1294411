package database

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"sallyport/internal/pause"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	lookInterval   = time.Second            // PostgreSQL: the longest between two looks, should no notification come
	sqliteInterval = 250 * time.Millisecond // SQLite, where a look costs no read of the file
	lookGap        = 50 * time.Millisecond  // the shortest between two looks, however many notifications come
	// for the statements of a look: a connection that is this slow counts as lost
	lookTimeout  = 3 * time.Second
	watchConnect = 5 * time.Second
	retryFirst   = 250 * time.Millisecond
	retryLongest = time.Second
)

// watch calls look on a connection that is kept for it: at once, soon after each notification or ring of the bell, and
// at each interval even if there was none. A notification is a hint that anybody who may connect can give; it says when
// to look and nothing else. After an error of look, or of the connection, it goes on with another connection, and says
// so by lost. It ends with ctx. Deaf tells why nothing can be looked at in the meantime; look itself says what it did
// without.
func (db *DB) watch(ctx context.Context, b *bell, look func(ctx context.Context, on *sql.Conn, lost bool) error) {
	lost := false
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		err := db.watchConnection(ctx, b, func(ctx context.Context, on *sql.Conn) error {
			if err := look(ctx, on, lost); err != nil {
				return err
			}
			lost, wait = false, retryFirst
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		lost = true
		db.heard(Explain(err))
		db.dropIdle()
		if pause.For(ctx, wait) != nil {
			return
		}
	}
}

// heard notes how a look ended.
func (db *DB) heard(err error) {
	if err == nil {
		db.deaf.Store(nil)
		return
	}
	db.deaf.Store(&err)
}

// Deaf is why the last look at the database failed, or what could not be done by it, or nil.
func (db *DB) Deaf() error {
	if err := db.deaf.Load(); err != nil {
		return fmt.Errorf("looking for changes in %s: %w", db.Where, *err)
	}
	return nil
}

// dropIdle closes what is idle in the pool: connections that went the same way as one that was just lost are likely
// dead too, and each would be waited for before that shows.
func (db *DB) dropIdle() {
	if db.Dialect == PostgreSQL {
		db.SetMaxIdleConns(0)
		db.SetMaxIdleConns(postgresConns / 2)
	}
}

func (db *DB) watchConnection(ctx context.Context, b *bell, look func(context.Context, *sql.Conn) error) error {
	pool, wait := db.DB, waitSQLite
	if db.Dialect == PostgreSQL {
		// A pool of its own: the other one may be used up by who waits on dead connections.
		pool, wait = stdlib.OpenDB(*db.listening(), stdlib.OptionAfterConnect(startListening)), waitPostgres
		defer func() { _ = pool.Close() }()
	}
	connecting, cancel := context.WithTimeout(ctx, watchConnect)
	conn, err := pool.Conn(connecting)
	cancel()
	if err != nil {
		return db.hidePassword(err)
	}
	defer func() { _ = conn.Close() }()
	for {
		if err := look(ctx, conn); err != nil {
			return db.hidePassword(err)
		}
		if pause.For(ctx, lookGap) != nil {
			return ctx.Err()
		}
		if err := wait(ctx, b, conn); err != nil {
			return db.hidePassword(err)
		}
	}
}

// listening is the configuration of a connection that does not keep notifications, whose number is up to others.
func (db *DB) listening() *pgx.ConnConfig {
	config := db.postgres.Copy()
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	return config
}

func startListening(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "LISTEN "+channel)
	return err
}

func (db *DB) hidePassword(err error) error {
	if db.postgres == nil {
		return err
	}
	return withoutPassword(err, db.postgres.Password)
}

// waitPostgres returns at the next notification, at a ring of the bell, or after the interval.
func waitPostgres(ctx context.Context, b *bell, conn *sql.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, lookInterval)
	defer cancel()
	if b.listen(cancel) {
		return nil
	}
	defer b.unlisten()
	err := conn.Raw(func(driver any) error {
		return driver.(*stdlib.Conn).Conn().PgConn().WaitForNotification(waiting) //nolint:errcheck,forcetypeassert // the pool is of this driver
	})
	if waiting.Err() != nil {
		return ctx.Err()
	}
	return err
}

// waitSQLite returns after the interval or at a ring of the bell. data_version, which changes with any commit of
// another connection, is looked at by look.
func waitSQLite(ctx context.Context, b *bell, _ *sql.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, sqliteInterval)
	defer cancel()
	if b.listen(cancel) {
		return nil
	}
	defer b.unlisten()
	<-waiting.Done()
	return ctx.Err()
}

// bell wakes who waits. A ring while nobody does is heard by the next who would.
type bell struct {
	mu   sync.Mutex
	rung bool
	wake context.CancelFunc
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rung = true
	if b.wake != nil {
		b.wake()
	}
}

// listen has wake called at the next ring, and tells whether there was one already.
func (b *bell) listen(wake context.CancelFunc) (rung bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rung, b.rung, b.wake = b.rung, false, wake
	return rung
}

func (b *bell) unlisten() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake = nil
	b.rung = false
}

func dataVersion(ctx context.Context, conn *sql.Conn) (version int64, err error) {
	err = conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version)
	return version, err
}
