package database_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"sallyport/internal/n8n/database"
)

var update = flag.Bool("update", false, "write docs/n8n-encrypted.md")

func TestReferenceIsInSync(t *testing.T) {
	const page = "../../../docs/n8n-encrypted.md"
	want := database.Reference()
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the inventory says: run go generate ./internal/n8n/database", page)
	}
}
