package database

import (
	"context"
	"database/sql"
	"fmt"
)

const channel = "sallyport"

// Notify tells every listener, in all processes, that what topic names has changed. Write does so by itself.
func (db *DB) Notify(ctx context.Context, topic string) error {
	return db.Write(ctx, topic, func(*sql.Tx) error { return nil })
}

// announce numbers the change and tells the listeners of PostgreSQL. The row of the empty topic is held until the
// commit, so that numbers become visible in their order: who has read one has seen all before it.
func (db *DB) announce(ctx context.Context, tx *sql.Tx, topic string) error {
	_, err := tx.ExecContext(ctx,
		"INSERT INTO change (topic, seq) VALUES ('', 1) ON CONFLICT (topic) DO UPDATE SET seq = change.seq + 1")
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

// Seq is the number of the latest change of topic, or 0 when there was none. What Write has returned from is counted.
func (db *DB) Seq(ctx context.Context, topic string) (seq int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM change WHERE topic = $1", topic).Scan(&seq)
	if err != nil {
		return 0, db.failed(ctx, "reading the number of the last change", err)
	}
	return seq, nil
}

// changes reads the highest number given out, and the topics that have changed after the number since.
func changes(ctx context.Context, on *sql.Conn, since int64) (last int64, topics []string, err error) {
	rows, err := on.QueryContext(ctx, "SELECT topic, seq FROM change WHERE seq > $1 OR topic = ''", since)
	if err != nil {
		return 0, nil, fmt.Errorf("reading what has changed: %w", Explain(err))
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var topic string
		var seq int64
		if err := rows.Scan(&topic, &seq); err != nil {
			return 0, nil, fmt.Errorf("reading what has changed: %w", err)
		}
		last = max(last, seq)
		if topic != "" {
			topics = append(topics, topic)
		}
	}
	return last, topics, Explain(rows.Err())
}
