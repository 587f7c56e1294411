package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fault"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	postgresConns  = 10
	connectTimeout = 10 * time.Second
)

func openPostgres(ctx context.Context, url string) (*DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil || misread(config) {
		// The parser's error quotes the URL with the password masked as well as it can; that is not well enough.
		return nil, fault.WithHint(errors.New("opening database: the postgres:// URL cannot be read"),
			"postgres://user:password@host:5432/name?sslmode=verify-full, with '@', '/', '?', '#' and '%' in the "+
				"password percent-encoded")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = dialer().DialContext
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "sallyport"
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(keepCommitsDurable))
	pool.SetMaxOpenConns(postgresConns)
	pool.SetMaxIdleConns(postgresConns / 2)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db := &DB{DB: pool, Dialect: PostgreSQL, Where: postgresWhere(config), postgres: config}
	if err := pool.PingContext(ctx); err != nil {
		_ = pool.Close()
		return nil, fmt.Errorf("opening database %q: %w", db.Where, withoutPassword(Explain(err), config.Password))
	}
	return db, nil
}

// dialer finds a server that is gone without a word within half a minute; the system's own measure is hours.
func dialer() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 10 * time.Second,
		Interval: 5 * time.Second, Count: 4,
	}}
}

// misread tells whether an '@' that should have been percent-encoded moved a part of the password into the host's
// place.
func misread(config *pgx.ConnConfig) bool {
	if strings.Contains(config.Host, "@") {
		return true
	}
	return slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return strings.Contains(f.Host, "@")
	})
}

// keepCommitsDurable undoes a server- or role-wide synchronous_commit=off: an acknowledged write must survive a crash.
func keepCommitsDurable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx,
		"SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	if err != nil {
		return fmt.Errorf("preparing the connection: %w", err)
	}
	return nil
}

func postgresWhere(config *pgx.ConnConfig) string {
	host := config.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	return host + "/" + config.Database
}

// withoutPassword is the last guard: no driver or server message is known to quote the password, and none may.
func withoutPassword(err error, password string) error {
	if password == "" || !strings.Contains(err.Error(), password) {
		return err
	}
	return fault.WithHint(errors.New("the connection failed; its reason quotes the password and is kept back"),
		fault.HintOf(err))
}
