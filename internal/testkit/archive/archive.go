// Package archive holds configurations in archives to what they are answered: input and expectation of a case stand in
// one file. The suites of kinds use it.
package archive

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"sallyport/internal/config"
)

// updating is set to write what configurations are answered into their files instead of comparing it.
const updating = "ARCHIVE_UPDATE"

// Canary stands in configurations wherever a person might put a secret by mistake.
const Canary = "CanaryCanary0123"

// Configurations tests what kinds say of themselves: each archive of testdata/config is a configuration
// (sallyport.yaml), the files that it names, and what it is answered (report; absent: nothing). By its name it is one
// of
//
//	GOOD.txtar         loads without a word
//	valid-….txtar      loads, perhaps with a warning
//	refused-….txtar    is refused by the checks alone
//	shape-….txtar      is refused by the JSON Schema too
func Configurations(t *testing.T, kinds config.Kinds, good string) {
	t.Helper()
	editors := Schema(t, kinds)
	cases, err := filepath.Glob("testdata/config/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no configurations in testdata/config: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			configuration(t, kinds, editors, file, good+".txtar")
		})
	}
}

// Read returns an archive, and its files by name.
func Read(t *testing.T, file string) (*txtar.Archive, map[string][]byte) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range a.Files {
		files[f.Name] = f.Data
	}
	return a, files
}

func configuration(t *testing.T, kinds config.Kinds, editors *jsonschema.Schema, file, good string) {
	cases, files := Read(t, file)
	_, warnings, err := config.Parse(kinds, "sallyport.yaml", files["sallyport.yaml"],
		func(name string) ([]byte, error) {
			if content, ok := files[name]; ok {
				return content, nil
			}
			return nil, fs.ErrNotExist
		})
	got := answer(warnings, err)
	if strings.Contains(got, Canary) {
		t.Errorf("a value that may be a secret is shown:\n%s", got)
	}
	word, _, _ := strings.Cut(filepath.Base(file), "-")
	if loads := word == good || word == "valid"; loads != (err == nil) {
		t.Errorf("a case of this name loads: %v; got %v", loads, err)
	}
	if word == good && got != "" {
		t.Errorf("it loads with:\n%s", got)
	}
	if err := editors.Validate(AsJSON(t, files["sallyport.yaml"])); (err != nil) != (word == "shape") {
		t.Errorf("the schema says: %v", err)
	}
	if os.Getenv(updating) != "" {
		rewrite(t, file, cases, got)
		return
	}
	if diff := cmp.Diff(string(files["report"]), got); diff != "" {
		t.Errorf("%s=1 writes it (-want +got):\n%s", updating, diff)
	}
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

func rewrite(t *testing.T, file string, a *txtar.Archive, report string) {
	t.Helper()
	kept := *a
	kept.Files = nil
	for _, f := range a.Files {
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

// Schema is the schema of these kinds, ready to be asked.
func Schema(t *testing.T, kinds config.Kinds) *jsonschema.Schema {
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

// AsJSON is a configuration in YAML as Schema takes it.
func AsJSON(t *testing.T, source []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(source, &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
