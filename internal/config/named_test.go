package config_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

// TestLoadNamed: what is named is as Load has it, in whichever file it stands and however its name is written, with the
// services that a token names; and an error is that of Load, word by word.
func TestLoadNamed(t *testing.T) {
	const crm, erp = "{upstream: https://crm.example.com, secret: ref+builtin://crm}",
		"{upstream: https://erp.example.com, secret: ref+builtin://erp}"
	for name, c := range map[string]struct {
		main, a, b string
		err        bool
	}{
		"main file":             {main: "services: {crm: " + crm + ", erp: " + erp + "}\ntokens: {n8n: {services: [crm], expires: 9d}, other: {services: [erp]}}\n"},
		"drop-ins":              {a: "services: {crm: " + crm + "}\n", b: "services: {erp: " + erp + "}\ntokens: {n8n: {services: [crm]}}\n"},
		"quoted":                {a: "services: {'crm': " + crm + "}\n", b: "\"tokens\": {\"n8n\": {services: ['crm']}}\n"},
		"escaped":               {a: "services: {\"\\x63rm\": " + crm + "}\n", b: "tokens: {\"n\\u0038n\": {services: [\"\\x63rm\"]}}\n"},
		"anchored":              {a: "services: {crm: &x " + crm + ", erp: *x}\n", b: "tokens: {a: &t {services: [crm]}, n8n: *t}\n"},
		"merged":                {a: "services: {crm: " + crm + "}\n", b: "tokens:\n  <<: {n8n: {services: [crm]}}\n  z: {services: [crm]}\n"},
		"every service":         {a: "services: {crm: " + crm + "}\n", b: "tokens: {n8n: {services: ['*']}}\n"},
		"not there":             {a: "services: {crm: " + crm + "}\n"},
		"no value":              {a: "tokens: {n8n: }\n", err: true},
		"twice":                 {a: "tokens: {n8n: {services: ['*']}}\n", b: "tokens: {n8n: {services: ['*']}}\n", err: true},
		"unknown service":       {a: "services: {crm: " + crm + "}\n", b: "tokens: {n8n: {services: [cmr]}}\n", err: true},
		"unknown key":           {a: "tokens: {n8n: {servcies: [crm]}}\n", err: true},
		"its service is broken": {a: "services: {crm: {upstrem: x}}\n", b: "tokens: {n8n: {services: [crm]}}\n", err: true},
		"no YAML":               {a: "tokens: {n8n: [\n", err: true},
		"no map":                {main: "tokens: [n8n]\n", err: true},
		"another is broken":     {a: "services: {crm: " + crm + "}\ntokens: {n8n: {services: [crm]}}\n", b: "services: {erp: {upstrem: x}}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "sallyport.yaml")
			put(t, path, c.main)
			put(t, filepath.Join(dir, "services.d", "a.yaml"), c.a)
			put(t, filepath.Join(dir, "services.d", "b.yaml"), c.b)
			whole, _, wholeErr := config.Load(app.Kinds(), path)
			got, _, err := config.LoadNamed(app.Kinds(), path, config.Named{Tokens: []string{"n8n"}})
			if (err != nil) != c.err || c.err && err.Error() != wholeErr.Error() {
				t.Fatalf("got error %v; Load has %v", err, wholeErr)
			}
			if c.err || wholeErr != nil {
				return
			}
			show := func(what any) string {
				if s, ok := what.(*config.Service); ok && s != nil {
					bare := *s
					bare.Credential, bare.Credentials = config.Credential{}, nil
					return fmt.Sprintf("%+v %+v", bare, allOf(s.Placements()))
				}
				return fmt.Sprintf("%+v", what)
			}
			if diff := cmp.Diff(show(whole.Tokens["n8n"]), show(got.Tokens["n8n"])); diff != "" {
				t.Errorf("the token (-Load +LoadNamed):\n%s", diff)
			}
			for name, svc := range got.Services {
				if diff := cmp.Diff(show(whole.Services[name]), show(svc)); diff != "" {
					t.Errorf("service %s (-Load +LoadNamed):\n%s", name, diff)
				}
			}
			if tk := got.Tokens["n8n"]; len(got.Tokens) > 1 || tk != nil && tk.Services[0] == "crm" &&
				got.Services["crm"] == nil {
				t.Errorf("got %d tokens and %d services", len(got.Tokens), len(got.Services))
			}
		})
	}
}
