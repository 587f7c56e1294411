package postgres_test

import (
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/postgres"
	"sallyport/internal/secret"
)

func TestKind(t *testing.T) { drivertest.Kind(t, postgres.Kind()) }

// TestCheck: settings with which a rotation could not go well are refused at their key.
func TestCheck(t *testing.T) {
	ref := secret.Ref{Store: "builtin", Path: "admin"}
	good := func() *postgres.Settings {
		return &postgres.Settings{Address: "db:5432", Users: []string{"a", "b"}, AdminUser: "s", AdminPassword: ref}
	}
	one := func() *postgres.Settings { return &postgres.Settings{Address: "db:5432", Users: []string{"a"}} }
	for name, c := range map[string]struct {
		s            *postgres.Settings
		change       func(*postgres.Settings)
		fails, warns string
	}{
		"two users":        {s: good()},
		"one user":         {s: one(), warns: "users"},
		"no administrator": {s: good(), change: func(s *postgres.Settings) { s.AdminUser, s.AdminPassword = "", secret.Ref{} }, fails: "admin_user"},
		"half of one":      {s: one(), change: func(s *postgres.Settings) { s.AdminUser = "s" }, fails: "admin_password"},
		"one of the users": {s: good(), change: func(s *postgres.Settings) { s.AdminUser = "a" }, fails: "admin_user"},
		"three users":      {s: good(), change: func(s *postgres.Settings) { s.Users = append(s.Users, "c") }, fails: "users"},
		"the same twice":   {s: good(), change: func(s *postgres.Settings) { s.Users[1] = "a" }, fails: "users"},
		"too long":         {s: good(), change: func(s *postgres.Settings) { s.Users[1] = strings.Repeat("ä", 32) }, fails: "users"},
		"an empty name":    {s: good(), change: func(s *postgres.Settings) { s.Users[1] = "" }, fails: "users"},
		"a line break":     {s: good(), change: func(s *postgres.Settings) { s.Owner = "a\nb" }, fails: "owner"},
		"an owner of one":  {s: one(), change: func(s *postgres.Settings) { s.Owner = "o" }, fails: "owner"},
		"no user in it":    {s: good(), change: func(s *postgres.Settings) { s.Template = "{password}" }, fails: "template"},
		"in clear":         {s: good(), change: func(s *postgres.Settings) { s.TLS = driver.TLSOff }, warns: "tls"},
	} {
		if c.change != nil {
			c.change(c.s)
		}
		r := drivertest.Check(c.s)
		if (r.Failed[c.fails] != "") != (c.fails != "") || c.fails == "" && len(r.Failed) > 0 ||
			(r.Warned[c.warns] != "") != (c.warns != "") {
			t.Errorf("%s: failed %v, warned %v", name, r.Failed, r.Warned)
		}
	}
}
