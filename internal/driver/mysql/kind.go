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

// naming is what both servers take for a user, and for the host part of an account.
func naming(most int) driver.Naming {
	return driver.Naming{Most: most, Of: "characters", Length: utf8.RuneCountInString}
}

// Check implements driver.Settings.
func (s *Settings) Check(r secret.Report) {
	const (
		longestUser = 32
		longestHost = 255
	)
	s.CheckEncryption(r, "address", s.Address)
	s.CheckAccount(r, len(s.Users))
	naming(longestUser).Check(r, "users", true, s.Users...)
	naming(longestUser).Check(r, "admin_user", false, s.AdminUser)
	naming(longestHost).Check(r, "from", false, s.From)
	driver.CheckUsers(r, s.Users, s.AdminUser)
	if !s.Dual {
		driver.WarnOfOne(r, s.Users, ", or write dual: true with MySQL")
	}
	if len(s.Users) == 2 && s.Dual {
		r.Fail("dual", "goes with one user", "leave it out: with two users both passwords work anyway")
	}
}

// Secrets implements driver.Settings.
func (s *Settings) Secrets() []secret.Ref { return []secret.Ref{s.AdminPassword} }

// Open implements driver.Settings.
func (s *Settings) Open(_ context.Context, on driver.Host) (driver.Driver, error) {
	filled := *s
	filled.From = cmp.Or(s.From, "%")
	return &accounts{s: &filled, on: on}, nil
}
