package drivertest

import (
	"fmt"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/link"
)

// LoginForm is the template of the secret's value in a world of Logins.
const LoginForm = `{"user": "{user}", "password": "{password}"}`

// Logins are those of a real server. Its driver goes through the trap, and nobody else does.
type Logins struct {
	Open    func(t *testing.T) driver.Driver
	Current secret.Value
	OldKey  string                         // as in World
	Login   func(value secret.Value) error // logs in with a value, and is gone from the server when it returns
	Keys    func() []driver.Key            // as in World
	Trap    *link.Trap
}

// World has each method of the driver be one effect, which goes wrong as a whole or at one of its messages.
func (l *Logins) World() *World {
	var before, after func() error
	var values []string
	seen := func(value secret.Value) {
		if login, err := (driver.Account{Template: LoginForm}).Read(value, nil); err == nil {
			values = append(values, string(login.Password.Reveal()))
		}
	}
	seen(l.Current)
	w := &World{
		Open: func(t *testing.T) driver.Driver {
			t.Helper()
			l.Trap.Set(0, false) // what has gone wrong has gone wrong once
			return &Around{Driver: l.Open(t), Before: &before, After: &after}
		},
		Current: l.Current, OldKey: l.OldKey, Keys: l.Keys, Logins: true, Faults: map[string]func(){},
		Accepts: func(value secret.Value) bool {
			seen(value)
			return l.Login(value) == nil
		},
		Values: func() []string { return values },
		Hook:   func(b, a func() error) { before, after = b, a },
	}
	for _, n := range []int{3, 6} {
		w.Faults[fmt.Sprintf("message %d lost", n)] = func() { l.Trap.Set(n, false) }
		w.Faults[fmt.Sprintf("answer to message %d lost", n)] = func() { l.Trap.Set(n, true) }
	}
	return w
}
