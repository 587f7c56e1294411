package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

// TestLoadHead: a command that needs no service is not held up by one, in whichever file it stands; the rest is as
// strict as ever.
func TestLoadHead(t *testing.T) {
	for name, tc := range map[string]struct{ main, dropIn, err string }{
		"no services":               {main: "data: ./here\n"},
		"services in the main file": {main: "data: ./here\nservices:\n  a: {wrong: 1}\ntokens: {t: {services: [gone]}}\n"},
		"a drop-in that is wrong":   {main: "data: ./here\n", dropIn: "services: {a: {wrong: 1}}\n"},
		"a drop-in that is no YAML": {main: "data: ./here\n", dropIn: "services: [\n"},
		"an unknown key":            {main: "data: ./here\nunknown: 1\n", err: "unknown key"},
		"a store that is wrong":     {main: "data: ./here\nstores: {v: {kind: vault}}\n", err: "store"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "sallyport.yaml")
			put(t, path, tc.main)
			if tc.dropIn != "" {
				put(t, filepath.Join(dir, "services.d", "a.yaml"), tc.dropIn)
			}
			c, _, err := config.LoadHead(app.Kinds(), path)
			switch {
			case tc.err == "" && err != nil:
				t.Fatalf("LoadHead: %v, want no error", err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Fatalf("LoadHead: %v, want an error that says %q", err, tc.err)
			case tc.err != "":
				return
			}
			if want := filepath.Join(dir, "here"); c.Data != want || len(c.Services)+len(c.Tokens) != 0 {
				t.Errorf("data %q with %d services and %d tokens, want %q and none", c.Data, len(c.Services),
					len(c.Tokens), want)
			}
		})
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
