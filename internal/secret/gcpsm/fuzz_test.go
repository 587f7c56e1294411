package gcpsm_test

import (
	"strings"
	"testing"

	"sallyport/internal/secret"
	"sallyport/internal/secret/gcpsm"
	"sallyport/internal/testkit/gcpfake"
)

// FuzzNames: two paths that are no ids of Secret Manager themselves never are the same secret.
func FuzzNames(f *testing.F) {
	for _, pair := range [][2]string{
		{"a/b", "a.b"},
		{"a-/b", "a/-b"},
		{"a-d-b/c", "a.b/c"},
		{"a/.b", "a-/d-b"},
		{".-/", "-d--"},
		{"a/d-b", "a-.b"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if one == two || !strings.ContainsAny(one, "/.") || !strings.ContainsAny(two, "/.") ||
			strings.HasPrefix(one, "projects/") || strings.HasPrefix(two, "projects/") {
			return
		}
		_, url := gcpfake.Plain(t)
		store := open(t, gcpsm.Options{Project: gcpfake.Project, Endpoint: url})
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
