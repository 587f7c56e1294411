package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport/internal/secret"
)

// want is what Get must say of one version.
type want struct {
	version string
	value   string
	current bool
}

func check(t *testing.T, store secret.Store, path string, wants ...want) {
	t.Helper()
	for _, w := range wants {
		value, v := get(t, store, path, w.version)
		if value != w.value || v.Current != w.current || (w.version != "" && v.ID != w.version) {
			t.Errorf("%s version %q: got %q, version %q, current %t; want %q, current %t", path, w.version, value, v.ID,
				v.Current, w.value, w.current)
		}
	}
}

func mustPut(t *testing.T, w secret.Writer, path, value string) secret.Version {
	t.Helper()
	v, err := w.Put(t.Context(), path, secret.NewValue([]byte(value)))
	if err != nil {
		t.Fatalf("putting %q: %v", path, err)
	}
	if !v.Current || v.ID == "" || v.Created.IsZero() || v.Created.Location() != time.UTC {
		t.Errorf("putting %q returned %+v, want a current version with an id and a time in UTC", path, v)
	}
	return v
}

func testVersions(t *testing.T, store secret.Store) {
	w := writer(t, store)
	one, two := mustPut(t, w, "storetest/v", "one"), mustPut(t, w, "storetest/v", "two")
	if one.ID == two.ID {
		t.Errorf("two versions are both %q", one.ID)
	}
	check(t, store, "storetest/v", want{"", "two", true}, want{two.ID, "two", true}, want{one.ID, "one", false})
	mustPut(t, w, "storetest/v", "two") // the same value again is a version of its own
	for _, version := range []string{"999999", "no such version", "-1", "01", "0x1", "١"} {
		_, _, err := store.Get(t.Context(), "storetest/v", version)
		wantErr(t, "getting version "+version, err, secret.ErrVersionGone, "storetest/v")
	}
	mustPut(t, w, "storetest/v2", "beside")
	check(t, store, "storetest/v", want{"", "two", true})
}

func testRollback(t *testing.T, store secret.Store) {
	w := writer(t, store)
	one, two := mustPut(t, w, "storetest/r", "one"), mustPut(t, w, "storetest/r", "two")
	three, err := w.Rollback(t.Context(), "storetest/r", one.ID)
	if err != nil {
		t.Fatal(err)
	}
	if three.ID == one.ID || three.ID == two.ID || !three.Current {
		t.Errorf("rolling back returned %+v, want a new, current version", three)
	}
	check(t, store, "storetest/r", want{"", "one", true}, want{three.ID, "one", true}, want{two.ID, "two", false},
		want{one.ID, "one", false})
	_, err = w.Rollback(t.Context(), "storetest/r", "999999")
	wantErr(t, "rolling back to no version", err, secret.ErrVersionGone, "storetest/r")
	_, err = w.Rollback(t.Context(), "storetest/nothing", one.ID)
	wantErr(t, "rolling back nothing", err, secret.ErrNotFound, "storetest/nothing")
	check(t, store, "storetest/r", want{"", "one", true})
}

func testDelete(t *testing.T, store secret.Store) {
	w := writer(t, store)
	old := mustPut(t, w, "storetest/d", "old")
	mustPut(t, w, "storetest/d/below", "stays")
	if err := w.Delete(t.Context(), "storetest/d"); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", old.ID} {
		_, _, err := store.Get(t.Context(), "storetest/d", version)
		wantErr(t, "getting what was deleted", err, secret.ErrNotFound, "storetest/d")
	}
	wantErr(t, "deleting again", w.Delete(t.Context(), "storetest/d"), secret.ErrNotFound, "storetest/d")
	check(t, store, "storetest/d/below", want{"", "stays", true})
	revived := mustPut(t, w, "storetest/d", "new")
	if revived.ID == old.ID {
		t.Errorf("version %q was given out twice", old.ID)
	}
	check(t, store, "storetest/d", want{"", "new", true})
	_, _, err := store.Get(t.Context(), "storetest/d", old.ID)
	wantErr(t, "getting a version from before the deletion", err, secret.ErrVersionGone, "storetest/d")
}

