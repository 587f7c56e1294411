package database

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
)

// Write runs fn in one transaction and commits it. Every Write of the same topic, in whichever process, runs after the
// other, so fn may read, decide and write without a race. Listeners are told the topic if, and only if, it commits.
// fn must use tx alone, and may run for as long as one may keep the others waiting.
func (db *DB) Write(ctx context.Context, topic string, fn func(tx *sql.Tx) error) error {
	return db.write(ctx, topic, fn, db.announce)
}

// WriteQuietly is Write for what no listener needs to know.
func (db *DB) WriteQuietly(ctx context.Context, topic string, fn func(tx *sql.Tx) error) error {
	return db.write(ctx, topic, fn, func(context.Context, *sql.Tx, string) error { return nil })
}

func (db *DB) write(ctx context.Context, topic string, fn func(*sql.Tx) error,
	announce func(context.Context, *sql.Tx, string) error,
) error {
	if db.Dialect == SQLite {
		select {
		case db.writer <- struct{}{}:
			defer func() { <-db.writer }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return db.failed(ctx, "beginning a transaction", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := db.claim(ctx, tx, topic); err != nil {
		return db.failed(ctx, "waiting for the other writers", err)
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := announce(ctx, tx, topic); err != nil {
		return db.failed(ctx, "announcing the change", err)
	}
	if err := tx.Commit(); err != nil {
		return db.failed(ctx, "committing", err)
	}
	return nil
}

// claim waits until no other transaction of the topic is open. SQLite has one writer at a time anyway.
func (db *DB) claim(ctx context.Context, tx *sql.Tx, topic string) error {
	if db.Dialect == SQLite {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", lockID(topic))
	return err
}

// lockID maps a name to a PostgreSQL advisory lock. Other users of the same database take theirs from the same 64 bits.
func lockID(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("sallyport\x00" + name))
	return int64(h.Sum64()) //nolint:gosec // the bits matter, not the number
}

// failed says what was being done, and prefers the context's own reason over what the driver made of it.
func (db *DB) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s in %s: %w", doing, db.Where, ctx.Err())
	}
	return fmt.Errorf("%s in %s: %w", doing, db.Where, Explain(err))
}

// Snapshot runs fn in a transaction that reads one state of the database and writes nothing. It waits for no writer.
func (db *DB) Snapshot(ctx context.Context, fn func(tx *sql.Tx) error) error {
	options := &sql.TxOptions{ReadOnly: true}
	if db.Dialect == PostgreSQL {
		options.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.BeginTx(ctx, options)
	if err != nil {
		return db.failed(ctx, "beginning to read", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return fn(tx)
}

// Claim has tx keep out, until its end, every other Write of topic, which is another than the one it was begun for.
func (db *DB) Claim(ctx context.Context, tx *sql.Tx, topic string) error {
	if err := db.claim(ctx, tx, topic); err != nil {
		return db.failed(ctx, "waiting for the other writers", err)
	}
	return nil
}
