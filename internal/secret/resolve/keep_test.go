package resolve_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/secret"
)

func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{"a": "one", "b": "beta", "a@1": "pinned", "a@LABEL": "labelled"})
		spec := specOf("s", store)
		spec.Moving = func(version string) bool { return version == "LABEL" }
		b := newBed(t, spec)
		b.keep("ref+s://a", "ref+s://b", "ref+s://a?version=1", "ref+s://a?version=LABEL", "ref+s://later")
		defer b.run()()
		synctest.Wait()
		b.heard()
		store.set("a", "two")
		store.set("a@1", "never seen")
		store.set("a@LABEL", "moved")
		store.set("later", "here")
		time.Sleep(70 * time.Second)
		synctest.Wait()
		b.is("ref+s://a", "two")
		b.is("ref+s://b", "beta")
		b.is("ref+s://a?version=1", "pinned")
		b.is("ref+s://a?version=LABEL", "moved")
		b.is("ref+s://later", "here")
		if diff := cmp.Diff([]string{"ref+s://a", "ref+s://a?version=LABEL", "ref+s://later"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		store.delete("later")
		time.Sleep(70 * time.Second)
		synctest.Wait()
		b.fails("ref+s://later", secret.ErrNotFound)
		if diff := cmp.Diff([]string{"ref+s://later"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		store.asked("")
		time.Sleep(10 * time.Minute)
		if n := store.asked("b"); n < 9 || n > 12 {
			t.Errorf("read %d times in ten minutes", n)
		}
	})
}

// TestOutage: the last known good stays until it is too old, then its user is told, and all is well when the store
// answers.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, other := newFake(map[string]string{"a": "alpha", "a@1": "pinned"}),
			newFake(map[string]string{"x": "fine"})
		b := newBed(t, specOf("s", store), specOf("other", other))
		b.keep("ref+s://a", "ref+s://a?version=1", "ref+other://x")
		defer b.run()()
		synctest.Wait()
		b.heard()
		store.fail(secret.ErrUnavailable)
		time.Sleep(70 * time.Second)
		synctest.Wait()
		b.is("ref+s://a", "alpha")
		if _, unconfirmed := b.Held(parse(t, "ref+s://a")); !errors.Is(unconfirmed, secret.ErrUnavailable) {
			t.Errorf("unconfirmed: %v", unconfirmed)
		}
		if diff := cmp.Diff([]string{"ref+s://a same"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		status := b.Status()
		if len(status) != 2 || !status[0].Up || status[1].Up || status[1].Stale != 1 || status[1].Kept != 2 ||
			status[1].Oldest < time.Minute {
			t.Errorf("status %+v", status)
		}
		time.Sleep(55 * time.Minute)
		b.is("ref+s://a", "alpha")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		b.fails("ref+s://a", secret.ErrUnavailable)
		b.is("ref+s://a?version=1", "pinned")
		b.is("ref+other://x", "fine")
		if diff := cmp.Diff([]string{"ref+s://a"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		store.fail(nil)
		time.Sleep(70 * time.Second)
		synctest.Wait()
		b.is("ref+s://a", "alpha")
		if diff := cmp.Diff([]string{"ref+s://a"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		if status := b.Status(); !status[1].Up || status[1].Stale+status[1].Missing != 0 || status[1].Oldest != 0 {
			t.Errorf("status %+v", status)
		}
		if diff := cmp.Diff([]string{"s down true", "s down false"}, b.noted); diff != "" {
			t.Error(diff)
		}
	})
}

// TestOutageIsAskedSeldom, and soon at first.
func TestOutageIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{"a": "alpha", "b": "beta"})
		b := newBed(t, specOf("s", store))
		store.fail(secret.ErrUnavailable)
		b.keep("ref+s://a", "ref+s://b")
		defer b.run()()
		store.asked("")
		time.Sleep(10 * time.Second)
		if n := store.asked(""); n < 2 || n > 8 {
			t.Errorf("asked %d times in the first ten seconds", n)
		}
		time.Sleep(20 * time.Minute)
		if n := store.asked(""); n < 15 || n > 32 {
			t.Errorf("asked %d times in twenty minutes", n)
		}
		store.fail(nil)
		time.Sleep(70 * time.Second)
		synctest.Wait()
		b.is("ref+s://a", "alpha")
		b.is("ref+s://b", "beta")
	})
}

