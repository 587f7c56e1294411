// Package storetest is the conformance suite of secret.Store: every adapter's tests call Run.
//
// It knows no adapter. What a store can do beyond Get (secret.Writer, Lister, Batcher, Watcher, Runner, CheckAndSetter)
// is tested where it is implemented; a wrapper has to pass that on. For a store that cannot be written to, the test
// wraps it in a type that is a Seeder.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"sallyport/internal/secret"
)

// Seeder puts a value into a read-only store by the store's own means, a file or an environment variable for instance.
// A store that is neither a secret.Writer nor a Seeder is tested for what it answers to names it does not hold.
type Seeder interface {
	Seed(ctx context.Context, path string, value []byte) error
}

// Run tests the stores that open returns. Each call of open is a new, empty store, or at least one that holds nothing
// below "storetest/" and "other/"; it may be used until the test it was opened for ends.
func Run(t *testing.T, open func(t *testing.T) secret.Store) {
	t.Helper()
	powers := powersOf(open(t))
	for _, c := range []struct {
		name  string
		needs power
		test  func(*testing.T, secret.Store)
	}{
		{"not found", nothing, testNotFound},
		{"values come back as they are", filling, testValues},
		{"the caller's bytes are the caller's", filling, testOwnership},
		{"a cancelled context", nothing, testCancelled},
		{"versions", writing, testVersions},
		{"rollback", writing, testRollback},
		{"delete", writing, testDelete},
		{"what cannot be written", writing, testRefused},
		{"list", writing | listing, testList},
		{"history", writing | listing, testHistory},
		{"used by many at once", filling, testConcurrent},
		{"many in one call", filling | batching, testBatch},
		{"watching", filling | watching, testWatch},
		{"running", running, testRun},
		{"check and set", checking, testPutIf},
	} {
		if powers&c.needs == c.needs {
			t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
		}
	}
}

// power is what a store can do beside reading.
type power int

const (
	filling power = 1 << iota // by Put or Seed
	writing
	listing
	batching
	watching
	running
	checking
	nothing power = 0
)

func powersOf(store secret.Store) power {
	p := nothing
	if _, ok := store.(Seeder); ok {
		p |= filling
	}
	if _, ok := store.(secret.Writer); ok {
		p |= filling | writing
	}
	if _, ok := store.(secret.Lister); ok {
		p |= listing
	}
	if _, ok := store.(secret.Batcher); ok {
		p |= batching
	}
	if _, ok := store.(secret.Watcher); ok {
		p |= watching
	}
	if _, ok := store.(secret.Runner); ok {
		p |= running
	}
	if _, ok := store.(secret.CheckAndSetter); ok {
		p |= checking
	}
	return p
}

// put writes value by whatever means the store has.
func put(t *testing.T, store secret.Store, path string, value []byte) {
	t.Helper()
	var err error
	switch s := store.(type) {
	case secret.Writer:
		_, err = s.Put(t.Context(), path, secret.NewValue(value))
	case Seeder:
		err = s.Seed(t.Context(), path, value)
	default:
		t.Fatal("the store can neither be written to nor seeded")
	}
	if err != nil {
		t.Fatalf("putting %q: %v", path, err)
	}
}

// get reads what must be there.
func get(t *testing.T, store secret.Store, path, version string) (string, secret.Version) {
	t.Helper()
	value, v, err := store.Get(t.Context(), path, version)
	if err != nil {
		t.Fatalf("getting %q version %q: %v", path, version, err)
	}
	return string(value.Reveal()), v
}

func writer(t *testing.T, store secret.Store) secret.Writer {
	t.Helper()
	w, ok := store.(secret.Writer)
	if !ok {
		t.Fatal("the store is not a secret.Writer")
	}
	return w
}

func lister(t *testing.T, store secret.Store) secret.Lister {
	t.Helper()
	l, ok := store.(secret.Lister)
	if !ok {
		t.Fatal("the store is not a secret.Lister")
	}
	return l
}

// wantErr checks the sentinel, and that the message names the path, since a person has to find it.
func wantErr(t *testing.T, doing string, err, want error, path string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", doing, err, want)
		return
	}
	if !bytes.Contains([]byte(err.Error()), []byte(path)) {
		t.Errorf("%s: %q does not name %q", doing, err, path)
	}
}
