package storetest

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
	"sallyport/internal/secret"
)

// updating is set to write what configurations are answered into their files instead of comparing it.
const updating = "STORETEST_UPDATE"

// canary stands in configurations wherever a person might put a secret by mistake.
const canary = "CanaryCanary0123"

// Kind tests what a kind of store says of itself: each archive of testdata/config is a configuration (sallyport.yaml), the files that it
// names, and what it is answered (report; absent: nothing). By its name it is one of
//
//	opens.txtar        loads without a word; internal/app opens its store "one", which may need what is in the archive alone
//	valid-….txtar      loads, perhaps with a warning
//	refused-….txtar    is refused by the checks alone
//	shape-….txtar      is refused by the JSON Schema too
func Kind(t *testing.T, kind secret.Kind) {
	t.Helper()
	kinds := config.Kinds{Stores: []secret.Kind{kind}}
	editors := Schema(t, kinds)
	cases, err := filepath.Glob("testdata/config/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no configurations of kind %s in testdata/config: %v", kind.Name, err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { configuration(t, kinds, editors, file) })
	}
}

func configuration(t *testing.T, kinds config.Kinds, editors *jsonschema.Schema, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	_, warnings, err := config.Parse(kinds, "sallyport.yaml", files["sallyport.yaml"], func(name string) ([]byte, error) {
		if content, ok := files[name]; ok {
			return content, nil
		}
		return nil, fs.ErrNotExist
	})
	got := answer(warnings, err)
	if strings.Contains(got, canary) {
		t.Errorf("a value that may be a secret is shown:\n%s", got)
	}
	word, _, _ := strings.Cut(filepath.Base(file), "-")
	if loads := word == "opens.txtar" || word == "valid"; loads != (err == nil) {
		t.Errorf("a case of this name loads: %v; got %v", loads, err)
	}
	if word == "opens.txtar" && got != "" {
		t.Errorf("it loads with:\n%s", got)
	}
	if err := editors.Validate(AsJSON(t, files["sallyport.yaml"])); (err != nil) != (word == "shape") {
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
