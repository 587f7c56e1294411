// Package postgres is the driver of logins at a PostgreSQL server: two users take turns, or the password of one is
// replaced.
//
// A password never reaches the server: what is set is its SCRAM verifier, computed here. Each change is one
// transaction, so that a connection that is lost leaves all of it or nothing.
//
// Invariant: no statement touches the user as whom the store's current value logs in, except where there is one user
// alone.
package postgres

import (
	"context"
	_ "embed" // the page

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind postgres.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "postgres", Page: page,
		Summary:  "A login at a PostgreSQL server: two users take turns, or one gets another password.",
		Settings: func() driver.Settings { return new(Settings) },
	}
}

// Settings are the keys of a driver of kind postgres.
type Settings struct {
	Address  string `yaml:"address" eg:"db.internal:5432" needed:"write address: db.internal:5432" doc:"HOST or HOST:PORT of the primary, or the folder of its unix socket."`
	Database string `yaml:"database" default:"postgres" doc:"The database in which the administrator and the users log in."`

	driver.Encryption

	Users []string `yaml:"users" eg:"[crm_a, crm_b]" needed:"write users: [crm_a, crm_b]" doc:"Two users that take turns. One: its password is replaced, and until every consumer has the new one, new connections with the old one fail."`
	Owner string   `yaml:"owner" eg:"crm_owner" doc:"The role that both users act as from their login on (SET ROLE), so that what one of them creates belongs to both."`

	AdminUser     string     `yaml:"admin_user" eg:"sallyport" doc:"Who sets the passwords. Absent, with one user: the user itself, with its current password."`
	AdminPassword secret.Ref `yaml:"admin_password" doc:"The password of admin_user."`

	EndSessions bool `yaml:"end_sessions" default:"false" doc:"End the sessions of the old user when it is retired. Otherwise it is not retired before they have ended."`

	driver.Account
}

// naming is of NAMEDATALEN-1 bytes: the server cuts longer names off.
func naming() driver.Naming {
	return driver.Naming{Most: 63, Of: "bytes", Length: func(name string) int { return len(name) }}
}

// Check implements driver.Settings.
func (s *Settings) Check(r secret.Report) {
	s.CheckEncryption(r, "address", s.Address)
	s.CheckAccount(r, len(s.Users))
	naming().Check(r, "users", true, s.Users...)
	for key, name := range map[string]string{"owner": s.Owner, "admin_user": s.AdminUser, "database": s.Database} {
		naming().Check(r, key, false, name)
	}
	driver.CheckUsers(r, s.Users, s.AdminUser)
	driver.WarnOfOne(r, s.Users, "")
	driver.CheckAdmin(r, s.AdminUser, s.AdminPassword)
	if len(s.Users) == 2 && s.AdminUser == "" {
		r.Fail("admin_user", "is not set: none of two users can set the other's password",
			"name the administrator in admin_user and admin_password; the page of the driver has the rights that do")
	}
	if len(s.Users) == 1 && s.Owner != "" {
		r.Fail("owner", "goes with two users", "leave it out")
	}
}

// Secrets implements driver.Settings.
func (s *Settings) Secrets() []secret.Ref {
	if s.AdminUser == "" {
		return nil
	}
	return []secret.Ref{s.AdminPassword}
}

// Open implements driver.Settings.
func (s *Settings) Open(_ context.Context, on driver.Host) (driver.Driver, error) {
	filled := *s
	if filled.Database == "" {
		filled.Database = "postgres"
	}
	return &roles{s: &filled, on: on}, nil
}
