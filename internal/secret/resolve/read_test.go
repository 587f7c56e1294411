package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

func TestLoad(t *testing.T) {
	store := newFake(map[string]string{"a": "alpha", "doc": `{"key":"k","list":["x"]}`, "a@1": "old"})
	b := newBed(t, specOf("s", store))
	defer b.Close()
	refs := []string{
		"ref+s://a", "ref+s://doc#key", "ref+s://doc#/list/0", "ref+s://doc#none", "ref+s://a#key",
		"ref+s://missing", "ref+other://a", "ref+s://a?version=1",
	}
	results := b.load(refs...)
	for i, want := range []struct {
		value string
		err   error
	}{
		{"alpha", nil},
		{"k", nil},
		{"x", nil},
		{"", resolve.ErrField},
		{"", resolve.ErrField},
		{"", secret.ErrNotFound},
		{"", resolve.ErrNoStore},
		{"old", nil},
	} {
		check(t, refs[i], results[i], want.value, want.err)
	}
	if n := store.asked("doc"); n != 1 {
		t.Errorf("a secret with three fields was read %d times", n)
	}
}

// TestMany: as many as allowed at once, each once; in a few calls where the store can.
func TestMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, batch := newFake(map[string]string{}), &batching{fake: newFake(map[string]string{})}
		var refs []string
		for i := range 1000 {
			path := fmt.Sprint("p", i)
			store.values[path], batch.values[path] = "value", "value"
			refs = append(refs, "ref+one://"+path, "ref+many://"+path)
		}
		store.delay = 10 * time.Millisecond
		b := newBed(t, specOf("one", store), specOf("many", batch))
		defer b.Close()
		for i, res := range b.load(refs...) {
			check(t, refs[i], res, "value", nil)
		}
		if store.most != 16 || len(store.calls) != 1000 {
			t.Errorf("%d calls, at most %d at once", len(store.calls), store.most)
		}
		if batch.batches != 2 || len(batch.calls) != 0 {
			t.Errorf("%d batches and %d calls", batch.batches, len(batch.calls))
		}
	})
}

// TestWhatHasComeCanBeUsed: when patience ends, the secrets that were read by then are there.
func TestWhatHasComeCanBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{})
		var refs []string
		for i := range 5000 {
			path := fmt.Sprint("p", i)
			store.values[path] = "value"
			refs = append(refs, "ref+s://"+path)
		}
		store.delay = 100 * time.Millisecond // 31 s in all
		b := newBed(t, specOf("s", store))
		b.Keep(parseAll(t, refs))
		count := func(results []secret.Result) (n int) {
			for _, res := range results {
				if res.Err == nil {
					n++
				}
			}
			return n
		}
		if n := count(b.load(refs...)); n < 1000 || n > 2000 {
			t.Errorf("%d of %d after 10 s", n, len(refs))
		}
		defer b.run()()
		time.Sleep(30 * time.Second)
		if n := count(b.load(refs...)); n != len(refs) {
			t.Errorf("%d of %d after 40 s", n, len(refs))
		}
	})
}

func TestHalfABatch(t *testing.T) {
	batch := &batching{fake: newFake(map[string]string{"a": "alpha", "b": "beta"}), short: 1}
	b := newBed(t, specOf("s", batch))
	defer b.Close()
	for i, res := range b.load("ref+s://a", "ref+s://b") {
		check(t, fmt.Sprint(i), res, "", secret.ErrUnavailable)
	}
}

// TestDownStoreIsNotAskedForEach of ten thousand secrets.
func TestDownStoreIsNotAskedForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(nil)
		store.err, store.delay = secret.ErrUnavailable, time.Second
		b := newBed(t, specOf("s", store))
		defer b.Close()
		var refs []string
		for i := range 10_000 {
			refs = append(refs, fmt.Sprint("ref+s://p", i))
		}
		began := time.Now()
		for i, res := range b.load(refs...) {
			check(t, refs[i], res, "", secret.ErrUnavailable)
		}
		if n := store.asked(""); n > 32 || time.Since(began) > 3*time.Second {
			t.Errorf("%d calls in %v", n, time.Since(began))
		}
	})
}

// TestDeniedIsNotDown: a store that forbids is asked for every secret.
func TestDeniedIsNotDown(t *testing.T) {
	store := newFake(map[string]string{"p99": "value"})
	for i := range 99 {
		store.errOf[fmt.Sprint("p", i)] = secret.ErrDenied
	}
	b := newBed(t, specOf("s", store))
	defer b.Close()
	var refs []string
	for i := range 100 {
		refs = append(refs, fmt.Sprint("ref+s://p", i))
	}
	results := b.load(refs...)
	check(t, refs[0], results[0], "", secret.ErrDenied)
	check(t, refs[99], results[99], "value", nil)
}

