// Package drivertest is what every driver is held to, whatever it drives: its methods do what package driver says of
// them, and a rotation with it comes to a good end whatever happens at whatever call. It is for tests alone.
package drivertest

import (
	"errors"
	"slices"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

// World is a provider with one key, and a driver of it. What goes on there is told to Hook.
type World struct {
	// Open returns the driver as a process has it that has just started.
	Open func(t *testing.T) driver.Driver
	// Current is the value that the provider accepts now, and OldKey the id of its key, where keys have one.
	Current secret.Value
	OldKey  string
	// Accepts tells whether the provider accepts a value now. nil: there is no provider, and any value counts.
	Accepts func(value secret.Value) bool
	// Keys are the keys that live at the provider. nil: it has none of its own.
	Keys func() []driver.Key
	// Values are all values that the provider has ever made or taken: none of them may be in an error.
	Values func() []string
	// Fill makes other keys until the provider takes no more. nil: there is no limit.
	Fill func()

	// Logins: a key is one of a few users, or of a user's passwords. The server may keep no labels, two runs may take
	// the same user, and the login that is the store's current value is never ended.
	Logins bool

	// Hook has the world call before and after around each effect at the provider: a call, a statement. What before
	// returns is an error without effect, what after returns the loss of an answer. Either may panic, which the world
	// lets pass: then the process has ended. nil: the world has no effects outside the process.
	Hook func(before, after func() error)
	// Faults are those of this world beside what Hook can do, by name. fail is to go wrong with the next effect.
	Faults map[string]func()
}

// Run holds a driver to its contract. open makes a fresh world.
func Run(t *testing.T, open func(t *testing.T) *World) {
	t.Run("steps", func(t *testing.T) { steps(t, open(t)) })
	if w := open(t); w.Fill != nil { // it has a limit that the test knows
		t.Run("limit", func(t *testing.T) { limit(t, open(t)) })
	}
	if w := open(t); w.Open(t).Capabilities().Deletes && !w.Logins { // it makes keys
		t.Run("two", func(t *testing.T) { two(t, open(t)) })
	}
	t.Run("rotations", func(t *testing.T) { rotations(t, open) })
}

func job(w *World, run string) driver.Job {
	return driver.Job{Rotation: "kit", Run: run, Current: w.Current, OldKey: w.OldKey}
}

const (
	runA = "aaaaaaaaaaaaaaaaaaaa"
	runB = "bbbbbbbbbbbbbbbbbbbb"
)

// steps does each step once, and once more.
func steps(t *testing.T, w *World) {
	d, can, j := w.Open(t), w.Open(t).Capabilities(), job(w, runA)
	if d.Capabilities() != can {
		t.Error("two drivers of the same settings have other capabilities")
	}
	made, err := d.Create(t.Context(), j)
	switch {
	case err != nil:
		t.Fatalf("creating a key: %v", err)
	case made.Value.IsZero() || made.Value.Len() == 0 || made.Value.Equal(w.Current):
		t.Fatal("the new value is none, or the old one")
	case can.Deletes && (made.Key.ID == "" || made.Key.ID == w.OldKey):
		t.Fatalf("the new key has the id %q", made.Key.ID)
	}
	for range 2 { // as after a crash
		if err := d.Set(t.Context(), j, made); err != nil {
			t.Fatalf("setting the value: %v", err)
		}
	}
	if w.Accepts != nil && !w.Accepts(made.Value) {
		t.Error("the provider does not accept the new value")
	}
	if can.MaxKeys != 1 && w.Accepts != nil && !w.Accepts(w.Current) {
		t.Error("the provider does not accept the old value any more")
	}
	for range 2 {
		if err := d.Test(t.Context(), j, driver.Made{Key: driver.Key{ID: made.Key.ID}, Value: made.Value}); err != nil {
			t.Errorf("testing the value: %v", err)
		}
	}
	if can.Lists {
		listed(t, w, d, j, made.Key.ID)
	}
	switch {
	case !can.Deletes:
		undone(t, w, d, made)
	case w.Logins:
		ended(t, w, d, made)
	default:
		deleted(t, w, d, made)
	}
}

func listed(t *testing.T, w *World, d driver.Driver, j driver.Job, id string) {
	t.Helper()
	keys, err := d.Keys(t.Context(), j)
	if err != nil {
		t.Fatalf("listing keys: %v", err)
	}
	i := slices.IndexFunc(keys, func(key driver.Key) bool { return key.ID == id })
	if i < 0 || keys[i].Label != j.Label() && (!w.Logins || keys[i].Label != "") {
		t.Fatalf("the list has %v, want the key %s with the label %s", keys, id, j.Label())
	}
}

func undone(t *testing.T, w *World, d driver.Driver, made driver.Made) {
	t.Helper()
	for range 2 {
		if err := d.Undo(t.Context(), job(w, runA), made); err != nil {
			t.Fatalf("taking the value back: %v", err)
		}
	}
	if w.Accepts != nil && !w.Accepts(w.Current) {
		t.Error("the provider does not accept the old value again")
	}
}

// deleted ends the old key, and then one that is not there.
func deleted(t *testing.T, w *World, d driver.Driver, made driver.Made) {
	t.Helper()
	j := job(w, runA)
	j.Current = made.Value // it is current by now
	for range 2 {
		if err := d.Delete(t.Context(), j, w.OldKey); err != nil {
			t.Fatalf("ending the old key: %v", err)
		}
	}
	if w.Accepts(w.Current) || !w.Accepts(made.Value) {
		t.Error("it was not the old key that was ended, or not it alone")
	}
	if err := d.Delete(t.Context(), j, made.Key.ID); err != nil {
		t.Errorf("ending the new key: %v", err)
	}
	if w.Accepts(made.Value) {
		t.Error("the new key lives on")
	}
	if keys := w.Keys(); len(keys) != 0 {
		t.Errorf("%v are left", keys)
	}
}

// ended ends a new login, and makes it again; then the old one, and each time not the one that is current.
func ended(t *testing.T, w *World, d driver.Driver, made driver.Made) {
	t.Helper()
	j := job(w, runA)
	for range 2 {
		if err := d.Delete(t.Context(), j, made.Key.ID); err != nil {
			t.Fatalf("ending the new login: %v", err)
		}
	}
	if w.Accepts(made.Value) || !w.Accepts(w.Current) {
		t.Error("it was not the new login that was ended, or not it alone")
	}
	if err := d.Delete(t.Context(), j, w.OldKey); !driver.Certain(err) || !w.Accepts(w.Current) {
		t.Errorf("ending the current login: %v", err)
	}
	if err := d.Set(t.Context(), j, made); err != nil {
		t.Fatalf("setting the value once more: %v", err)
	}
	j.Current = made.Value
	for range 2 {
		if err := d.Delete(t.Context(), j, w.OldKey); err != nil {
			t.Fatalf("ending the old login: %v", err)
		}
	}
	if w.Accepts(w.Current) || !w.Accepts(made.Value) {
		t.Error("it was not the old login that was ended, or not it alone")
	}
	if keys := w.Keys(); len(keys) != 1 || keys[0].ID != made.Key.ID {
		t.Errorf("%v are left", keys)
	}
}

// limit makes keys until the provider takes no more: that is an error that says so, and nothing is ended.
func limit(t *testing.T, w *World) {
	w.Fill()
	before := len(w.Keys())
	_, err := w.Open(t).Create(t.Context(), job(w, runA))
	if !errors.Is(err, driver.ErrLimit) || len(w.Keys()) != before || !w.Accepts(w.Current) {
		t.Errorf("with %d keys of %d allowed: %v, and %d then", before, w.Open(t).Capabilities().MaxKeys, err,
			len(w.Keys()))
	}
	silent(t, w, err)
}

// two runs of the same account are told apart.
func two(t *testing.T, w *World) {
	d := w.Open(t)
	a, err := d.Create(t.Context(), job(w, runA))
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.Open(t).Create(t.Context(), job(w, runB))
	if errors.Is(err, driver.ErrLimit) {
		return // two are all that it allows
	}
	if err != nil || a.Key.ID == b.Key.ID || a.Value.Equal(b.Value) {
		t.Fatalf("two runs have the keys %q and %q (%v)", a.Key.ID, b.Key.ID, err)
	}
	if d.Capabilities().Lists {
		listed(t, w, d, job(w, runA), a.Key.ID)
		listed(t, w, d, job(w, runB), b.Key.ID)
	}
	err = d.Delete(t.Context(), job(w, runA), a.Key.ID)
	if err != nil || !w.Accepts(b.Value) || !w.Accepts(w.Current) {
		t.Errorf("ending the key of one run ended another's too (%v)", err)
	}
}

// silent checks that no value stands in what is shown.
func silent(t *testing.T, w *World, shown ...any) {
	t.Helper()
	if w.Values == nil {
		return
	}
	for _, one := range shown {
		if value, ok := holds(one, w.Values()); ok {
			t.Errorf("a value of %d bytes is in what is shown", len(value))
		}
	}
}
