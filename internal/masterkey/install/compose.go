package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sallyport/internal/secret"
)

// imageUser is the user that n8n's image runs as.
const imageUser = 1000

// NewCompose is files for Docker Compose, with the bare key: out is a file or a folder, "" the working folder.
func NewCompose(name, out string) (Target, error) {
	family, err := named(name, plainName, "a-z, A-Z, 0-9, '_', '.' and '-'")
	return newFile(form{
		seal: func(_ context.Context, _ string, key secret.Value) (secret.Value, error) { return key, nil },
		open: func(_ context.Context, _ string, content []byte) (secret.Value, error) {
			return secret.NewValue(content), nil
		},
		how:     "the file was read again and compared: it holds the same key; only its owner can read it",
		snippet: composeSnippet,
		notes:   composeNotes,
	}, family, out, "."), err
}

func composeSnippet(name, path string) string {
	if !filepath.IsAbs(path) && !strings.HasPrefix(path, ".") {
		path = "./" + path
	}
	return fmt.Sprintf(`services:
  n8n:                      # and every other service that runs n8n: webhook, worker
    environment:
      N8N_ENCRYPTION_KEY_FILE: /run/secrets/%[1]s
    secrets:
      - %[1]s
secrets:
  %[1]s:
    file: %[2]s
`, name, path)
}

// composeNotes tells of the trap of Compose: a secret that is a file is mounted with the owner and the mode that it
// has.
func composeNotes(path string) []string {
	info, err := os.Stat(path)
	owner := os.Getuid()
	if err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			owner = int(stat.Uid)
		}
	}
	if owner == imageUser {
		return nil
	}
	return []string{
		fmt.Sprintf("Compose mounts the file as it is, and n8n's image runs as user %d, who cannot read it yet: "+
			"chown %d %s", imageUser, imageUser, path),
	}
}
