package storetest_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/secret"
	"sallyport/internal/secret/storetest"
)

// TestComplete: whatever a kind lacks is said in a sentence that says what to add.
func TestComplete(t *testing.T) {
	whole := secret.Kind{Name: "whole", Summary: "All of it.", Page: "# Whole\n", Settings: func() secret.Settings {
		return nil
	}}
	tree := fstest.MapFS{
		"whole/testdata/config/opens.txtar":         {},
		"whole/testdata/config/refused-label.txtar": {},
		"whole/whole_test.go":                       {Data: []byte("storetest.Run(t, …) storetest.Kind(t, …)")},
		"half/testdata/config/opens.txtar":          {},
		"half/half_test.go":                         {Data: []byte("storetest.Kind(t, …)")},
	}
	half := whole
	half.Name = "half"
	for _, c := range []struct {
		about string
		kinds []secret.Kind
		want  []string
	}{
		{"whole", []secret.Kind{whole}, nil},
		{"a name twice", []secret.Kind{whole, whole}, []string{"two kinds are called whole: give one of them another Name, and another folder"}},
		{"a name that is none", []secret.Kind{{Name: "Open Bao"}}, []string{`a kind is called "Open Bao": set Name to a word of a-z and 0-9, that of its folder`}},
		{"half", []secret.Kind{half}, []string{
			"the kind half has no configuration that is refused: add testdata/config/refused-WHAT.txtar, or shape-WHAT.txtar, to its folder",
			"the kind half is not held to the contract of a store: call storetest.Run in a test of its folder",
		}},
		{"nothing", []secret.Kind{{Name: "none"}}, []string{
			"the kind none does not test its configurations: call storetest.Kind in a test of its folder",
			"the kind none has no configuration that is refused: add testdata/config/refused-WHAT.txtar, or shape-WHAT.txtar, to its folder",
			"the kind none has no configuration that opens: add testdata/config/opens.txtar to its folder, with a store called one",
			"the kind none has no page: write internal/secret/none/kind.md, which begins with `# TITLE`, embed it, and set Page; `make generate` puts it into docs/stores",
			"the kind none has no settings: set Settings to a function that returns a pointer to a struct, which may be empty",
			"the kind none has no summary: set Summary to one sentence, which the reference and editors show",
			"the kind none is not held to the contract of a store: call storetest.Run in a test of its folder",
		}},
	} {
		got := storetest.Complete(c.kinds, tree)
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.about, diff)
		}
	}
}
