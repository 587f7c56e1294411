package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

// everyInstant does step again and again on a connection that is lost at another message each time, before the server
// has it and after, then once more on a whole one. Whatever is lost, intact holds; and after the last, so does done.
func (b *bed) everyInstant(name string, step func() error, intact, done func()) {
	b.t.Helper()
	for n := 1; ; n++ {
		for _, answered := range []bool{false, true} {
			b.trap.Set(n, answered)
			err := step()
			sprung := b.trap.Sprung()
			b.trap.Set(0, false)
			if !sprung {
				if err != nil {
					b.t.Fatalf("%s: %v", name, err)
				}
				if n < 4 {
					b.t.Errorf("%s has %d messages, which cannot be all", name, n-1)
				}
				done()
				return
			}
			// What comes after the last message does not count: the client has said good-bye.
			if err != nil && (!errors.Is(err, driver.ErrUnclear) || driver.Certain(err)) {
				b.t.Errorf("%s, message %d, answered %t: %v", name, n, answered, err)
			}
			intact()
			if err := step(); err != nil {
				b.t.Fatalf("%s again after message %d, answered %t: %v", name, n, answered, err)
			}
			done()
		}
	}
}

// TestLost: a connection that is lost at any message leaves what another attempt ends, and the current value works all
// the time.
func TestLost(t *testing.T) {
	b := newBed(t)
	d := b.open(b.users("lost_a", "lost_b"))
	current := value("lost_a", "first-canary-77")
	job := jobOf(current, "lost_a")
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	intact := func() { b.works(current, true) }
	b.everyInstant("set", func() error { return d.Set(t.Context(), job, made) }, intact, func() {
		b.works(made.Value, true)
		b.exec("ALTER ROLE lost_b NOLOGIN PASSWORD NULL")
	})
	if err := d.Set(t.Context(), job, made); err != nil {
		t.Fatal(err)
	}
	b.everyInstant("test", func() error { return d.Test(t.Context(), job, made) }, intact, intact)
	b.everyInstant("keys", func() error { _, err := d.Keys(t.Context(), job); return err }, intact, intact)
	b.everyInstant("undo", func() error { return d.Delete(t.Context(), job, made.Key.ID) }, intact, func() {
		b.works(made.Value, false)
		b.works(current, true)
		if err := d.Set(t.Context(), job, made); err != nil {
			t.Fatal(err)
		}
	})
	job.Current = made.Value
	b.everyInstant("retire", func() error {
		b.alone("lost_a")
		return d.Delete(t.Context(), job, "lost_a")
	},
		func() { b.works(made.Value, true) }, func() {
			b.works(current, false)
			b.exec("ALTER ROLE lost_a LOGIN PASSWORD 'first-canary-77'")
		})
	b.clean(made.Value)
}

// TestLostInPlace: with one user, what is lost leaves the old password or the new one, and both ways come to their end.
func TestLostInPlace(t *testing.T) {
	for name, admin := range map[string]bool{"by itself": false, "by an administrator": true} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			user := fmt.Sprintf("place %t", admin)
			s := b.users(user, user+" unused")
			s.Users = s.Users[:1]
			if !admin {
				s.AdminUser = ""
			}
			s.Template = `{"user": "{user}", "password": "{password}"}`
			d := b.open(s)
			if can := d.Capabilities(); can.MaxKeys != 1 || can.Deletes || can.NeedsOld == admin {
				t.Errorf("got %+v", can)
			}
			current := value(user, "first-canary-77")
			job := jobOf(current, "")
			made, err := d.Create(t.Context(), job)
			if err != nil {
				t.Fatal(err)
			}
			either := func() {
				if (b.login(current) == nil) == (b.login(made.Value) == nil) {
					t.Error("both passwords work, or none")
				}
			}
			undo := func() error { return d.Undo(t.Context(), job, made) }
			set := func() error { return d.Set(t.Context(), job, made) }
			b.everyInstant("set", set, either, func() {
				b.works(made.Value, true)
				if err := errors.Join(d.Test(t.Context(), job, made), undo()); err != nil {
					t.Fatal(err)
				}
			})
			b.works(current, true)
			if err := set(); err != nil {
				t.Fatal(err)
			}
			b.everyInstant("undo", undo, either, func() {
				b.works(current, true)
				if err := errors.Join(undo(), set()); err != nil { // it may come twice
					t.Fatal(err)
				}
			})
			b.works(made.Value, true)
			b.clean(made.Value)
		})
	}
}

// TestTwoAtOnce: the same step, twice at once, comes to one end.
func TestTwoAtOnce(t *testing.T) {
	b := newBed(t)
	d := b.open(b.users("twice_a", "twice_b"))
	current := value("twice_a", "first-canary-77")
	job := jobOf(current, "twice_a")
	for range 5 {
		made, err := d.Create(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		atOnce(t, func() error { return d.Set(t.Context(), job, made) })
		b.works(made.Value, true)
		atOnce(t, func() error { return d.Delete(t.Context(), job, made.Key.ID) })
		b.works(made.Value, false)
		b.works(current, true)
	}
}

func atOnce(t *testing.T, step func() error) {
	t.Helper()
	var both sync.WaitGroup
	for range 4 {
		both.Go(func() {
			if err := step(); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
}

// TestAway: a server that is not there is one thing, and one that refuses another.
func TestAway(t *testing.T) {
	b := newBed(t)
	s := b.users("away_a", "away_b")
	d := b.open(s)
	s.Address, s.TLS, s.AdminPassword = "127.0.0.1:1", driver.TLSOff, secret.Ref{Store: "builtin", Path: "admin"}
	away, err := s.Open(t.Context(), hostWith(b.admin))
	if err != nil {
		t.Fatal(err)
	}
	job := jobOf(value("away_a", "first-canary-77"), "away_a")
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	_, listing := away.Keys(t.Context(), job)
	for step, err := range map[string]error{
		"set": away.Set(t.Context(), job, made), "test": away.Test(t.Context(), job, made),
		"delete": away.Delete(t.Context(), job, "away_b"), "keys": listing,
	} {
		b.says(step, err, driver.ErrUnclear, "running")
	}
	s.TLS, s.Address = "", b.trap.Address()
	plain, err := s.Open(t.Context(), hostWith(b.admin))
	if err != nil {
		t.Fatal(err)
	}
	b.says("a server without TLS", plain.Set(t.Context(), job, made), driver.ErrUnclear, "TLS")
	b.works(job.Current, true)
	b.works(made.Value, false)
}
