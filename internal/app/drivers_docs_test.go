package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

// TestDriverExamplesLoad: what the page of the driver http shows is a configuration, for each provider.
func TestDriverExamplesLoad(t *testing.T) {
	page, err := os.ReadFile("../../docs/drivers/http.md")
	if err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for _, found := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		example := found[1]
		if !strings.HasPrefix(example, "services:\n") {
			continue // a definition
		}
		if services, driver, apart := strings.Cut(example, "\ndriver:\n"); apart {
			example = services + "\nrotations:\n  one:\n    secret: ref+builtin://one\n    driver:\n    " +
				strings.ReplaceAll(driver, "\n", "\n    ")
		}
		file := filepath.Join(t.TempDir(), "sallyport.yaml")
		if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := config.Load(app.Kinds(), file); err != nil {
			t.Errorf("%v:\n%s", err, example)
		}
		loaded++
	}
	if loaded < 15 {
		t.Errorf("the page has %d examples", loaded)
	}
}