// TestOneSecretFails while its store answers for the others: its last known good stays too.
func TestOneSecretFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{"a": "alpha", "b": "beta"})
		b := newBed(t, specOf("s", store))
		b.keep("ref+s://a", "ref+s://b")
		defer b.run()()
		synctest.Wait()
		b.heard()
		store.mu.Lock()
		store.errOf["a"] = secret.ErrDenied
		store.mu.Unlock()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		b.is("ref+s://a", "alpha")
		if diff := cmp.Diff([]string{"ref+s://a same"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		if st := b.Status()[0]; !st.Up || st.Stale != 1 {
			t.Errorf("status %+v", st)
		}
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		b.fails("ref+s://a", secret.ErrUnavailable)
		b.is("ref+s://b", "beta")
	})
}

// TestOneBrokenPath: a secret that cannot be obtained while the others can does not count as the store's being down,
// whether it is polled with them, asked for alone, or tried again alone because the store is watched.
func TestOneBrokenPath(t *testing.T) {
	for name, make := range map[string]func(*fake) secret.Store{
		"polled":  func(f *fake) secret.Store { return f },
		"watched": func(f *fake) secret.Store { return newWatching(f) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFake(map[string]string{"a": "alpha", "b": "beta"})
				store.errOf["broken"] = secret.ErrUnavailable
				b := newBed(t, specOf("s", make(store)))
				b.keep("ref+s://a", "ref+s://b")
				defer b.run()()
				synctest.Wait()
				b.Keep(parseAll(t, []string{"ref+s://a", "ref+s://b", "ref+s://broken"}))
				check(t, "broken", b.load("ref+s://broken")[0], "", secret.ErrUnavailable)
				time.Sleep(time.Hour)
				b.is("ref+s://a", "alpha")
				if st := b.Status()[0]; !st.Up || st.Missing != 1 || st.Stale != 0 {
					t.Errorf("status %+v", st)
				}
				if len(b.noted) > 0 {
					t.Errorf("noted %q", b.noted)
				}
			})
		})
	}
}

func TestWatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWatching(newFake(map[string]string{"a": "one", "b": "beta", "c": "gamma"}))
		b := newBed(t, specOf("s", store))
		b.keep("ref+s://a", "ref+s://b", "ref+s://b?version=1")
		defer b.run()()
		if diff := cmp.Diff([]string{"a", "b"}, <-store.began); diff != "" {
			t.Error(diff)
		}
		<-store.ran
		synctest.Wait()
		b.heard()
		store.asked("")
		store.set("a", "two")
		store.changed <- "a"
		synctest.Wait()
		b.is("ref+s://a", "two")
		if n := store.asked("b"); n != 0 {
			t.Errorf("another secret was read %d times", n)
		}
		store.set("b", "new")
		store.changed <- ""
		synctest.Wait()
		b.is("ref+s://b", "new")
		if diff := cmp.Diff([]string{"ref+s://a", "ref+s://b"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		b.Keep(parseAll(t, []string{"ref+s://a", "ref+s://c"}))
		if diff := cmp.Diff([]string{"a", "c"}, <-store.began); diff != "" {
			t.Error(diff)
		}
		synctest.Wait()
		b.is("ref+s://c", "gamma")
		b.fails("ref+s://b", secret.ErrUnavailable) // forgotten
		store.set("a", "missed by the watch")
		time.Sleep(12 * time.Minute)
		synctest.Wait()
		b.is("ref+s://a", "missed by the watch")
	})
}

// TestWatchedStoreGoesDown: a watch is silent in an outage, so the store is asked whether it answers.
func TestWatchedStoreGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWatching(newFake(map[string]string{"a": "one", "b": "beta"}))
		b := newBed(t, specOf("s", store))
		b.keep("ref+s://a", "ref+s://b")
		defer b.run()()
		time.Sleep(3*time.Hour + time.Second) // longer than max_stale: what the watch vouches for does not age
		b.is("ref+s://a", "one")
		b.is("ref+s://b", "beta")
		if st := b.Status()[0]; !st.Up || st.Oldest != 0 {
			t.Errorf("status %+v", st)
		}
		store.fail(secret.ErrUnavailable)
		time.Sleep(70 * time.Second)
		if st := b.Status()[0]; st.Up || st.Stale != 2 {
			t.Errorf("status %+v", st)
		}
		time.Sleep(61 * time.Minute)
		b.fails("ref+s://a", secret.ErrUnavailable)
		b.fails("ref+s://b", secret.ErrUnavailable)
		store.fail(nil)
		time.Sleep(70 * time.Second)
		b.is("ref+s://a", "one")
	})
}

func TestUnwatchableIsPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWatching(newFake(map[string]string{"a": "one"}))
		store.unwatchable = errors.New("no permission to watch")
		b := newBed(t, specOf("s", store))
		b.keep("ref+s://a")
		defer b.run()()
		time.Sleep(70 * time.Second)
		store.set("a", "two")
		time.Sleep(70 * time.Second)
		b.is("ref+s://a", "two")
	})
}

