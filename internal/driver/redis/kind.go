// Package redis is the driver of a user of Redis's access control lists, who may have several passwords at once.
//
// A password never reaches the server but to log in: what is set is its SHA-256, which is all that the server keeps.
// Lists are not replicated, so each server is told.
package redis

import (
	"context"
	_ "embed" // the page
	"strings"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind redis.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "redis", Page: page,
		Summary:  "A user of Redis's access control lists, with two passwords while it rotates.",
		Settings: func() driver.Settings { return new(Settings) },
	}
}

// Settings are the keys of a driver of kind redis.
type Settings struct {
	Addresses []string `yaml:"addresses" eg:"[redis-0.internal:6379, redis-1.internal:6379]" needed:"write addresses: [redis.internal:6379]" doc:"HOST or HOST:PORT of every server, replicas and all nodes of a cluster too, or the paths of their unix sockets."`

	driver.Encryption

	User string `yaml:"user" eg:"n8n" needed:"write user: n8n" doc:"The user whose password rotates; default is the one of requirepass."`

	AdminUser     string     `yaml:"admin_user" eg:"sallyport" doc:"Who sets the passwords. Absent: the user itself, with its current password."`
	AdminPassword secret.Ref `yaml:"admin_password" doc:"The password of admin_user."`

	Persist string `yaml:"persist" default:"auto" enum:"auto none" doc:"auto: after each change ACL SAVE where the server has an aclfile, and CONFIG REWRITE where it has none, so that it outlives a restart. none: you see to that."`

	driver.Account
}

// persistNone is the value of persist that saves nothing.
const persistNone = "none"

// Check implements driver.Settings.
func (s *Settings) Check(r secret.Report) {
	s.CheckEncryption(r, "addresses", s.Addresses...)
	s.CheckAccount(r, 1)
	for key, name := range map[string]string{"user": s.User, "admin_user": s.AdminUser} {
		if strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' }) {
			r.Fail(key, "has a blank or a control character, which no user's name has", "write it as ACL LIST shows it")
		}
	}
	driver.CheckAdmin(r, s.AdminUser, s.AdminPassword)
	seen := make(map[string]bool)
	for _, address := range s.Addresses {
		if address == "" || seen[address] {
			r.Fail("addresses", "has one that is empty, or one twice", "write each server once")
		}
		seen[address] = true
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
	return &user{s: &filled, on: on}, nil
}
