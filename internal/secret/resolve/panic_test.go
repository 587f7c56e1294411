package resolve_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// bugs is a store that can be told to panic in any of its methods.
type bugs struct {
	*watching
	get, batch, watch, work atomic.Bool
	watches, works          atomic.Int64
}

func (b *bugs) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	if b.get.Load() {
		panic("hunter2")
	}
	return b.fake.Get(ctx, path, version)
}

func (b *bugs) GetBatch(ctx context.Context, keys []secret.Key) []secret.Result {
	if b.batch.Load() {
		panic("hunter2")
	}
	list := make([]secret.Result, len(keys))
	for i, k := range keys {
		list[i].Value, list[i].Version, list[i].Err = b.fake.Get(ctx, k.Path, k.Version)
	}
	return list
}

func (b *bugs) Watch(ctx context.Context, paths []string, changed func(string)) error {
	if b.watches.Add(1); b.watch.Load() {
		panic("hunter2")
	}
	<-ctx.Done()
	return nil
}

func (b *bugs) Run(ctx context.Context) error {
	if b.works.Add(1); b.work.Load() {
		panic("hunter2")
	}
	<-ctx.Done()
	return nil
}

// told counts the panics that a resolver tells of, each once.
type told struct {
	mu  sync.Mutex
	all []*fault.Panic
}

func (t *told) add(why *fault.Panic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if why.Tell() {
		t.all = append(t.all, why)
	}
}

func (t *told) take() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.all)
	t.all = nil
	return n
}

// TestPanicInAStore: whichever of its methods has a bug, the last known good stays, it is told of, and all is well when
// the bug is over. A panic is never an empty secret.
func TestPanicInAStore(t *testing.T) {
	for name, c := range map[string]struct {
		bug  func(*bugs) *atomic.Bool
		refs []string
		down bool // what is read meanwhile fails
	}{
		"get":   {func(b *bugs) *atomic.Bool { return &b.get }, []string{"ref+s://a"}, true},
		"batch": {func(b *bugs) *atomic.Bool { return &b.batch }, []string{"ref+s://a", "ref+s://b"}, true},
		"watch": {func(b *bugs) *atomic.Bool { return &b.watch }, []string{"ref+s://a"}, false},
		"work":  {func(b *bugs) *atomic.Bool { return &b.work }, []string{"ref+s://a"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &bugs{watching: newWatching(newFake(map[string]string{"a": "alpha", "b": "beta"}))}
				tell := new(told)
				b := &bed{t: t}
				b.Resolver = resolve.New(resolve.Options{Broke: tell.add})
				b.Configure(stores(specOf("s", store)))
				bug := c.bug(store)
				bug.Store(!c.down)
				b.keep(c.refs...)
				stop := b.run()
				bug.Store(true)
				time.Sleep(20 * time.Minute)
				synctest.Wait()
				if tell.take() == 0 {
					t.Error("nobody was told")
				}
				b.is("ref+s://a", "alpha")
				res, err := b.Read(t.Context(), parseAll(t, c.refs))
				if err != nil {
					t.Fatal(err)
				}
				check(t, "the last known good", res[0], "alpha", nil)
				if _, unconfirmed := b.Held(parse(t, "ref+s://a")); c.down {
					if why, ok := errors.AsType[*fault.Panic](unconfirmed); !ok ||
						!errors.Is(unconfirmed, secret.ErrUnavailable) {
						t.Errorf("unconfirmed is %v, %v", unconfirmed, why)
					}
				}
				bug.Store(false)
				store.set("a", "changed")
				time.Sleep(20 * time.Minute)
				synctest.Wait()
				b.is("ref+s://a", "changed")
				tell.take()
				watches, works := store.watches.Load(), store.works.Load()
				time.Sleep(20 * time.Minute)
				if n := tell.take(); n > 0 || store.watches.Load() != watches || store.works.Load() != works {
					t.Errorf("told of %d more panics, and begun again", n)
				}
				stop()
			})
		})
	}
}

// TestPanicAtTheFirstReading: what was never read is an error, for all who wait, and not an empty value.
func TestPanicAtTheFirstReading(t *testing.T) {
	store := &bugs{watching: newWatching(newFake(map[string]string{"a": "alpha", "b": "beta"}))}
	store.get.Store(true)
	store.batch.Store(true)
	b := newBed(t, specOf("s", store))
	for _, res := range append(b.load("ref+s://a", "ref+s://b"), b.load("ref+s://a")...) {
		if !errors.Is(res.Err, secret.ErrUnavailable) {
			t.Errorf("got %q, %v", res.Value.Reveal(), res.Err)
		}
	}
	opening := specOf("t", store)
	opening.Open = func(context.Context) (secret.Store, error) { panic("hunter2") }
	b.Configure(stores(opening))
	if res := b.load("ref+t://a")[0]; !errors.Is(res.Err, secret.ErrUnavailable) {
		t.Errorf("got %q, %v", res.Value.Reveal(), res.Err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestPanicInTheListener: what a listener was being told of is told to the next.
func TestPanicInTheListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{"a": "one"})
		b := newBed(t, specOf("s", store))
		b.keep("ref+s://a")
		store.set("a", "two")
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the listener's panic was kept from its owner")
				}
			}()
			b.Run(t.Context(), func([]resolve.Change) { panic("hunter2") })
		}()
		stop := b.run()
		synctest.Wait()
		if got := b.heard(); len(got) != 1 || got[0] != "ref+s://a" {
			t.Errorf("heard %q", got)
		}
		stop()
	})
}
