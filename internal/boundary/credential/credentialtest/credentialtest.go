// Package credentialtest is what every kind of credential is held to: what it says of itself (Complete), the configurations that it
// takes and refuses (Kind), and what it makes of its settings (Run). Only tests use it.
package credentialtest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
)

// updating is set to write what configurations are answered into their files instead of comparing it.
const updating = "CREDENTIALTEST_UPDATE"

// canary stands in configurations wherever a person might put a secret by mistake.
const canary = "CanaryCanary0123"

// Kind tests what a kind of credential says of itself: each archive of testdata/config is a configuration (sallyport.yaml) and what it
// is answered (report; absent: nothing). By its name it is one of
//
//	builds.txtar       loads without a word; Run builds its service "one"
//	valid-….txtar      loads, perhaps with a warning
//	refused-….txtar    is refused by the checks alone
//	shape-….txtar      is refused by the JSON Schema too
func Kind(t *testing.T, kind config.CredentialKind) {
	t.Helper()
	kinds := alone(kind)
	editors := compile(t, kinds)
	cases, err := filepath.Glob("testdata/config/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no configurations in testdata/config: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { configuration(t, kinds, editors, file) })
	}
}

// alone is a program with one kind of credential, and the store builtin.
func alone(kind config.CredentialKind) config.Kinds {
	return config.Kinds{Stores: []secret.Kind{builtin.Kind()}, Credentials: []config.CredentialKind{kind}}
}

func configuration(t *testing.T, kinds config.Kinds, editors *jsonschema.Schema, file string) {
	archive, files := unpack(t, file)
	_, warnings, err := config.Parse(kinds, "sallyport.yaml", files["sallyport.yaml"], func(string) ([]byte, error) { return nil, fs.ErrNotExist })
	got := answer(warnings, err)
	if strings.Contains(got, canary) {
		t.Errorf("a value that may be a secret is shown:\n%s", got)
	}
	word, _, _ := strings.Cut(filepath.Base(file), "-")
	if loads := word == "builds.txtar" || word == "valid"; loads != (err == nil) {
		t.Errorf("a case of this name loads: %v; got %v", loads, err)
	}
	if word == "builds.txtar" && got != "" {
		t.Errorf("it loads with:\n%s", got)
	}
	if err := editors.Validate(asJSON(t, files["sallyport.yaml"])); (err != nil) != (word == "shape") {
		t.Errorf("the schema says: %v", err)
	}
	if os.Getenv(updating) != "" {
		rewrite(t, file, archive, got)
		return
	}
	if diff := cmp.Diff(string(files["report"]), got); diff != "" {
		t.Errorf("%s=1 writes it (-want +got):\n%s", updating, diff)
	}
}

func unpack(t *testing.T, file string) (*txtar.Archive, map[string][]byte) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	return archive, files
}

func answer(warnings config.Warnings, err error) string {
	var b strings.Builder
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	for _, w := range warnings {
		b.WriteString("warning: " + w.Error() + "\n")
	}
	return b.String()
}

func rewrite(t *testing.T, file string, archive *txtar.Archive, report string) {
	t.Helper()
	kept := *archive
	kept.Files = nil
	for _, f := range archive.Files {
		if f.Name != "report" {
			kept.Files = append(kept.Files, f)
		}
	}
	if report != "" {
		kept.Files = append(kept.Files, txtar.File{Name: "report", Data: []byte(report)})
	}
	if err := os.WriteFile(file, txtar.Format(&kept), 0o600); err != nil {
		t.Fatal(err)
	}
}

func compile(t *testing.T, kinds config.Kinds) *jsonschema.Schema {
	t.Helper()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema(kinds)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("sallyport.schema.json", text); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("sallyport.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}
