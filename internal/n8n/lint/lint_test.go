package lint_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"sallyport/internal/n8n/lint"
)

// canary is a key in clear, as the files of testdata have it.
const canary = "cAn4ryq1W2e3R4t5Y6u7I8o9P0a1S2d3"

// TestCheck reads the files of testdata/*.txtar. A file wants the findings that the comment of its archive lists:
// FILE:LINE MISTAKE.
func TestCheck(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("there is no testdata", err)
	}
	for _, archive := range archives {
		a, err := txtar.ParseFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range a.Files {
			list, _ := lint.Check(f.Name, f.Data)
			for _, found := range list {
				got = append(got, fmt.Sprintf("%s:%d %s", f.Name, found.Line, found.Mistake))
				silent(t, found)
			}
		}
		if diff := cmp.Diff(strings.TrimSpace(string(a.Comment)), strings.Join(got, "\n")); diff != "" {
			t.Errorf("%s: %s", archive, diff)
		}
	}
}

func silent(t *testing.T, f lint.Finding) {
	t.Helper()
	if text := fmt.Sprintf("%+v", f); strings.Contains(text, "cAn4ry") || f.Problem == "" {
		t.Errorf("a key stands in, or nothing: %s", text)
	}
}

// TestFix is what to write instead, in the manner of the line.
func TestFix(t *testing.T) {
	const path = "/run/secrets/n8n_key"
	for content, want := range map[string]string{
		"services:\n  n8n:\n    environment:\n      N8N_ENCRYPTION_KEY: " + path:                                                      "N8N_ENCRYPTION_KEY_FILE: " + path,
		"services:\n  n8n:\n    environment:\n      - N8N_ENCRYPTION_KEY=" + path:                                                     "- N8N_ENCRYPTION_KEY_FILE=" + path,
		"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - env:\n        - name: N8N_ENCRYPTION_KEY\n          value: " + path:   "- name: N8N_ENCRYPTION_KEY_FILE\n  value: " + path,
		"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - env:\n        - name: N8N_ENCRYPTION_KEY\n          value: " + canary: "- name: N8N_ENCRYPTION_KEY\n  valueFrom: {secretKeyRef: {name: n8n-encryption-key-v1, key: N8N_ENCRYPTION_KEY}}",
		"apiVersion: v1\nkind: Secret\nstringData:\n  N8N_ENCRYPTION_KEY: " + canary:                                                  "",
		"N8N_ENCRYPTION_KEY=" + path:                                                         "N8N_ENCRYPTION_KEY_FILE=" + path,
		"export N8N_ENCRYPTION_KEY='" + path + "'":                                           "export N8N_ENCRYPTION_KEY_FILE=" + path,
		"FROM n8nio/n8n\nENV N8N_ENCRYPTION_KEY " + path:                                     "ENV N8N_ENCRYPTION_KEY_FILE=" + path,
		"[Service]\nEnvironment=N8N_ENCRYPTION_KEY=" + path:                                  "Environment=N8N_ENCRYPTION_KEY_FILE=" + path,
		"[Service]\nEnvironment=\"N8N_ENCRYPTION_KEY=" + canary + "\"":                       "Environment=N8N_ENCRYPTION_KEY_FILE=%d/n8n_encryption_key_v1",
		"job \"n8n\" {\n  task \"n8n\" {\n    env { N8N_ENCRYPTION_KEY = \"" + path + "\" }": `N8N_ENCRYPTION_KEY_FILE = "` + path + `"`,
		"N8N_ENCRYPTION_KEY=./K3y/x.Y":                                                       "N8N_ENCRYPTION_KEY_FILE=<the name that stands there>",
	} {
		found, _ := lint.Check("", []byte(content))
		if len(found) != 1 || found[0].Fix != want {
			t.Errorf("%s\ngot %+v, want %q", content, found, want)
		}
	}
}

// TestNothingToCheck: what was not read is not called right.
func TestNothingToCheck(t *testing.T) {
	for content, want := range map[string]int{
		"":                                       0,
		"# n8n\n":                                0,
		"resource \"x\" \"n8n\" {\n}\n":          0,
		"services:\n  db: {image: postgres}\n":   0,
		"services:\n  n8n: {image: n8nio/n8n}\n": 1,
		"N8N_ENCRYPTION_KEY_FILE=/run/secrets/k\n": 1,
	} {
		if list, got := lint.Check("", []byte(content)); got != want || len(list) > 0 {
			t.Errorf("%q: checked %d, want %d; %+v", content, got, want, list)
		}
	}
}

func FuzzCheck(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, archive := range archives {
		a, err := txtar.ParseFile(archive)
		if err != nil {
			f.Fatal(err)
		}
		for _, one := range a.Files {
			f.Add(one.Name, one.Data)
		}
	}
	f.Add("x.yml", []byte("a: &a\n  <<: *a\n  N8N_ENCRYPTION_KEY: x\n"))
	f.Add("x.yml", []byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		lines := strings.Count(string(content), "\n") + strings.Count(string(content), "\r") + 1
		list, _ := lint.Check(name, content)
		for _, found := range list {
			if found.Line < 1 || found.Line > lines {
				t.Errorf("line %d of %d", found.Line, lines)
			}
			if found.Problem == "" || found.Mistake == "" {
				t.Errorf("got %+v", found)
			}
		}
	})
}
