package database

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	channel      = "sallyport"
	pollInterval = 250 * time.Millisecond // how late a listener on SQLite hears of another process's change
	idleCheck    = 30 * time.Second       // how late a listener on PostgreSQL finds out that its connection is dead
	retryFirst   = 250 * time.Millisecond
	retryLongest = 5 * time.Second
)

// Notify tells every listener, in all processes, that what topic names has changed. Write does so by itself.
func (db *DB) Notify(ctx context.Context, topic string) error {
	return db.Write(ctx, topic, func(*sql.Tx) error { return nil })
}

// announce numbers the change and tells the listeners of PostgreSQL. The row of the empty topic is held until the commit, so
// that numbers become visible in their order: who has read one has seen all before it.
func (db *DB) announce(ctx context.Context, tx *sql.Tx, topic string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO change (topic, seq) VALUES ('', 1) ON CONFLICT (topic) DO UPDATE SET seq = change.seq + 1")
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO change (topic, seq) SELECT $1, seq FROM change WHERE topic = ''
		ON CONFLICT (topic) DO UPDATE SET seq = excluded.seq`, topic)
	if err != nil || db.Dialect == SQLite {
		return err
	}
	_, err = tx.ExecContext(ctx, "SELECT pg_notify('"+channel+"', $1)", topic)
	return err
}

// Listen calls fn, never twice at once, with each topic that has changed in any process, this one included, and with ""
// when anything may have: at the start and after every lost connection. It blocks until ctx ends and then returns nil;
// everything else it tries again, see Deaf.
func (db *DB) Listen(ctx context.Context, fn func(topic string)) error {
	listen := db.listenPostgres
	if db.Dialect == SQLite {
		listen = db.listenSQLite
	}
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		err := listen(ctx, func(topic string) {
			db.deaf.Store(nil)
			wait = retryFirst
			fn(topic)
		})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that the caller asked for
		}
		err = Explain(err)
		db.deaf.Store(&err)
		if !pause(ctx, wait) {
			return nil
		}
	}
}

// Deaf is why Listen hears nothing at the moment, or nil while it does.
func (db *DB) Deaf() error {
	if err := db.deaf.Load(); err != nil {
		return fmt.Errorf("listening for changes on %s: %w", db.Where, *err)
	}
	return nil
}

// pause waits for d and tells whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (db *DB) listenPostgres(ctx context.Context, fn func(string)) error {
	conn, err := pgx.ConnectConfig(ctx, db.postgres.Copy())
	if err != nil {
		return withoutPassword(err, db.postgres.Password)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	fn("")
	for {
		notification, err := nextNotification(ctx, conn)
		if err != nil {
			return err
		}
		if notification != nil {
			fn(notification.Payload)
		}
	}
}

// nextNotification waits for one; when none comes for a while it asks the server whether it is still there, and returns nil.
func nextNotification(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	waiting, cancel := context.WithTimeout(ctx, idleCheck)
	defer cancel()
	notification, err := conn.WaitForNotification(waiting)
	if err == nil || ctx.Err() != nil || waiting.Err() == nil {
		return notification, err
	}
	asking, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return nil, conn.Ping(asking)
}

// listenSQLite watches data_version, which costs no read of the file and changes with any commit of another connection, and
// only then looks up which topics it was about.
func (db *DB) listenSQLite(ctx context.Context, fn func(string)) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	version, err := dataVersion(ctx, conn)
	if err != nil {
		return err
	}
	seen, err := notices(ctx, conn)
	if err != nil {
		return err
	}
	fn("")
	for pause(ctx, pollInterval) {
		now, err := dataVersion(ctx, conn)
		if err != nil {
			return err
		}
		if now == version {
			continue
		}
		version = now
		if seen, err = tellNew(ctx, conn, seen, fn); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func tellNew(ctx context.Context, conn *sql.Conn, seen map[string]int64, fn func(string)) (map[string]int64, error) {
	current, err := notices(ctx, conn)
	if err != nil {
		return nil, err
	}
	for topic, seq := range current {
		if seq != seen[topic] {
			fn(topic)
		}
	}
	return current, nil
}

func dataVersion(ctx context.Context, conn *sql.Conn) (version int64, err error) {
	err = conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version)
	return version, err
}

func notices(ctx context.Context, conn *sql.Conn) (map[string]int64, error) {
	rows, err := conn.QueryContext(ctx, "SELECT topic, seq FROM change WHERE topic <> ''")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	seqs := make(map[string]int64)
	for rows.Next() {
		var topic string
		var seq int64
		if err := rows.Scan(&topic, &seq); err != nil {
			return nil, err
		}
		seqs[topic] = seq
	}
	return seqs, rows.Err()
}
