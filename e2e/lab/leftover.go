package lab

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Leftovers is everything n8n wrote, and what it hands out on request, by name: the place of a find.
func (n *N8N) Leftovers(ctx context.Context) (map[string][]byte, error) {
	found := map[string][]byte{"log": n.Log()}
	export, err := n.CLI(ctx, "export:workflow", "--all", "--pretty")
	if err != nil {
		return nil, err
	}
	found["export:workflow"] = export
	return found, n.files(found)
}

// files adds every file below the folder: the database with its write-ahead log, event logs, binary data, settings.
func (n *N8N) files(found map[string][]byte) error {
	return filepath.WalkDir(n.Folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading what n8n wrote: %w", err)
		}
		name, err := filepath.Rel(n.Folder, path)
		found[name] = content
		return err
	})
}
