package credentialtest_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/credential/bearer"
	"sallyport/internal/boundary/credential/credentialtest"
	"sallyport/internal/config"
)

// TestComplete: whatever a kind lacks is said in a sentence that says what to add.
func TestComplete(t *testing.T) {
	whole := bearer.Kind()
	tree := fstest.MapFS{
		"bearer/testdata/config/builds.txtar":        {},
		"bearer/testdata/config/refused-label.txtar": {},
		"bearer/bearer_test.go":                      {Data: []byte("credentialtest.Run(t, …) credentialtest.Kind(t, …)")},
		"halfway/testdata/config/builds.txtar":       {},
		"halfway/halfway_test.go":                    {Data: []byte("credentialtest.Kind(t, …)")},
	}
	half := whole
	half.Name, half.Usual = "half_way", false
	for _, c := range []struct {
		about string
		kinds []config.CredentialKind
		want  []string
	}{
		{"whole", []config.CredentialKind{whole}, nil},
		{"a name twice", []config.CredentialKind{whole, whole}, []string{"two kinds are called bearer: give one of them another Name, and another folder"}},
		{"a name that is none", []config.CredentialKind{whole, {Name: "O Auth"}}, []string{
			`a kind is called "O Auth": set Name to words of a-z and 0-9, with '_' between them`,
		}},
		{"half", []config.CredentialKind{whole, half}, []string{
			"the kind half_way has no page: write kind.md in its folder, which begins with `# half_way` and has an " +
				"example, embed it, and set Page; " +
				"`make generate` puts it into docs/credentials.md",
			"the kind half_way has no configuration that is refused: add testdata/config/refused-WHAT.txtar, or shape-WHAT.txtar, to its folder",
			"the kind half_way is not held to the contract of a credential: call credentialtest.Run in a test of its folder",
		}},
		{"nothing", []config.CredentialKind{{Name: "none"}}, []string{
			"the kind none has no summary: set Summary to one sentence, which the reference and editors show",
			"the kind none has no page: write kind.md in its folder, which begins with `# none` and has an example, " +
				"embed it, and set Page; " +
				"`make generate` puts it into docs/credentials.md",
			"the kind none has no settings: set Settings to a function that returns a pointer to a struct, which may be empty",
			"the kind none has no configuration that is built: add testdata/config/builds.txtar to its folder, with a service called one",
			"the kind none has no configuration that is refused: add testdata/config/refused-WHAT.txtar, or shape-WHAT.txtar, to its folder",
			"the kind none is not held to the contract of a credential: call credentialtest.Run in a test of its folder",
			"the kind none does not test its configurations: call credentialtest.Kind in a test of its folder",
			"0 kinds are usual: set Usual of the one that a secret alone means",
		}},
	} {
		if diff := cmp.Diff(c.want, credentialtest.Complete(c.kinds, tree)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.about, diff)
		}
	}
}
