package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	connectTimeout = 10 * time.Second
	// callTimeout bounds a step; the server gives up sooner, so that nothing happens after a step has failed.
	callTimeout = 30 * time.Second
	limits      = "SET LOCAL statement_timeout = '15s'; SET LOCAL lock_timeout = '10s'"

	program = "sallyport" // the application_name of its own sessions
)

// neutral names everything that PG* variables and files in the home directory of this process could say otherwise.
const neutral = "host=localhost port=5432 user=x database=x sslmode=disable target_session_attrs=any " +
	"passfile=/dev/null application_name=" + program

// connect logs in.
func (d *roles) connect(ctx context.Context, login driver.Login) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(neutral)
	if err != nil {
		return nil, errors.New("the environment of this process has PG variables that cannot be read")
	}
	host, port := driver.HostPort(d.s.Address, "5432")
	if driver.IsSocket(d.s.Address) {
		host, port = d.s.Address, "5432"
	}
	if _, err := fmt.Sscanf(port, "%d", &config.Port); err != nil {
		return nil, fmt.Errorf("the port %q is no number", port)
	}
	config.Host, config.Database, config.Fallbacks = host, d.s.Database, nil
	config.User, config.Password = login.User, string(login.Password.Reveal())
	config.ConnectTimeout = connectTimeout
	config.RuntimeParams = map[string]string{"application_name": program}
	config.RequireAuth, config.ChannelBinding = "", "prefer"
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // one message for each statement, and poolers take it
	if !driver.IsSocket(d.s.Address) {
		if config.TLSConfig, err = d.s.Config(host); err != nil {
			return nil, err
		}
		if config.TLSConfig == nil {
			config.RequireAuth = "!password" // which would go over the network in clear
		}
	}
	return pgx.ConnectConfig(ctx, config)
}

// admin logs in as who sets passwords.
func (d *roles) admin(ctx context.Context) (*pgx.Conn, error) {
	password, err := d.on.Secret(ctx, d.s.AdminPassword)
	if err != nil {
		return nil, fmt.Errorf("reading the password of %q: %w", d.s.AdminUser, err)
	}
	conn, err := d.connect(ctx, driver.Login{User: d.s.AdminUser, Password: password})
	if err != nil {
		return nil, fmt.Errorf("logging in as %q: %w", d.s.AdminUser, d.explain(err))
	}
	return conn, nil
}

// as runs fn in a transaction of conn, and closes conn.
func (d *roles) in(ctx context.Context, conn *pgx.Conn, fn func(tx pgx.Tx) error) error {
	defer closeConn(ctx, conn)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return d.explain(err)
	}
	err = d.bounded(ctx, tx, fn)
	if err == nil {
		return d.explain(tx.Commit(ctx))
	}
	if back := tx.Rollback(ctx); back != nil && driver.Certain(err) {
		return err // nothing was committed, whatever became of the connection
	}
	return err
}

func (d *roles) bounded(ctx context.Context, tx pgx.Tx, fn func(tx pgx.Tx) error) error {
	if _, err := tx.Exec(ctx, limits); err != nil {
		return d.explain(err)
	}
	return fn(tx)
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // all that counts is committed
}

// refusesLogin tells whether the server does not take the user or the password.
func refusesLogin(err error) bool {
	server, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (server.Code == "28P01" || server.Code == "28000")
}

// hints say what a person can do, by SQLSTATE or by its class.
var hints = map[string]string{ //nolint:gochecknoglobals // a table
	"28":    "check the user, its password, VALID UNTIL and pg_hba.conf",
	"25006": "this server is a read-only standby, or is set to read only: write the primary's address",
	"3D000": "write a database that is there under `database`",
}

// passing are the classes of errors that may not come again: the connection, a conflict, resources, an operator, the
// system, the server's own.
var passing = []string{"08", "40", "53", "55", "57", "58", "XX"} //nolint:gochecknoglobals // a table

// explain says what an error means for the caller. A statement that the server has refused had no effect: each stands
// in a transaction, and so has a commit that it refused.
func (d *roles) explain(err error) error {
	if err == nil || driver.Certain(err) || errors.Is(err, driver.ErrUnclear) {
		return err
	}
	server, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fault.WithHint(fmt.Errorf("%w: %w", driver.ErrUnclear, err),
			"is the server at `address` running, may this machine connect to it, and does it speak TLS as `tls` says?")
	}
	said := fmt.Sprintf("%s (SQLSTATE %s)", server.Message, server.Code) // never its detail or its context, which quote
	if slices.Contains(passing, server.Code[:2]) {
		return fault.WithHint(fmt.Errorf("%w: %s", driver.ErrUnclear, said), "rotate again when the server is well")
	}
	err = fmt.Errorf("%w: %s", driver.ErrRefused, said)
	switch hint := d.hint(server.Code); hint {
	case "":
		return err
	default:
		return fault.WithHint(err, hint)
	}
}

func (d *roles) hint(code string) string {
	if code == "42501" {
		return d.grants()
	}
	if hint, ok := hints[code]; ok {
		return hint
	}
	return hints[code[:2]]
}

// grants are the statements that give the administrator what it needs.
func (d *roles) grants() string {
	if d.s.AdminUser == "" {
		return "have a superuser look at the role " + quote(d.s.Users[0])
	}
	names := make([]string, 0, len(d.s.Users)+1)
	for _, name := range append(slices.Clone(d.s.Users), d.s.Owner) {
		if name != "" {
			names = append(names, quote(name))
		}
	}
	return fmt.Sprintf("as a superuser: ALTER ROLE %[1]s CREATEROLE; from PostgreSQL 16 also GRANT %[2]s TO %[1]s "+
		"WITH ADMIN OPTION", quote(d.s.AdminUser), joined(names))
}
