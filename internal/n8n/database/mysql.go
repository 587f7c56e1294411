package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"sallyport/internal/fault"

	"github.com/go-sql-driver/mysql"
)

// mysqlDialect is MySQL 8 and MariaDB, which n8n 1.x could use; 2.x cannot.
type mysqlDialect struct{ password string }

func (d *DB) openMySQL(raw string) error {
	config, err := mysqlConfig(raw)
	if err != nil {
		return fault.WithHint(fault.WithExit(errors.New("opening n8n's database: the mysql:// URL cannot be read"),
			fault.ExitUsage),
			"mysql://user:password@host:3306/name?tls=true, with '@', '/', '?', '#' and '%' in the password "+
				"percent-encoded")
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return errors.New("opening n8n's database: the mysql:// URL cannot be used")
	}
	d.pool, d.dialect, d.schema = sql.OpenDB(connector), mysqlDialect{config.Passwd}, ""
	d.name = config.Addr + "/" + config.DBName
	return nil
}

// mysqlConfig reads a URL. The only parameters are socket and tls, whose values are the driver's own.
func mysqlConfig(raw string) (*mysql.Config, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" || u.Fragment != "" {
		return nil, errors.New("not a URL of MySQL")
	}
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr, config.DBName = "tcp", u.Host, strings.Trim(u.Path, "/")
	if u.Port() == "" {
		config.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	for key, values := range u.Query() {
		switch key {
		case "socket":
			config.Net, config.Addr = "unix", values[0]
		case "tls":
			config.TLSConfig = values[0]
		default:
			return nil, fmt.Errorf("no such parameter: %q", key)
		}
	}
	config.Timeout = connectTimeout
	config.ParseTime = false
	config.ClientFoundRows = true   // an update that changes nothing has hit its row all the same
	config.InterpolateParams = true // one way instead of three for an update of many rows
	config.MaxAllowedPacket = 0     // as the server allows
	config.ConnectionAttributes = "program_name:sallyport"
	config.Params = map[string]string{
		"time_zone": "'+00:00'", "innodb_lock_wait_timeout": "5", "lock_wait_timeout": "5",
		"sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'", // with backslashes as the driver escapes them
	}
	return config, config.Apply(mysql.Charset("utf8mb4", ""))
}

func (mysqlDialect) name() Dialect { return MySQL }

func (mysqlDialect) id(ctx context.Context, conn *sql.Conn) (id string, err error) {
	return id, conn.QueryRowContext(ctx, "SELECT connection_id()").Scan(&id)
}

func (mysqlDialect) catalogue(string) (string, []any) {
	return `SELECT c.table_name, c.column_name, c.data_type, coalesce(c.collation_name, ''), coalesce(k.ordinal_position, 0), false
		FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
		LEFT JOIN information_schema.key_column_usage k ON k.table_schema = c.table_schema AND k.table_name = c.table_name
			AND k.column_name = c.column_name AND k.constraint_name = 'PRIMARY'
		WHERE c.table_schema = database() AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position`,
		nil
}

func (mysqlDialect) landmarks(ctx context.Context, conn *sql.Conn, suffix string) ([]string, error) {
	return strs(ctx, conn, func(v []string) string { return landmarkOf("", v[0]) },
		"SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND right(table_name, "+
			"length(?)) = ?", suffix, suffix)
}

func (mysqlDialect) text(kind string) bool {
	return strings.Contains(kind, "char") || strings.Contains(kind, "text") || kind == "json"
}

func (mysqlDialect) quote(name string) string { return quoteWith("`", name) }

func (mysqlDialect) bind(int) string { return "?" }

func (mysqlDialect) read(quoted string) string { return quoted }

func (mysqlDialect) contains(text, bind string) string {
	return "locate(" + bind + ", CAST(" + text + " AS BINARY)) > 0"
}

func (mysqlDialect) position() string { return "" }

