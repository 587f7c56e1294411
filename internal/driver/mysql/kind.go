// Package mysql is the driver of logins at a MySQL or MariaDB server: two users take turns, or one user of MySQL has
// two passwords, or the password of one is replaced.
//
// What is set is the hash of a password, computed here, in the format of the plugin that the user has: no log of
// statements has the password. Each change is one statement, which the server does as a whole or not at all.
//
// Invariant: no statement touches the password with which the store's current value logs in, except where one user is
// to have one password alone.
package mysql

import (
	"cmp"
	"context"
	_ "embed" // the page
	"slices"
	"strings"
	"unicode/utf8"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind mysql.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "mysql", Page: page,
		Summary:  "A login at a MySQL or MariaDB server: two users take turns, or one has two passwords.",
		Settings: func() driver.Settings { return new(Settings) },
	}
}

// Settings are the keys of a driver of kind mysql.
type Settings struct {
	Address string `yaml:"address" eg:"db.internal:3306" needed:"write address: db.internal:3306" doc:"HOST or HOST:PORT of the server that takes writes, or the path of its unix socket."`

	driver.Encryption

	Users []string `yaml:"users" eg:"[crm_a, crm_b]" needed:"write users: [crm_a, crm_b]" doc:"Two users that take turns. One: see dual."`
	From  string   `yaml:"from" default:"%" eg:"10.0.0.%" doc:"The host part of the users' accounts: 'crm_a'@'FROM'."`
	Dual  bool     `yaml:"dual" default:"false" doc:"The one user has the old password beside the new one, which MySQL can since 8.0.14 and MariaDB cannot. Otherwise the password of one user is replaced, and until every consumer has the new one, new connections with the old one fail."`

	AdminUser     string     `yaml:"admin_user" eg:"sallyport" needed:"write admin_user: sallyport" doc:"Who sets the passwords."`
	AdminPassword secret.Ref `yaml:"admin_password" needed:"write admin_password: ref+builtin://crm-database-admin" doc:"The password of admin_user."`

	driver.Account
}

// maxName is the longest name of a user, in characters, that both servers take.
const maxName = 32

// Check implements driver.Settings.
func (s *Settings) Check(r secret.Report) {
	s.CheckEncryption(r, "address", s.Address)
	s.CheckAccount(r, len(s.Users))
	for key, names := range map[string][]string{
		"users": s.Users, "admin_user": {s.AdminUser}, "from": {cmp.Or(s.From, "%")},
	} {
		if slices.ContainsFunc(names, func(name string) bool {
			return !isName(name, key == "from") && (name != "" || key == "users")
		}) {
			r.Fail(key, "has a name that is empty, too long, or has control characters",
				"write the name as the server has it, without quotes and without @host")
		}
	}
	switch n := len(s.Users); {
	case n > 2 || n == 2 && s.Users[0] == s.Users[1]:
		r.Fail("users", "are not one user or two", "write users: [crm_a, crm_b]")
	case n == 2 && s.Dual:
		r.Fail("dual", "goes with one user", "leave it out: with two users both passwords work anyway")
	case n == 1 && !s.Dual:
		r.Warn("users", "is one user: from the moment its password is replaced until every consumer has the new one, "+
			"new connections with the old one fail", "name two users that take turns, or write dual: true with MySQL")
	}
	if slices.Contains(s.Users, s.AdminUser) {
		r.Fail("admin_user", "is one of users", "take another user for it")
	}
}

func isName(s string, host bool) bool {
	most := maxName
	if host {
		most = 255
	}
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= most &&
		!strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// Secrets implements driver.Settings.
func (s *Settings) Secrets() []secret.Ref { return []secret.Ref{s.AdminPassword} }

// Open implements driver.Settings.
func (s *Settings) Open(_ context.Context, on driver.Host) (driver.Driver, error) {
	filled := *s
	filled.From = cmp.Or(s.From, "%")
	return &accounts{s: &filled, on: on}, nil
}
