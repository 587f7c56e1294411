package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
	httpdriver "sallyport/internal/driver/http"
)

// TestDriverExamplesLoad: what the pages of the drivers show is a configuration: one of each kind at least, and one of
// each provider of the kind http.
func TestDriverExamplesLoad(t *testing.T) {
	pages, err := filepath.Glob("../../docs/drivers/*.md")
	if err != nil {
		t.Fatal(err)
	}
	loaded := make(map[string]int)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		kind := strings.TrimSuffix(filepath.Base(page), ".md")
		for _, found := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			example := found[1]
			if !strings.HasPrefix(example, "services:\n") && !strings.HasPrefix(example, "rotations:\n") {
				continue // a definition
			}
			if services, driver, apart := strings.Cut(example, "\ndriver:\n"); apart {
				example = services + "\nrotations:\n  one:\n    secret: ref+builtin://one\n    driver:\n    " +
					strings.ReplaceAll(driver, "\n", "\n    ")
			}
			if !strings.Contains(example, "kind: "+kind+"\n") {
				t.Errorf("%s: an example is of another kind:\n%s", page, example)
			}
			file := filepath.Join(t.TempDir(), "sallyport.yaml")
			if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := config.Load(app.Kinds(), file); err != nil {
				t.Errorf("%s: %v:\n%s", page, err, example)
			}
			loaded[kind]++
		}
	}
	for _, kind := range app.Kinds().Drivers {
		least := 1
		if kind.Name == "http" {
			least += len(httpdriver.Providers())
		}
		if loaded[kind.Name] < least {
			t.Errorf("the page of %s has %d examples, want %d", kind.Name, loaded[kind.Name], least)
		}
	}
}
