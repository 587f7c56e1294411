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
	for _, page := range []string{"errors", "configuration", "cli", "presets"} {
		t.Run(page, func(t *testing.T) {
			var out, errs bytes.Buffer
			if exit := cli.Main(t.Context(), []string{"reference", page}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); exit != 0 {
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
			t.Errorf("docs/n8n-setup.md, section 7, does not say what n8n shows for %s (status %d)", row.Code, row.Status)
		}
	}
}
