package postgres_test

import (
	"fmt"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/secret"

	"github.com/jackc/pgx/v5"
)

// TestContract holds two users that take turns, one with an administrator, and one by itself to the contract.
func TestContract(t *testing.T) {
	worlds := 0
	for name, c := range map[string]struct {
		users int
		admin bool
	}{
		"two users": {2, true}, "one user": {1, true}, "one user by itself": {1, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			drivertest.Run(t, func(*testing.T) *drivertest.World {
				worlds++
				return b.logins(fmt.Sprintf("kit%d", worlds), c.users, c.admin).World()
			})
		})
	}
}

// logins makes users whose names begin with prefix.
func (b *bed) logins(prefix string, n int, admin bool) *drivertest.Logins {
	b.t.Helper()
	s := b.users(prefix+"_a", prefix+"_b")
	s.Users, s.Template = s.Users[:n], drivertest.LoginForm
	if !admin {
		s.AdminUser = ""
	}
	l := &drivertest.Logins{
		Open:    func(*testing.T) driver.Driver { return b.open(s) },
		Current: value(prefix+"_a", "first-canary-77"),
		Login: func(value secret.Value) error {
			err := b.login(value)
			login, _ := (driver.Account{Template: drivertest.LoginForm}).Read(value, nil)
			b.alone(login.User)
			return err
		},
		Trap: b.trap,
	}
	if n == 1 {
		return l
	}
	l.OldKey = prefix + "_a"
	l.Keys = func() (keys []driver.Key) {
		const query = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname = ANY ($1)"
		rows, err := b.root.Query(b.t.Context(), query, s.Users)
		if err != nil {
			b.t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			b.t.Fatal(err)
		}
		for _, name := range names {
			keys = append(keys, driver.Key{ID: name})
		}
		return keys
	}
	return l
}
