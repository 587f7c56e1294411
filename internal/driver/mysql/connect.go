package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"

	"github.com/go-sql-driver/mysql"
)

const (
	connectTimeout = 10 * time.Second
	replyTimeout   = 20 * time.Second
	callTimeout    = 30 * time.Second // of a step
	lockSeconds    = 10
)

// session is one connection, logged in.
type session struct {
	d    *accounts
	pool *sql.DB
	conn *sql.Conn
	my   bool // MySQL; otherwise MariaDB
}

func (s *session) close() {
	_ = s.conn.Close()
	_ = s.pool.Close()
}

// connect logs in.
func (d *accounts) connect(ctx context.Context, login driver.Login) (*session, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd = login.User, string(login.Password.Reveal())
	config.Net, config.Addr = "unix", d.s.Address
	config.Timeout, config.ReadTimeout, config.WriteTimeout = connectTimeout, replyTimeout, replyTimeout
	config.Logger = &mysql.NopLogger{} // what matters is returned
	config.InterpolateParams = true    // one message for each statement
	config.ConnectionAttributes = "program_name:sallyport"
	if !driver.IsSocket(d.s.Address) {
		host, port := driver.HostPort(d.s.Address, "3306")
		config.Net, config.Addr = "tcp", net.JoinHostPort(host, port)
		var err error
		if config.TLS, err = d.s.Config(host); err != nil {
			return nil, err
		}
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, errors.New("the settings of the connection cannot be used")
	}
	s := &session{d: d, pool: sql.OpenDB(connector)}
	if s.conn, err = s.pool.Conn(ctx); err != nil {
		_ = s.pool.Close()
		return nil, fmt.Errorf("logging in as %q: %w", login.User, d.explain(err))
	}
	return s, nil
}

// admin logs in as who sets passwords, and keeps other runs out: user is what they would change too. What one of them
// has sent before its connection was lost has ended by then.
func (d *accounts) admin(ctx context.Context, user string) (*session, error) {
	password, err := d.on.Secret(ctx, d.s.AdminPassword)
	if err != nil {
		return nil, fmt.Errorf("reading the password of %q: %w", d.s.AdminUser, err)
	}
	s, err := d.connect(ctx, driver.Login{User: d.s.AdminUser, Password: password})
	if err != nil {
		return nil, err
	}
	var version string
	var got sql.NullInt64
	name := sha256.Sum256([]byte(user)) // what a lock is called has 64 characters at the most
	err = s.conn.QueryRowContext(ctx, "SELECT version(), get_lock(?, ?)", fmt.Sprintf("sallyport %x", name[:20]),
		lockSeconds).Scan(&version, &got)
	if err == nil && got.Int64 != 1 {
		err = fmt.Errorf("%w: another run holds the user %q", driver.ErrUnclear, user)
	}
	if err != nil {
		s.close()
		return nil, d.explain(err)
	}
	s.my = !strings.Contains(version, "MariaDB")
	return s, nil
}

// exec sends a statement without arguments.
func (s *session) exec(ctx context.Context, statement string) error {
	_, err := s.conn.ExecContext(ctx, statement)
	return s.d.explain(err)
}

// quoteAccount is 'user'@'host' in the quotes that mean the same in every mode of both servers.
func quoteAccount(user, host string) string { return quote(user) + "@" + quote(host) }

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// meaning says what an error of the server means: whether it may pass, and what a person can do.
type meaning struct {
	passes bool
	hint   string
}

// explain says what an error means for the caller. A statement that the server has refused had no effect: each is done
// as a whole or not at all.
func (d *accounts) explain(err error) error {
	if err == nil || driver.Certain(err) || errors.Is(err, driver.ErrUnclear) {
		return err
	}
	server, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return fault.WithHint(fmt.Errorf("%w: %w", driver.ErrUnclear, err),
			"is the server at `address` running, may this machine connect to it, and does it speak TLS as `tls` says?")
	}
	said := fmt.Sprintf("%s (error %d)", server.Message, server.Number)
	if server.Number == 1064 { // it quotes the statement
		said = "it does not understand a statement (error 1064)"
	}
	m := d.means(server.Number)
	if m.passes {
		return fault.WithHint(fmt.Errorf("%w: %s", driver.ErrUnclear, said), "rotate again when the server is well")
	}
	err = fmt.Errorf("%w: %s", driver.ErrRefused, said)
	if m.hint != "" {
		err = fault.WithHint(err, m.hint)
	}
	return err
}

func (d *accounts) means(number uint16) meaning {
	switch number {
	case 1045, 1698, 1130, 3118, 4151: // password, plugin, host, locked
		return meaning{hint: "check the user, its password, the host that it may come from, and that it is not locked"}
	case 1044, 1142, 1143, 1227, 1370, 1410, 3879:
		return meaning{hint: d.grants()}
	case 1396:
		return meaning{hint: "the account is not there: write the host part of its name under `from`"}
	case 1290, 1836, 3989:
		return meaning{hint: "this server is a replica, or is set to read only: write the primary's address"}
	case 1040, 1053, 1077, 1203, 1205, 1213, 1226, 1927, 3024:
		return meaning{passes: true}
	}
	return meaning{}
}

// grants are the statements that give the administrator what it needs.
func (d *accounts) grants() string {
	name := quote(d.s.AdminUser)
	return "as root: GRANT CREATE USER, PROCESS ON *.* TO " + name + "; GRANT SELECT ON mysql.* TO " + name
}

// hashOf is what the server is to keep of a password, for the plugin that the account has.
func hashOf(a *account, password secret.Value, run string) (string, error) {
	hash, ok := hashFor(a.plugin, password, run)
	if !ok {
		return "", fault.WithHint(fmt.Errorf("%w: the account of %q logs in by %q, of which no hash is known here",
			driver.ErrRefused, a.user, a.plugin),
			"set it to caching_sha2_password, or in MariaDB to mysql_native_password")
	}
	return hash, nil
}