// TestWithoutInterval: only what could not be read is asked for again.
func TestWithoutInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(map[string]string{"a": "one"})
		spec := specOf("s", store)
		spec.Refresh = 0
		b := newBed(t, spec)
		b.keep("ref+s://a", "ref+s://later")
		defer b.run()()
		synctest.Wait()
		store.asked("")
		store.set("a", "two")
		store.set("later", "here")
		time.Sleep(time.Hour)
		b.is("ref+s://later", "here")
		b.is("ref+s://a", "one")
		if n := store.asked(""); n != 1 {
			t.Errorf("%d readings", n)
		}
		if err := b.Again(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		b.is("ref+s://a", "two")
		if err := b.Again(t.Context(), "unknown"); err != nil {
			t.Error(err)
		}
	})
}

// TestConfigure: the same store goes on; one that is set up differently is read again, and its values stay until then.
func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next, same := newFake(map[string]string{"a": "old", "a@1": "old pinned"}),
			newFake(map[string]string{"a": "new", "a@1": "new pinned"}), newFake(map[string]string{"x": "fine"})
		b := newBed(t, specOf("s", old), specOf("same", same))
		b.keep("ref+s://a", "ref+s://a?version=1", "ref+same://x")
		defer b.run()()
		synctest.Wait()
		b.heard()
		same.asked("")
		next.slow(20 * time.Second)
		spec := specOf("s", next)
		spec.Identity = "2"
		b.Configure(append(stores(spec), specOf("same", same)))
		began := time.Now()
		check(t, "meanwhile", b.load("ref+s://a")[0], "old", nil)
		if time.Since(began) != 0 {
			t.Errorf("waited %v for what is in memory", time.Since(began))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		b.is("ref+s://a", "new")
		b.is("ref+s://a?version=1", "new pinned")
		if diff := cmp.Diff([]string{"ref+s://a", "ref+s://a?version=1"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		b.Configure(stores(specOf("same", same)))
		synctest.Wait()
		b.fails("ref+s://a", errNoStore)
		b.is("ref+same://x", "fine")
	})
}

// TestReplacedIsClosed: what a replaced store holds open is let go of when nobody uses it any more, and it is not
// opened again.
func TestReplacedIsClosed(t *testing.T) {
	closed := func(f *fake) int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.closed
	}
	for _, running := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			old, next := newWatching(newFake(map[string]string{"a": "old"})), newFake(map[string]string{"a": "new"})
			b := newBed(t, specOf("s", old))
			b.keep("ref+s://a")
			stop := func() { _ = b.Close() }
			if running {
				stop = b.run()
			}
			b.load("ref+s://a")
			old.slow(5 * time.Second)
			go func() { _ = b.Again(t.Context(), "s") }()
			synctest.Wait()
			spec := specOf("s", next)
			spec.Identity = "2"
			b.Configure(stores(spec))
			synctest.Wait()
			if n := closed(old.fake); n != 0 {
				t.Errorf("running %v: closed while it is read", running)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if n := closed(old.fake); n != 1 {
				t.Errorf("running %v: closed %d times", running, n)
			}
			b.load("ref+s://a") // where nothing runs, this has the next one read, behind its back
			synctest.Wait()
			check(t, "the next", b.load("ref+s://a")[0], "new", nil)
			stop()
			if o, n := closed(old.fake), closed(next); o != 1 || n != 1 {
				t.Errorf("running %v: closed %d and %d times at the end", running, o, n)
			}
		})
	}
}

// TestEverythingAtOnce is for the race detector.
func TestEverythingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWatching(newFake(map[string]string{"a": "alpha", "b": "beta"}))
		b := newBed(t, specOf("s", store))
		refs := parseAll(t, []string{"ref+s://a", "ref+s://b", "ref+s://missing"})
		b.Keep(refs)
		stop := b.run()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for round := range 20 {
					switch i {
					case 0:
						b.Keep(refs[:1+round%3])
					case 1:
						spec := specOf("s", store)
						spec.Identity = fmt.Sprint(round)
						b.Configure(stores(spec))
					case 2:
						_ = b.Again(t.Context(), "s")
					case 3:
						store.set("a", fmt.Sprint(round))
					case 4:
						b.Status()
					case 5:
						_, _ = b.Load(t.Context(), refs)
					default:
						_, _ = b.Read(t.Context(), refs)
					}
					time.Sleep(time.Second)
				}
			})
		}
		wg.Wait()
		stop()
	})
}
