package redis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/redis"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/link"
	testredis "sallyport/internal/testkit/redis"

	redigo "github.com/gomodule/redigo/redis"
)

const (
	adminPassword = "admin-canary-3b1f"
	first         = "first-canary-77"
	file          = "aclfile DIR/users.acl"
)

// bed is one server or several, each with the user app and the administrator of the driver's page.
type bed struct {
	t       *testing.T
	servers []*testredis.Server
	roots   []redigo.Conn
	traps   []*link.Trap
}

func newBed(t *testing.T, n int, config ...string) *bed {
	t.Helper()
	b := &bed{t: t}
	for i := range n {
		s := testredis.Start(t, config...)
		b.servers = append(b.servers, s)
		b.roots = append(b.roots, nil)
		b.enter(i)
		b.traps = append(b.traps, link.NewTrap(t, "unix", s.Socket))
		b.do(i, "ACL", "SETUSER", "app", "on", ">"+first, "~*", "+@read")
		_, block, _ := strings.Cut(redis.Kind().Page, "```\nACL ")
		block, _, _ = strings.Cut(block, "\n```")
		b.do(i, "ACL", strings.Fields(strings.ReplaceAll(block, "…", adminPassword))...)
	}
	return b
}

func (b *bed) enter(i int) {
	b.t.Helper()
	conn, err := redigo.DialContext(b.t.Context(), "unix", b.servers[i].Socket)
	if err != nil {
		b.t.Fatal(err)
	}
	b.roots[i] = conn
	b.t.Cleanup(func() { _ = conn.Close() })
}

func (b *bed) do(i int, command string, args ...string) any {
	b.t.Helper()
	list := make([]any, len(args))
	for k, one := range args {
		list[k] = one
	}
	reply, err := b.roots[i].Do(command, list...)
	if err != nil {
		b.t.Fatalf("%s: %v", command, err)
	}
	return reply
}

func (b *bed) settings() redis.Settings {
	s := redis.Settings{
		User: "app", AdminUser: "sallyport", AdminPassword: secret.Ref{Store: "builtin", Path: "admin"},
		Encryption: driver.Encryption{TLS: driver.TLSOff},
	}
	for _, one := range b.traps {
		s.Addresses = append(s.Addresses, one.Address())
	}
	return s
}

func open(t *testing.T, s redis.Settings) driver.Driver {
	t.Helper()
	d, err := s.Open(t.Context(), driver.Host{Secret: func(context.Context, secret.Ref) (secret.Value, error) {
		return secret.NewValue([]byte(adminPassword)), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func jobOf(current, old string) driver.Job {
	return driver.Job{
		Rotation: "queue", Run: "0123456789abcdefghij", Current: secret.NewValue([]byte(current)), OldKey: old,
	}
}

// works tells at how many of the servers app can log in.
func (b *bed) works(password string, want int) {
	b.t.Helper()
	n := 0
	for _, s := range b.servers {
		conn, err := redigo.DialContext(b.t.Context(), "unix", s.Socket)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := conn.Do("AUTH", "app", password); err == nil {
			n++
		}
		_ = conn.Close()
	}
	if n != want {
		b.t.Errorf("the password works at %d of %d servers, want %d", n, len(b.servers), want)
	}
}

func (b *bed) says(what string, err, want error, hint string) {
	b.t.Helper()
	if !errors.Is(err, want) || !strings.Contains(fault.HintOf(err), hint) {
		b.t.Errorf("%s: got %v (%s), want %v with a hint about %q", what, err, fault.HintOf(err), want, hint)
	}
	if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "canary") {
		b.t.Errorf("%s: it tells a password: %v", what, err)
	}
}

// TestTwoPasswords: both work until the old one is ended, at each server, after a restart too.
func TestTwoPasswords(t *testing.T) {
	for name, config := range map[string]string{"aclfile": file, "configuration file": ""} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 2, config)
			d := open(t, b.settings())
			current := first
			for round := range 3 {
				keys, err := d.Keys(t.Context(), jobOf(current, ""))
				if err != nil || len(keys) != 1 {
					t.Fatalf("round %d: keys %v, %v (%s)", round, keys, err, fault.HintOf(err))
				}
				job := jobOf(current, keys[0].ID)
				made, err := d.Create(t.Context(), job)
				if err != nil {
					t.Fatal(err)
				}
				b.says("before it is set", d.Test(t.Context(), job, made), driver.ErrRefused, "password")
				for range 2 {
					if err := errors.Join(d.Set(t.Context(), job, made), d.Test(t.Context(), job, made)); err != nil {
						t.Fatalf("round %d: %v (%s)", round, err, fault.HintOf(err))
					}
				}
				next := string(made.Value.Reveal())
				b.works(current, 2)
				b.works(next, 2)
				b.says("the current one", d.Delete(t.Context(), job, job.OldKey), driver.ErrRefused, "store")
				b.restart()
				b.works(current, 2)
				b.works(next, 2)
				job.Current = made.Value
				for range 2 {
					if err := d.Delete(t.Context(), job, job.OldKey); err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
				}
				b.restart()
				b.works(current, 0)
				b.works(next, 2)
				current = next
			}
		})
	}
}

