package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"

	"sallyport/internal/audit"
)

// Authorise returns when the record is written: the credential may be used then, and not before. An edit breaks the
// chain.
func ExampleLog() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	keys := audit.Keys{Chain: bytes.Repeat([]byte{1}, 32), Sign: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))}
	path := filepath.Join(dir, "audit.log")
	log, err := audit.Open(ctx, audit.Options{Path: path, Keys: keys})
	if err != nil {
		panic(err)
	}
	fmt.Println(log.Authorise(ctx, &audit.Event{
		ID: "r1", Service: "openai", Method: "GET", Path: "/v1/models",
		Secrets: []string{"openai@3"},
	}))
	fmt.Println(log.Close())

	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	for _, log := range [][]byte{text, bytes.Replace(text, []byte("GET"), []byte("PUT"), 1)} {
		report, err := audit.Verify(ctx, bytes.NewReader(log), audit.VerifyOptions{Keys: keys.Public()})
		fmt.Println(report.OK, report.Records, err)
	}
	// Output:
	// <nil>
	// <nil>
	// true 3 <nil>
	// false 1 <nil>
}