func testRefused(t *testing.T, store secret.Store) {
	w := writer(t, store)
	if _, err := w.Put(t.Context(), "storetest/empty", secret.Value{}); err == nil {
		t.Error("an empty value was taken: it cannot be told from none")
	}
	for _, path := range []string{"", "/", "storetest/../other", "storetest/\x00", "storetest/a\nb"} {
		if _, err := w.Put(t.Context(), path, secret.NewValue([]byte("x"))); err == nil {
			t.Errorf("the path %q was taken", path)
		}
		if _, _, err := store.Get(t.Context(), path, ""); err == nil {
			t.Errorf("the path %q holds something", path)
		}
	}
}

func testList(t *testing.T, store secret.Store) {
	l, w := lister(t, store), writer(t, store)
	for _, path := range []string{
		"storetest/b", "storetest/a/z", "storetest/a", "storetest/B_x",
		"storetest/gone", "other/a",
	} {
		mustPut(t, w, path, "value of "+path)
	}
	newer := mustPut(t, w, "storetest/b", "newer")
	if err := w.Delete(t.Context(), "storetest/gone"); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		"storetest/":      {"storetest/B_x", "storetest/a", "storetest/a/z", "storetest/b"},
		"storetest/a/":    {"storetest/a/z"},
		"storetest/B_":    {"storetest/B_x"},
		"storetest/%":     {},
		"storetest/gone":  {},
		"storetest/\x00'": {},
	} {
		entries, err := l.List(t.Context(), prefix)
		if err != nil {
			t.Fatalf("listing %q: %v", prefix, err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Path)
			if e.Path == "storetest/b" && (e.Version.ID != newer.ID || !e.Version.Current) {
				t.Errorf("listing says version %+v of %s, want %q", e.Version, e.Path, newer.ID)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("listing %q: got %q, want %q", prefix, got, want)
		}
	}
}

func testHistory(t *testing.T, store secret.Store) {
	l, w := lister(t, store), writer(t, store)
	_, err := l.History(t.Context(), "storetest/nothing")
	wantErr(t, "the history of nothing", err, secret.ErrNotFound, "storetest/nothing")
	one := mustPut(t, w, "storetest/h", "one")
	mustPut(t, w, "storetest/h", "two")
	three, err := w.Rollback(t.Context(), "storetest/h", one.ID)
	if err != nil {
		t.Fatal(err)
	}
	history, err := l.History(t.Context(), "storetest/h")
	if err != nil {
		t.Fatal(err)
	}
	if len(history) != 3 || history[0].ID != three.ID || history[2].ID != one.ID {
		t.Fatalf("got %+v, want three versions from %q down to %q", history, three.ID, one.ID)
	}
	for i, v := range history {
		if v.Current != (i == 0) {
			t.Errorf("version %q: current is %t", v.ID, v.Current)
		}
	}
	if !history[2].Created.Equal(one.Created) {
		t.Errorf("version %q was made at %v by its history and %v when it was put", one.ID,
			history[2].Created, one.Created)
	}
}

// ConcurrentPuts tests that puts of the same path through several stores, each as another process would open it, all
// land, each as a version of its own with its own value.
func ConcurrentPuts(t *testing.T, stores []secret.Store) {
	t.Helper()
	const rounds = 6
	var mu sync.Mutex
	put := make(map[string]string) // version to value
	var wg sync.WaitGroup
	for i, store := range stores {
		w := writer(t, store)
		wg.Go(func() {
			for round := range rounds {
				value := fmt.Sprintf("store %d round %d", i, round)
				v, err := w.Put(t.Context(), "storetest/contended", secret.NewValue([]byte(value)))
				if err != nil {
					t.Errorf("putting: %v", err)
					continue
				}
				mu.Lock()
				put[v.ID] = value
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(put) != rounds*len(stores) {
		t.Errorf("%d puts gave %d versions", rounds*len(stores), len(put))
	}
	for id, value := range put {
		if got, _ := get(t, stores[0], "storetest/contended", id); got != value {
			t.Errorf("version %s is %q, and was put as %q", id, got, value)
		}
	}
}
