package config_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema(app.Kinds())))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("sallyport.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("sallyport.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchema holds the schema against the same cases as the decoder: it lets through what loads, and refuses what is wrong
// in its shape.
func TestSchema(t *testing.T) {
	s := compileSchema(t)
	for _, name := range cases(t) {
		kind, _, _ := strings.Cut(name, "-")
		if kind == "yaml" || kind == "check" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			err := s.Validate(asJSON(t, read(t, filepath.Join("testdata", name+".yaml"))))
			if wantOK := kind == "valid" || kind == "warn"; wantOK != (err == nil) {
				t.Errorf("Validate = %v", err)
			}
		})
	}
	if err := s.Validate(asJSON(t, config.Example())); err != nil {
		t.Errorf("the example: %v", err)
	}
}

func asJSON(t *testing.T, src []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(bytes.TrimPrefix(src, []byte("\ufeff")), &v); err != nil {
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
