package resolve_test

import (
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// at is a store in a place, set up in a way.
func at(store *fake, place, identity string) resolve.StoreSpec {
	s := specOf("s", store)
	s.Backend, s.Identity = place, identity
	return s
}

// TestPrepare: what is made ready beside the active stores changes nothing of them, whether it is used in the end or
// dropped.
func TestPrepare(t *testing.T) {
	for _, use := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			old, next := newFake(map[string]string{"a": "old", "gone": "old"}),
				newFake(map[string]string{"a": "new", "b": "new"})
			same := newFake(map[string]string{"x": "fine", "y": "also"})
			b := newBed(t, at(old, "here", "1"), specOf("same", same))
			b.keep("ref+s://a", "ref+s://gone", "ref+same://x")
			defer b.run()()
			next.slow(3 * time.Second)
			n := b.Prepare([]resolve.StoreSpec{at(next, "there", "2"), specOf("same", same)},
				parseAll(t, []string{"ref+s://a", "ref+s://b", "ref+same://y"}))
			held := func(ref string) string {
				res, _ := n.Held(parse(t, ref))
				return string(res.Value.Reveal())
			}
			if got := held("ref+s://a"); got != "" {
				t.Errorf("before it was read in its new place, the secret is %q", got)
			}
			if err := n.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			for ref, want := range map[string]string{"ref+s://a": "new", "ref+s://b": "new", "ref+same://y": "also"} {
				if got := held(ref); got != want {
					t.Errorf("prepared: %s is %q, want %q", ref, got, want)
				}
			}
			b.is("ref+s://a", "old")
			b.is("ref+s://gone", "old")
			b.fails("ref+s://b", secret.ErrUnavailable)
			old.set("a", "newer old")
			time.Sleep(2 * time.Minute)
			b.is("ref+s://a", "newer old") // it is still kept up to date
			if use {
				n.Use()
				b.is("ref+s://a", "new")
				b.is("ref+s://b", "new")
				b.is("ref+same://y", "also")
				b.fails("ref+s://gone", secret.ErrUnavailable)
				b.fails("ref+same://x", secret.ErrUnavailable)
			} else {
				n.Drop()
				b.is("ref+s://a", "newer old")
				b.is("ref+same://x", "fine")
				b.fails("ref+same://y", secret.ErrUnavailable)
			}
			synctest.Wait()
			closed := map[bool]*fake{true: old, false: next}[use]
			closed.mu.Lock()
			defer closed.mu.Unlock()
			if closed.closed != 1 {
				t.Errorf("used %t: the store that is not was closed %d times", use, closed.closed)
			}
		})
	}
}

// TestAnotherBackend: a store that is set up differently keeps its last known good only where it is the same store.
func TestAnotherBackend(t *testing.T) {
	for place, want := range map[string]string{"here": "old", "there": ""} {
		synctest.Test(t, func(t *testing.T) {
			silent := newFake(nil)
			silent.slow(time.Hour)
			b := newBed(t, at(newFake(map[string]string{"a": "old"}), "here", "1"))
			b.keep("ref+s://a")
			defer b.run()()
			n := b.Prepare([]resolve.StoreSpec{at(silent, place, "2")}, parseAll(t, []string{"ref+s://a"}))
			began := time.Now()
			if err := n.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != 10*time.Second {
				t.Errorf("waited %v for it, want the resolver's patience", took)
			}
			n.Use()
			if want == "" {
				b.fails("ref+s://a", secret.ErrUnavailable)
			} else {
				b.is("ref+s://a", want)
			}
		})
	}
}
