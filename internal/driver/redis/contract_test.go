package redis_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/redis"
	"sallyport/internal/secret"

	redigo "github.com/gomodule/redigo/redis"
)

// TestContract holds a user of two servers, and one that changes itself, to the contract of drivers.
func TestContract(t *testing.T) {
	for name, itself := range map[string]bool{"an administrator": false, "itself": true} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 2, file)
			worlds := 0
			drivertest.Run(t, func(t *testing.T) *drivertest.World {
				t.Helper()
				worlds++
				return b.logins(t, fmt.Sprintf("kit%d", worlds), itself).World()
			})
		})
	}
}

// logins makes a user at every server. The trap is before the second one.
func (b *bed) logins(t *testing.T, user string, itself bool) *drivertest.Logins {
	t.Helper()
	s := b.settings()
	s.User, s.Template = user, drivertest.LoginForm
	s.Addresses[0] = b.servers[0].Socket
	rights := []string{user, "on", ">" + first, "~*", "+@read"}
	if itself {
		s.AdminUser, s.AdminPassword = "", secret.Ref{}
		rights = append(rights, "+acl", "+config")
	}
	for i := range b.servers {
		b.do(i, "ACL", append([]string{"SETUSER"}, rights...)...)
	}
	return &drivertest.Logins{
		Open: func(t *testing.T) driver.Driver { t.Helper(); return open(t, s) }, Trap: b.traps[1],
		Current: secret.NewValue(fmt.Appendf(nil, `{"user": %q, "password": %q}`, user, first)), OldKey: idOf(first),
		Login: func(value secret.Value) error { return b.login(value) },
		Keys: func() (keys []driver.Key) {
			for id := range b.ids(user) {
				keys = append(keys, driver.Key{ID: id})
			}
			return keys
		},
	}
}

// idOf is how the driver names a password.
func idOf(password string) string {
	hash := sha256.Sum256([]byte(password))
	return idOfHash(hex.EncodeToString(hash[:]))
}

func idOfHash(hash string) string {
	id := sha256.Sum256([]byte("sallyport " + hash))
	return "password-" + hex.EncodeToString(id[:6])
}

// ids are the passwords that a user has at one of the servers.
func (b *bed) ids(user string) map[string]bool {
	b.t.Helper()
	ids := make(map[string]bool)
	for i := range b.servers {
		fields, err := redigo.Values(b.do(i, "ACL", "GETUSER", user), nil)
		if err != nil {
			b.t.Fatal(err)
		}
		for k, field := range fields {
			if name, err := redigo.String(field, nil); err != nil || name != "passwords" {
				continue
			}
			hashes, err := redigo.Strings(fields[k+1], nil)
			if err != nil {
				b.t.Fatal(err)
			}
			for _, hash := range hashes {
				ids[idOfHash(strings.TrimPrefix(hash, "#"))] = true
			}
		}
	}
	return ids
}

// login logs in with a value at every server.
func (b *bed) login(v secret.Value) error {
	login, err := (driver.Account{Template: drivertest.LoginForm}).Read(v, nil)
	for _, s := range b.servers {
		if err != nil {
			return err
		}
		var conn redigo.Conn
		if conn, err = redigo.DialContext(b.t.Context(), "unix", s.Socket); err != nil {
			return err
		}
		_, err = conn.Do("AUTH", login.User, string(login.Password.Reveal()))
		_ = conn.Close()
	}
	return err
}

// TestPage: the example of the page does, with its administrator.
func TestPage(t *testing.T) {
	b := newBed(t, 1, file)
	s := drivertest.Example(t, redis.Kind()).(*redis.Settings)
	b.do(0, "ACL", "SETUSER", s.User, "on", ">"+first, "~*", "+@all")
	s.Addresses, s.TLS = []string{b.servers[0].Socket}, driver.TLSOff
	d := open(t, *s)
	job := jobOf(first, idOf(first))
	made, err := d.Create(t.Context(), job)
	if err == nil {
		err = errors.Join(d.Set(t.Context(), job, made), d.Test(t.Context(), job, made))
	}
	if job.Current = made.Value; err == nil {
		err = d.Delete(t.Context(), job, idOf(first))
	}
	if ids := b.ids(s.User); err != nil || len(ids) != 1 || !ids[made.Key.ID] {
		t.Errorf("passwords %v, want %s (%v)", ids, made.Key.ID, err)
	}
}
