package mysql_test

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/mysql"
	"sallyport/internal/secret"

	client "github.com/go-sql-driver/mysql"
)

// TestContract holds two users that take turns, one, and one with two passwords to the contract of drivers.
func TestContract(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		worlds := 0
		for name, c := range map[string]struct {
			users int
			dual  bool
		}{
			"two users": {2, false}, "one user": {1, false}, "two passwords": {1, true},
		} {
			if c.dual && !b.my {
				continue
			}
			t.Run(name, func(t *testing.T) {
				drivertest.Run(t, func(t *testing.T) *drivertest.World {
					t.Helper()
					worlds++
					return b.logins(t, fmt.Sprintf("kit%d", worlds), c.users, c.dual).World()
				})
			})
		}
	})
}

// logins makes users whose names begin with prefix.
func (b *bed) logins(t *testing.T, prefix string, n int, dual bool) *drivertest.Logins {
	t.Helper()
	s := mysql.Settings{
		Users: []string{prefix + "_a", prefix + "_b"}[:n], Dual: dual,
		Account: driver.Account{Template: drivertest.LoginForm},
	}
	b.user(s.Users[0], first)
	if n == 2 {
		b.user(s.Users[1], "")
	}
	l := &drivertest.Logins{
		Open: func(*testing.T) driver.Driver { return b.open(s) }, Current: value(s.Users[0], first), Trap: b.trap,
		Login: func(value secret.Value) error {
			err := b.login(value)
			b.alone(value)
			return err
		},
	}
	if n == 1 && !dual {
		return l
	}
	straight := s
	straight.Address, straight.TLS, straight.AdminUser = b.socket, driver.TLSOff, "sallyport"
	own := b.opened(straight, adminPassword)
	l.Keys = func() []driver.Key {
		keys, err := own.Keys(t.Context(), driver.Job{})
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	l.OldKey = l.Keys()[0].ID
	return l
}

// login logs in with a value at the server itself.
func (b *bed) login(v secret.Value) error {
	login, err := (driver.Account{Template: template}).Read(v, nil)
	if err != nil {
		return err
	}
	config := client.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd = "unix", b.socket, login.User, string(login.Password.Reveal())
	connector, err := client.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	return errors.Join(db.PingContext(b.t.Context()), db.Close())
}

// TestPage: the example of the page does, with the login in the store in the form that it shows.
func TestPage(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		s := drivertest.Example(t, mysql.Kind()).(*mysql.Settings)
		b.user(s.Users[0], first)
		b.user(s.Users[1], "")
		b.round(b.open(*s), value(s.Users[0], first))
	})
}