func (b *bed) restart() {
	for i, s := range b.servers {
		s.Stop()
		s.Run(b.t)
		b.enter(i)
	}
}

// TestNothingTells: neither who watches all commands nor a file of the server sees a password.
func TestNothingTells(t *testing.T) {
	b := newBed(t, 1, file)
	b.do(0, "CONFIG", "SET", "slowlog-log-slower-than", "0")
	watch, err := redigo.DialContext(t.Context(), "unix", b.servers[0].Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if _, err := watch.Do("MONITOR"); err != nil {
		t.Fatal(err)
	}
	d := open(t, b.settings())
	job := jobOf(first, "")
	made, err := d.Create(t.Context(), job)
	if err == nil {
		err = errors.Join(d.Set(t.Context(), job, made), d.Test(t.Context(), job, made),
			d.Delete(t.Context(), job, made.Key.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
	mark := rand.Text()
	b.do(0, "ECHO", mark)
	var seen strings.Builder
	for !strings.Contains(seen.String(), mark) {
		line, err := redigo.String(watch.Receive())
		if err != nil {
			t.Fatal(err)
		}
		seen.WriteString(line + "\n")
	}
	fmt.Fprint(&seen, b.do(0, "SLOWLOG", "GET", "1000"))
	for _, name := range []string{"users.acl", "redis.conf"} {
		text, err := os.ReadFile(b.servers[0].Path(name))
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(text)
	}
	seen.WriteString(b.servers[0].Log())
	if !strings.Contains(seen.String(), "aclfile") {
		t.Error("it was not watched")
	}
	if strings.Contains(seen.String(), string(made.Value.Reveal())) || strings.Contains(made.Key.ID, "canary") {
		t.Error("the new password was seen")
	}
}

// TestLost: a connection that is lost at any message leaves what another attempt ends.
func TestLost(t *testing.T) {
	b := newBed(t, 1, file)
	d := open(t, b.settings())
	job := jobOf(first, "")
	keys, err := d.Keys(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	job.OldKey = keys[0].ID
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	next := string(made.Value.Reveal())
	retired := jobOf(next, job.OldKey)
	for _, c := range []struct {
		name     string
		step     func() error
		old, new int // at how many servers they work once it is done
		back     func()
	}{
		{
			"set", func() error { return d.Set(t.Context(), job, made) }, 1, 1,
			func() { b.do(0, "ACL", "SETUSER", "app", "resetpass", ">"+first) },
		},
		{
			"undo", func() error { return d.Delete(t.Context(), job, made.Key.ID) }, 1, 0,
			func() { b.do(0, "ACL", "SETUSER", "app", "resetpass", ">"+first, ">"+next) },
		},
		{
			"retire", func() error { return d.Delete(t.Context(), retired, job.OldKey) }, 0, 1,
			func() { b.do(0, "ACL", "SETUSER", "app", "resetpass", ">"+first, ">"+next) },
		},
	} {
		c.back()
		for n, sprung := 1, true; sprung; n++ {
			for _, answered := range []bool{false, true} {
				b.traps[0].Set(n, answered)
				err := c.step()
				sprung = b.traps[0].Sprung()
				b.traps[0].Set(0, false)
				if err != nil && (!errors.Is(err, driver.ErrUnclear) || driver.Certain(err)) {
					t.Errorf("%s, message %d, answered %t: %v", c.name, n, answered, err)
				}
				if !sprung && n < 5 {
					t.Errorf("%s has %d messages, which cannot be all", c.name, n-1)
				}
				if err := c.step(); err != nil {
					t.Fatalf("%s again, message %d, answered %t: %v", c.name, n, answered, err)
				}
				b.works(first, c.old)
				b.works(next, c.new)
				c.back()
			}
		}
	}
}

// TestOneServerFails: what fails before anything was changed is certain, and what fails after is not; either way it can
// be taken back.
func TestOneServerFails(t *testing.T) {
	b := newBed(t, 3, file)
	d := open(t, b.settings())
	job := jobOf(first, "")
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	next := string(made.Value.Reveal())
	b.do(2, "ACL", "SETUSER", "app", "off")
	err = d.Set(t.Context(), job, made)
	b.says("the last one refuses", err, driver.ErrRefused, "ACL SETUSER app on")
	if err != nil && !strings.Contains(err.Error(), b.traps[2].Address()) {
		t.Errorf("it does not say which: %v", err)
	}
	b.works(next, 0)
	b.do(2, "ACL", "SETUSER", "app", "on")

	b.do(1, "ACL", "SETUSER", "sallyport", "-acl|save")
	err = d.Set(t.Context(), job, made)
	if b.says("one cannot save", err, driver.ErrUnclear, "+acl|save"); driver.Certain(err) {
		t.Errorf("two servers have it, and it is called certain: %v", err)
	}
	b.works(next, 2)
	b.works(first, 3)
	b.do(1, "ACL", "SETUSER", "sallyport", "+acl|save")
	if err := d.Delete(t.Context(), job, made.Key.ID); err != nil {
		t.Fatal(err)
	}
	b.works(next, 0)

	b.servers[1].Stop()
	b.says("one is away", d.Set(t.Context(), job, made), driver.ErrUnclear, "running")
	_, err = d.Keys(t.Context(), job)
	b.says("one is away", err, driver.ErrUnclear, "running")
	b.servers[1].Run(t)
	b.enter(1)
	b.works(next, 0)
}

// TestRefused: what a server refuses had no effect, and the hint says what to do.
func TestRefused(t *testing.T) {
	b := newBed(t, 1, file)
	s := b.settings()
	d := open(t, s)
	job := jobOf(first, "")
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	set := func() error { return d.Set(t.Context(), job, made) }
	b.do(0, "ACL", "SETUSER", "sallyport", "-@all")
	err = set()
	b.says("no rights", err, driver.ErrRefused, "ACL SETUSER sallyport +acl|getuser")
	b.do(0, "ACL", strings.Fields(strings.TrimPrefix(fault.HintOf(err), "ACL "))...)
	b.do(0, "ACL", "SETUSER", "app", "nopass")
	b.says("nopass", set(), driver.ErrRefused, "current password")
	b.do(0, "ACL", "SETUSER", "app", "resetpass", ">"+first)
	s.User = "nobody"
	b.says("no such user", open(t, s).Set(t.Context(), job, made), driver.ErrRefused, "make it on every server")
	if keys, err := redigo.Strings(b.do(0, "ACL", "USERS"), nil); err != nil || len(keys) != 3 {
		t.Errorf("users %v, %v", keys, err)
	}
	s.User, s.Template = "app", "redis://{user}:{password}@redis.internal"
	_, err = open(t, s).Keys(t.Context(), job)
	if err != nil {
		t.Errorf("listing does not need the value: %v", err)
	}
	b.says("another user's login", open(t, s).Delete(t.Context(), driver.Job{
		Current: secret.NewValue([]byte("redis://other:canary@redis.internal")),
	}, "x"), driver.ErrRefused, "login of that user")
	b.do(0, "ACL", "SETUSER", "sallyport", "resetpass", ">another")
	b.says("the administrator's password", set(), driver.ErrRefused, "password")
	b.works(string(made.Value.Reveal()), 0)
	b.works(first, 1)

	plain := newBed(t, 1, testredis.None)
	s = plain.settings()
	b.says("nothing to save to", open(t, s).Set(t.Context(), job, made), driver.ErrRefused, "persist: none")
	plain.works(string(made.Value.Reveal()), 0)
	s.Persist = "none"
	if err := open(t, s).Set(t.Context(), job, made); err != nil {
		t.Errorf("persist: none: %v", err)
	}
	plain.works(string(made.Value.Reveal()), 1)
}

// TestItself: the user of requirepass changes itself, twice at once too.
func TestItself(t *testing.T) {
	b := newBed(t, 1)
	b.do(0, "CONFIG", "SET", "requirepass", first)
	s := b.settings()
	s.User, s.AdminUser, s.AdminPassword = "default", "", secret.Ref{}
	s.Alphabet, s.Template = "printable", "redis://{user}:{password}@redis.internal/0"
	d := open(t, s)
	if can := d.Capabilities(); !can.NeedsOld || !can.Deletes {
		t.Errorf("got %+v", can)
	}
	job := jobOf("redis://default:"+first+"@redis.internal/0", "")
	keys, err := d.Keys(t.Context(), job)
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v, %v", keys, err)
	}
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	for range 4 {
		both.Go(func() {
			if err := d.Set(t.Context(), job, made); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	job.Current = made.Value
	if err := errors.Join(d.Test(t.Context(), job, made), d.Delete(t.Context(), job, keys[0].ID)); err != nil {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
	if keys, err := d.Keys(t.Context(), job); err != nil || len(keys) != 1 || keys[0].ID != made.Key.ID {
		t.Errorf("keys %v, %v", keys, err)
	}
}
