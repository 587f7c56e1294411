package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/cli"
	"sallyport/internal/fault"
)

// TestReferenceIsInSync: the generated pages of docs/ say what the code says.
func TestReferenceIsInSync(t *testing.T) {
	for _, page := range []string{"errors", "configuration", "credentials", "cli", "presets", "metrics"} {
		t.Run(page, func(t *testing.T) {
			var out, errs bytes.Buffer
			if exit := cli.Main(t.Context(), []string{"reference", page},
				cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); exit != 0 {
				t.Fatalf("exit code %d: %s", exit, &errs)
			}
			file := filepath.Join("..", "..", "docs", page+".md")
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("docs/%s.md is not what the code says; run `make generate` (-file +code):\n%s", page, diff)
			}
		})
	}
}

// TestPagesOfKindsAreInSync: each kind of store has its page in docs/stores, each kind of driver one in docs/drivers,
// each kind of audit sink one in docs/sinks, and each page its kind.
func TestPagesOfKindsAreInSync(t *testing.T) {
	for what, from := range map[string]string{
		"stores": "internal/secret", "drivers": "internal/driver", "sinks": "internal/audit/sink",
	} {
		dir, docs := t.TempDir(), filepath.Join("..", "..", "docs", what)
		var out, errs bytes.Buffer
		if exit := cli.Main(t.Context(), []string{"reference", what, dir},
			cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); exit != 0 {
			t.Fatalf("exit code %d: %s", exit, &errs)
		}
		want, got := pagesIn(t, dir), pagesIn(t, docs)
		delete(got, "README.md")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("docs/%s is not what the kinds say; edit %s/KIND/kind.md and run `make generate` "+
				"(-kinds +docs):\n%s", what, from, diff)
		}
	}
}

func pagesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages in %s: %v", dir, err)
	}
	pages := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(file)] = string(text)
	}
	return pages
}

// TestSetupNamesEveryCode: the page on n8n says what n8n shows for every code that an answer can have.
func TestSetupNamesEveryCode(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "n8n-setup.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range fault.Table() {
		if row.Code == fault.ClientGone { // nobody is there to be shown it
			continue
		}
		if !bytes.Contains(page, []byte("`"+string(row.Code)+"`")) {
			t.Errorf("docs/n8n-setup.md, section 7, does not say what n8n shows for %s (status %d)",
				row.Code, row.Status)
		}
	}
}
