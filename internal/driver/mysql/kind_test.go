package mysql_test

import (
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/mysql"
	"sallyport/internal/secret"
)

func TestKind(t *testing.T) { drivertest.Kind(t, mysql.Kind()) }

// TestCheck: settings with which a rotation could not go well are refused at their key.
func TestCheck(t *testing.T) {
	with := func(change func(*mysql.Settings)) *mysql.Settings {
		s := &mysql.Settings{
			Address: "db", Users: []string{"a", "b"}, AdminUser: "s",
			AdminPassword: secret.Ref{Store: "builtin", Path: "admin"},
		}
		change(s)
		return s
	}
	for _, c := range []struct {
		name         string
		s            *mysql.Settings
		fails, warns string
	}{
		{"two users", with(func(*mysql.Settings) {}), "", ""},
		{"one user", with(func(s *mysql.Settings) { s.Users = s.Users[:1] }), "", "users"},
		{"two passwords", with(func(s *mysql.Settings) { s.Users, s.Dual = s.Users[:1], true }), "", ""},
		{"both", with(func(s *mysql.Settings) { s.Dual = true }), "dual", ""},
		{"three users", with(func(s *mysql.Settings) { s.Users = append(s.Users, "c") }), "users", ""},
		{"twice", with(func(s *mysql.Settings) { s.Users[1] = "a" }), "users", ""},
		{"too long", with(func(s *mysql.Settings) { s.Users[1] = strings.Repeat("ä", 33) }), "users", ""},
		{"a line break", with(func(s *mysql.Settings) { s.From = "a\nb" }), "from", ""},
		{"one of the users", with(func(s *mysql.Settings) { s.AdminUser = "a" }), "admin_user", ""},
		{"no user in it", with(func(s *mysql.Settings) { s.Template = "{password}" }), "template", ""},
		{"in clear", with(func(s *mysql.Settings) { s.TLS = driver.TLSOff }), "", "tls"},
	} {
		r := drivertest.Check(c.s)
		if (r.Failed[c.fails] != "") != (c.fails != "") || c.fails == "" && len(r.Failed) > 0 ||
			(r.Warned[c.warns] != "") != (c.warns != "") {
			t.Errorf("%s: failed %v, warned %v", c.name, r.Failed, r.Warned)
		}
	}
}