// TestSlowStoreDelaysNobodyElse: the others' secrets are there at once, the call ends when patience does, and the slow
// store's answer arrives all the same.
func TestSlowStoreDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, fast := newFake(map[string]string{"a": "slow value"}), newFake(map[string]string{"a": "fast value"})
		slow.delay = 25 * time.Second
		b := newBed(t, specOf("slow", slow), specOf("fast", fast))
		began := time.Now()
		b.Keep(parseAll(t, []string{"ref+slow://a", "ref+fast://a"}))
		stop := b.run()
		defer stop()
		done := make(chan []secret.Result)
		go func() { done <- b.load("ref+slow://a", "ref+fast://a") }()
		synctest.Wait()
		b.is("ref+fast://a", "fast value")
		results := <-done
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("waited %v", waited)
		}
		check(t, "slow", results[0], "", secret.ErrUnavailable)
		check(t, "fast", results[1], "fast value", nil)
		b.heard()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		b.is("ref+slow://a", "slow value")
		if got := b.heard(); fmt.Sprint(got) != "[ref+slow://a]" {
			t.Errorf("heard %q", got)
		}
	})
}

// TestMemoryIsNotWaitedFor: what is kept is answered from memory, however slow its store is.
func TestMemoryIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{"a": "alpha"})
		b := newBed(t, specOf("s", store))
		defer b.Close()
		b.keep("ref+s://a")
		store.slow(25 * time.Second)
		store.asked("")
		began := time.Now()
		check(t, "a", b.load("ref+s://a")[0], "alpha", nil)
		if time.Since(began) != 0 || store.asked("") != 0 {
			t.Errorf("waited %v", time.Since(began))
		}
	})
}

// TestReadAsksAgain, and falls back to the last known good.
func TestReadAsksAgain(t *testing.T) {
	store := newFake(map[string]string{"a": "one"})
	b := newBed(t, specOf("s", store))
	defer b.Close()
	read := func() secret.Result {
		t.Helper()
		results, err := b.Read(t.Context(), parseAll(t, []string{"ref+s://a"}))
		if err != nil {
			t.Fatal(err)
		}
		return results[0]
	}
	check(t, "first", read(), "one", nil)
	store.set("a", "two")
	check(t, "second", read(), "two", nil)
	store.fail(secret.ErrUnavailable)
	check(t, "in an outage", read(), "two", nil)
	store.fail(secret.ErrDenied)
	check(t, "denied", read(), "two", nil)
	store.fail(nil)
	store.delete("a")
	check(t, "gone", read(), "", secret.ErrNotFound)
	store.fail(secret.ErrUnavailable)
	check(t, "gone, then down", read(), "", secret.ErrUnavailable)
}

func TestLoadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{"a": "alpha"})
		store.delay = time.Minute
		b := newBed(t, specOf("s", store))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := b.Load(ctx, parseAll(t, []string{"ref+s://a"}))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := b.Close(); err != nil || time.Since(began) != time.Second {
			t.Errorf("closing took until %v: %v", time.Since(began), err)
		}
		if store.closed != 1 {
			t.Errorf("the store was closed %d times", store.closed)
		}
		check(t, "after the end", b.load("ref+s://a")[0], "", secret.ErrUnavailable)
	})
}

// TestAgainIsNotOvertaken: what was changed before Again began is in memory when it returns, also when an older reading
// is under way.
func TestAgainIsNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{"a": "one"})
		b := newBed(t, specOf("s", store))
		defer b.Close()
		b.keep("ref+s://a")
		store.slow(5 * time.Second)
		go func() { _ = b.Again(t.Context(), "s") }() // reads "one"
		synctest.Wait()
		store.slow(0)
		store.set("a", "two")
		if err := b.Again(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		b.is("ref+s://a", "two")
		time.Sleep(time.Minute)
		b.is("ref+s://a", "two")
	})
}

// TestStoreThatCannotBeOpened is tried again, and says why meanwhile.
func TestStoreThatCannotBeOpened(t *testing.T) {
	store, ready := newFake(map[string]string{"a": "alpha"}), false
	spec := specOf("s", store)
	spec.Open = func(context.Context) (secret.Store, error) {
		if !ready {
			return nil, errors.New("no such certificate")
		}
		return store, nil
	}
	b := newBed(t, spec)
	defer b.Close()
	res := b.load("ref+s://a")[0]
	check(t, "a", res, "", secret.ErrUnavailable)
	if got := fmt.Sprint(res.Err); got != `reading secret "a" from s: the store is unavailable: no such certificate` {
		t.Errorf("got %s", got)
	}
	if _, err := b.Store(t.Context(), "s"); err == nil {
		t.Error("it is open")
	}
	ready = true
	check(t, "a", b.load("ref+s://a")[0], "alpha", nil)
	if _, err := b.Store(t.Context(), "other"); !errors.Is(err, resolve.ErrNoStore) {
		t.Errorf("another store: %v", err)
	}
}
