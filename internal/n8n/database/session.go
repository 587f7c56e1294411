package database

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Session is someone else who uses the database.
type Session struct {
	// Who names it for people: "pid 123 n8n@10.0.0.3 (idle, last query 12s ago)".
	Who string
	// Process is the id of the server's process or connection, or with SQLite of the process itself; "" when it is not
	// known, as that of another container is not.
	Process string
	// Application is what it calls itself, or with SQLite the program's name.
	Application string
}

// Sessions are all who are connected, without ourselves: with PostgreSQL and MySQL to this database of the server, with
// SQLite the processes of this machine that have the file open or hold a lock on it. A MySQL user without the privilege
// PROCESS sees his own alone.
func (d *DB) Sessions(ctx context.Context) ([]Session, error) {
	conn, err := d.conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for others on %s: %w", d.name, d.dialect.explain(err))
	}
	defer func() { _ = conn.Close() }()
	sessions, err := d.dialect.sessions(ctx, d, conn)
	if err != nil {
		return nil, fmt.Errorf("looking for others on %s: %w", d.name, d.dialect.explain(err))
	}
	return sessions, nil
}

func (d *DB) isOurs(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mine[id]
}

// serverSessions reads rows of id, user, address, application, state and seconds since the last query.
func (d *DB) serverSessions(ctx context.Context, conn *sql.Conn, query string) (sessions []Session, err error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, user, address, application, state string
		var seconds int64
		if err := rows.Scan(&id, &user, &address, &application, &state, &seconds); err != nil {
			return nil, err
		}
		if d.isOurs(id) {
			continue
		}
		who := fmt.Sprintf("pid %s %s@%s (%s, last query %s ago)", id, user, address, state,
			time.Duration(seconds)*time.Second)
		if application != "" {
			who = fmt.Sprintf("%s %q", who, application)
		}
		sessions = append(sessions, Session{who, id, application})
	}
	return sessions, rows.Err()
}

func (postgresDialect) sessions(ctx context.Context, d *DB, conn *sql.Conn) ([]Session, error) {
	return d.serverSessions(ctx, conn,
		`SELECT pid::text, coalesce(usename::text, '?'), coalesce(host(client_addr), 'local'), coalesce(application_name, ''),
			coalesce(state, 'state not shown'), coalesce(greatest(extract(epoch FROM clock_timestamp() - state_change), 0), 0)::bigint
		FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid`)
}

func (mysqlDialect) sessions(ctx context.Context, d *DB, conn *sql.Conn) ([]Session, error) {
	return d.serverSessions(ctx, conn, `SELECT id, user, coalesce(host, ''), '', lower(command), coalesce(time, 0)
		FROM information_schema.processlist WHERE db = database() AND id <> connection_id() ORDER BY id`)
}

// sessions opens the file, and its -shm, through SQLite before it asks for locks on them.
func (sqliteDialect) sessions(ctx context.Context, d *DB, conn *sql.Conn) ([]Session, error) {
	if err := execAll(ctx, conn, []string{"SELECT count(*) FROM sqlite_master"}); err != nil {
		return nil, err
	}
	return processesWith(d.path)
}
