package drivertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/driver"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
)

// Example are the settings of the driver in the first configuration that the page of a kind shows. A test runs them
// against the real thing, with an address of its own.
func Example(t *testing.T, kind driver.Kind) driver.Settings {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sallyport.yaml")
	if err := os.WriteFile(file, []byte(Block(t, kind, "yaml", 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(config.Kinds{
		Stores: []secret.Kind{builtin.Kind()}, Drivers: []driver.Kind{kind},
	}, file)
	if err != nil {
		t.Fatalf("the example of the page: %v", err)
	}
	for _, r := range c.Rotations {
		return r.Driver.Settings
	}
	t.Fatal("the example of the page has no rotation")
	return nil
}

// Block is the n-th block of a language on the page of a kind, from 0.
func Block(t *testing.T, kind driver.Kind, language string, n int) string {
	t.Helper()
	blocks := strings.Split(kind.Page, "```"+language+"\n")
	if len(blocks) <= n+1 {
		t.Fatalf("the page of %s has %d blocks of %s", kind.Name, len(blocks)-1, language)
	}
	block, _, _ := strings.Cut(blocks[n+1], "```")
	return block
}