func (mysqlDialect) epoch(quoted string) string { return "unix_timestamp(" + quoted + ")" }

// begin: a locking read of a whole table keeps others from changing its rows, and from adding any, until the end. LOCK
// TABLES would do the same, but shuts out the tables that it does not name.
func (m mysqlDialect) begin(ctx context.Context, conn *sql.Conn, tables []table, write bool) error {
	if !write {
		return execAll(ctx, conn, []string{
			"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
			"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
		})
	}
	statements := []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION"}
	for _, t := range tables {
		statements = append(statements, "SELECT count(*) FROM "+t.name+" FORCE INDEX (PRIMARY) FOR UPDATE")
	}
	return execAll(ctx, conn, statements)
}

func (mysqlDialect) updates() (int, int) { return 100, 4 << 20 }

// update joins the table with the rows. The keys get the column's collation: by that the index finds them.
func (m mysqlDialect) update(ctx context.Context, t *Tx, to target, rows []Row) (int64, error) {
	args := make([]any, 0, len(rows)*(1+len(to.key)))
	for _, row := range rows {
		args = append(args, row.Cell)
		for _, k := range row.Key {
			args = append(args, k)
		}
	}
	first, where := "SELECT ? AS v", make([]string, len(to.key))
	for i, k := range to.key {
		name := fmt.Sprintf("k%d", i)
		first += ", ? AS " + name
		where[i] = "t." + m.quote(k.name) + " = u." + name
		if k.collation != "" {
			where[i] = "t." + m.quote(k.name) + " = CONVERT(u." + name + " USING " + charset(k.collation) +
				") COLLATE " + k.collation
		}
	}
	set := "t." + to.quoted + " = u.v"
	if to.stamp != "" {
		set += ", t." + to.stamp + " = t." + to.stamp
	}
	more := " UNION ALL SELECT ?" + strings.Repeat(", ?", len(to.key))
	//nolint:gosec // names from the catalogue, quoted; values are arguments
	query := fmt.Sprintf("UPDATE (%s%s) AS u STRAIGHT_JOIN %s AS t ON %s SET %s",
		first, strings.Repeat(more, len(rows)-1), to.table, strings.Join(where, " AND "), set)
	result, err := t.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// charset is the character set of a collation: its name up to the first underscore.
func charset(collation string) string {
	set, _, _ := strings.Cut(collation, "_")
	return set
}

func (m mysqlDialect) explain(err error) error {
	var server *mysql.MySQLError
	var network *net.OpError
	switch {
	case errors.As(err, &server):
		err = explainMySQL(err, server)
	case errors.As(err, &network), errors.Is(err, mysql.ErrInvalidConn):
		err = unavailable(err, "is the server running, and may this machine connect to it?")
	}
	if m.password != "" && strings.Contains(err.Error(), m.password) {
		return unavailable(errors.New("the database refuses; its reason quotes the password and is kept back"),
			fault.HintOf(err))
	}
	return err
}

func explainMySQL(err error, server *mysql.MySQLError) error {
	switch server.Number {
	case 1064, 1062, 1292, 1366, 1406: // these quote statements or data
		return unavailable(clean(err, fmt.Sprintf("error %d", server.Number), "", false), "")
	}
	err = clean(err, fmt.Sprintf("error %d", server.Number), server.Message, true)
	switch server.Number {
	case 1205, 1213, 3572:
		return locked(err)
	case 1044, 1045:
		return unavailable(err,
			"the server refuses this user: check user and password (DB_MYSQLDB_USER, DB_MYSQLDB_PASSWORD of n8n)")
	case 1049:
		return unavailable(err, "there is no such database: see DB_MYSQLDB_DATABASE of n8n")
	case 1142, 1143:
		return unavailable(err, "connect as the user that n8n uses, who owns the tables")
	case 1153:
		return unavailable(err, "raise max_allowed_packet of the server above the largest credential")
	}
	return unavailable(err, "")
}
