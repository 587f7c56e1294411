package azurekv_test

import (
	"strings"
	"testing"

	"sallyport/internal/secret"
	"sallyport/internal/testkit/azurefake"
)

// FuzzNames: two paths that are no names of Key Vault themselves never are the same secret, but for upper and lower
// case.
func FuzzNames(f *testing.F) {
	for _, pair := range [][2]string{
		{"a/b", "a_b"},
		{"a-/b", "a/-b"},
		{"a-u-b/c", "a_b/c"},
		{"a/.b", "a-/d-b"},
		{"_-/", "-u--"},
		{"a/B", "a/b"},
		{"a/u-b", "a-_b"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if strings.EqualFold(one, two) || !strings.ContainsAny(one, "/_.") || !strings.ContainsAny(two, "/_.") {
			return
		}
		store := open(t, options(azurefake.New(t)))
		if _, err := store.Put(t.Context(), one, secret.NewValue([]byte("one"))); err != nil {
			return
		}
		if _, err := store.Put(t.Context(), two, secret.NewValue([]byte("two"))); err != nil {
			return
		}
		want(t, store, one, "", "one")
		entries, err := store.List(t.Context(), "")
		if err != nil || len(entries) != 2 {
			t.Fatalf("%q and %q are listed as %+v, %v", one, two, entries, err)
		}
		for _, e := range entries {
			if e.Path != one && e.Path != two {
				t.Errorf("%q and %q are listed as %q", one, two, e.Path)
			}
		}
	})
}
