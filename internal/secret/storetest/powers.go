package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport/internal/secret"
)

// patience bounds what should take no time; it is for a store that hangs.
const patience = time.Minute

// testBatch: one result for each key, in order, and one that fails leaves the others alone.
func testBatch(t *testing.T, store secret.Store) {
	b := as[secret.Batcher](t, store)
	put(t, store, "storetest/a", []byte("one"))
	put(t, store, "storetest/b", []byte("two"))
	keys := []secret.Key{
		{Path: "storetest/b"},
		{Path: "storetest/missing"},
		{Path: "storetest/a"},
		{Path: "storetest/b"},
	}
	results := b.GetBatch(t.Context(), keys)
	if len(results) != len(keys) {
		t.Fatalf("%d results for %d keys", len(results), len(keys))
	}
	for i, want := range []string{"two", "", "one", "two"} {
		switch r := results[i]; {
		case want == "":
			wantErr(t, "getting one of many", r.Err, secret.ErrNotFound, keys[i].Path)
		case r.Err != nil || string(r.Value.Reveal()) != want:
			t.Errorf("%s: got %q, %v, want %q", keys[i].Path, r.Value.Reveal(), r.Err, want)
		default:
			if _, v := get(t, store, keys[i].Path, ""); v.ID != r.Version.ID || v.Current != r.Version.Current {
				t.Errorf("%s: the batch says %+v, and Get %+v", keys[i].Path, r.Version, v)
			}
		}
	}
	if results := b.GetBatch(t.Context(), nil); len(results) != 0 {
		t.Errorf("%d results for no key", len(results))
	}
	ended, end := context.WithCancel(t.Context())
	end()
	results = b.GetBatch(ended, keys)
	if len(results) != len(keys) {
		t.Fatalf("a cancelled context: %d results for %d keys", len(results), len(keys))
	}
	for i, r := range results {
		if r.Err == nil {
			t.Errorf("a cancelled context: %s has a value", keys[i].Path)
		}
	}
}

// testWatch: a change is told, by the path that was asked for or by none, and Watch ends with its context.
func testWatch(t *testing.T, store secret.Store) {
	w := as[secret.Watcher](t, store)
	put(t, store, "storetest/w", []byte("first"))
	ctx, end := context.WithCancel(t.Context())
	defer end()
	told, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- w.Watch(ctx, []string{"storetest/w"}, func(path string) {
			select {
			case told <- path:
			case <-ctx.Done():
			}
		})
	}()
	again := time.NewTicker(50 * time.Millisecond) // nothing says when the store has begun to watch
	defer again.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for i, done := 0, false; !done; i++ {
		put(t, store, "storetest/w", fmt.Appendf(nil, "value %d", i))
		select {
		case path := <-told:
			if path != "" && path != "storetest/w" {
				t.Errorf("told of %q, which nobody watches", path)
			}
			done = true
		case <-again.C:
		case err := <-ended:
			t.Fatalf("watching ended by itself: %v", err)
		case <-limit.C:
			t.Fatal("no change was told")
		}
	}
	end()
	wantEnd(t, "watching", ended)
}

// testRun: Run ends with its context and no error, and the store answers beside it.
func testRun(t *testing.T, store secret.Store) {
	r := as[secret.Runner](t, store)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if _, _, err := store.Get(t.Context(), "storetest/missing", ""); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("beside Run: got %v, want %v", err, secret.ErrNotFound)
	}
	end()
	wantEnd(t, "running", ended)
	go func() { ended <- r.Run(ctx) }()
	wantEnd(t, "running under a context that has ended", ended)
}

// testPutIf: what another wrote meanwhile is not overwritten, and of many that write at once one does.
func testPutIf(t *testing.T, store secret.Store) {
	s := as[secret.CheckAndSetter](t, store)
	set := func(value, expected string) (secret.Version, error) {
		return s.PutIf(t.Context(), "storetest/cas", secret.NewValue([]byte(value)), expected)
	}
	_, err := set("nothing is there", "1")
	wantErr(t, "expecting a version of what is not there", err, secret.ErrConflict, "storetest/cas")
	one, err := set("one", "")
	if err != nil {
		t.Fatalf("making it: %v", err)
	}
	_, err = set("made twice", "")
	wantErr(t, "making what is there", err, secret.ErrConflict, "storetest/cas")
	two, err := set("two", one.ID)
	if err != nil || two.ID == one.ID || !two.Current {
		t.Fatalf("overwriting what was expected: %+v, %v", two, err)
	}
	_, err = set("too late", one.ID)
	wantErr(t, "overwriting what another wrote", err, secret.ErrConflict, "storetest/cas")
	if value, _ := get(t, store, "storetest/cas", ""); value != "two" {
		t.Errorf("got %q, want %q", value, "two")
	}

	var writing sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		writing.Go(func() { _, errs[i] = set(fmt.Sprint("racer ", i), two.ID) })
	}
	writing.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won >= 0:
			t.Errorf("%d and %d have both overwritten one version", won, i)
		case err == nil:
			won = i
		case !errors.Is(err, secret.ErrConflict):
			t.Errorf("losing a race: got %v, want %v", err, secret.ErrConflict)
		}
	}
	if value, _ := get(t, store, "storetest/cas", ""); won < 0 || value != fmt.Sprint("racer ", won) {
		t.Errorf("racer %d has won, and %q is there", won, value)
	}
}

func as[T any](t *testing.T, store secret.Store) T {
	t.Helper()
	power, ok := store.(T)
	if !ok {
		t.Fatalf("%T has lost a power", store)
	}
	return power
}

func wantEnd(t *testing.T, doing string, ended <-chan error) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%s: ended with %v, want no error", doing, err)
		}
	case <-limit.C:
		t.Fatalf("%s does not end with its context", doing)
	}
}
