package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/cli"
	"sallyport/internal/fault"
)

// TestSnippetIsInterrupted: a file that takes long does not keep a signal from ending the command.
func TestSnippetIsInterrupted(t *testing.T) {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "  n%d: {image: n8nio/n8n, environment: {N8N_ENCRYPTION_KEY: /run/secrets/key}}\n", i)
	}
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, want := range []fault.Exit{fault.ExitFindings, fault.ExitInterrupted} {
		var out, errs bytes.Buffer
		exit := cli.Main(ctx, []string{"key", "install", "--check-snippet", file},
			cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if exit != want {
			t.Errorf("exit %d, want %d; %s", exit, want, errs.String())
		}
		cancel()
	}
}
