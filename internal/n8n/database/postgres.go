package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fault"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	connectTimeout = 10 * time.Second
	// lockWait is how long someone else's lock is waited for; an autovacuum gives way within it.
	lockWait = "5s"
)

type postgresDialect struct{ password string }

func (d *DB) openPostgres(url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil || strings.Contains(config.Host, "@") {
		// The parser's error quotes the URL with the password masked as well as it can; that is not well enough.
		return fault.WithHint(fault.WithExit(errors.New("opening n8n's database: the postgres:// URL cannot be read"),
			fault.ExitUsage),
			"postgres://user:password@host:5432/name?sslmode=verify-full, with '@', '/', '?', '#' and '%' in the "+
				"password percent-encoded")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	maps.Copy(config.RuntimeParams, map[string]string{
		"application_name": "sallyport", "TimeZone": "UTC", "client_encoding": "UTF8",
		"standard_conforming_strings": "on",
		"lock_timeout":                lockWait, "statement_timeout": "0", "idle_in_transaction_session_timeout": "0",
	})
	host := config.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	if d.schema == "" {
		d.schema = "public"
	}
	d.pool, d.dialect, d.name = stdlib.OpenDB(*config), postgresDialect{config.Password}, host+"/"+config.Database
	return nil
}

func (postgresDialect) name() Dialect { return PostgreSQL }

func (postgresDialect) id(ctx context.Context, conn *sql.Conn) (id string, err error) {
	return id, conn.QueryRowContext(ctx, "SELECT pg_backend_pid()::text").Scan(&id)
}

func (postgresDialect) catalogue(schema string) (string, []any) {
	return `SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL), '',
			coalesce((SELECT k.at FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (column_number, at) WHERE k.column_number = a.attnum), 0), false
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname, a.attnum`,
		[]any{schema}
}

func (postgresDialect) landmarks(ctx context.Context, conn *sql.Conn, suffix string) ([]string, error) {
	return strs(ctx, conn, func(v []string) string { return landmarkOf(v[0], v[1]) },
		`SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND right(c.relname::text, length($1::text)) = $1::text ORDER BY 1, 2`, suffix)
}

func (postgresDialect) text(kind string) bool {
	switch kind {
	case "text", "character varying", "character", "json", "jsonb", "citext", "xml", "text[]", "character varying[]":
		return true
	}
	return false
}

func (postgresDialect) quote(name string) string { return quoteWith(`"`, name) }

func (postgresDialect) bind(n int) string { return "$" + strconv.Itoa(n) }

func (postgresDialect) read(quoted string) string { return quoted + "::text" }

func (postgresDialect) contains(text, bind string) string {
	return "strpos(" + text + ", " + bind + "::text) > 0"
}

func (postgresDialect) position() string { return "ctid" }

func (postgresDialect) epoch(quoted string) string {
	return "extract(epoch FROM " + quoted + ")::float8"
}

// begin: SHARE ROW EXCLUSIVE conflicts with every write, and with itself, but lets others read. The snapshot is taken
// after it.
func (p postgresDialect) begin(ctx context.Context, conn *sql.Conn, tables []table, write bool) error {
	if !write {
		return execAll(ctx, conn, []string{
			"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
			"SELECT 1 FROM pg_class LIMIT 1",
		})
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.name // qualified and quoted
	}
	return execAll(ctx, conn, []string{
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE",
		"LOCK TABLE " + strings.Join(names, ", ") + " IN SHARE ROW EXCLUSIVE MODE",
		// Whatever the statistics say, an update of some rows looks each up by its key.
		"SET LOCAL enable_hashjoin = off", "SET LOCAL enable_mergejoin = off",
	})
}

func (postgresDialect) updates() (int, int) { return 5000, 16 << 20 }

// update sends the rows as two or more arrays.
func (p postgresDialect) update(ctx context.Context, t *Tx, to target, rows []Row) (int64, error) {
	var lists, names, where []string
	args := make([]any, 1+len(to.key))
	for i := range args {
		values := make([]string, len(rows))
		for r, row := range rows {
			if i == 0 {
				values[r] = row.Cell
			} else {
				values[r] = row.Key[i-1]
			}
		}
		args[i] = values
		n := strconv.Itoa(i + 1)
		lists, names = append(lists, "$"+n+"::text[]"), append(names, "v"+n)
		if i > 0 {
			where = append(where, "t."+p.quote(to.key[i-1].name)+" = u.v"+n+"::"+to.key[i-1].kind)
		}
	}
	//nolint:gosec // names and types from the catalogue, quoted; values are arguments
	query := fmt.Sprintf("UPDATE %s AS t SET %s = u.v1::%s FROM unnest(%s) AS u (%s) WHERE %s",
		to.table, to.quoted, to.column.kind, strings.Join(lists, ", "), strings.Join(names, ", "),
		strings.Join(where, " AND "))
	result, err := t.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (p postgresDialect) explain(err error) error {
	var server *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &server):
		// Class 22 quotes the data, and a detail quotes keys.
		err = clean(err, "SQLSTATE "+server.Code, server.Message, !strings.HasPrefix(server.Code, "22"))
		if server.Code == "55P03" || server.Code == "40P01" || server.Code == "40001" {
			return locked(err)
		}
		err = unavailable(err, postgresHint(server.Code))
	case errors.As(err, &connect):
		err = unavailable(err, "is PostgreSQL running, and may this machine connect to it?")
	}
	if p.password != "" && strings.Contains(err.Error(), p.password) {
		return unavailable(errors.New("the database refuses; its reason quotes the password and is kept back"),
			fault.HintOf(err))
	}
	return err
}

func postgresHint(state string) string {
	switch {
	case strings.HasPrefix(state, "28"):
		return "PostgreSQL refuses this user: check user, password and pg_hba.conf"
	case state == "3D000":
		return "there is no such database: see DB_POSTGRESDB_DATABASE of n8n"
	case state == "42501":
		return "connect as the user that n8n uses (DB_POSTGRESDB_USER), who owns the tables"
	case strings.HasPrefix(state, "53"):
		return "PostgreSQL is out of connections, memory or disk"
	case state == "25006":
		return "this server is a read-only standby: connect to the primary (target_session_attrs=read-write)"
	}
	return ""
}
