package lab

import (
	"context"
	"encoding/json"
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

// Value returns the value of a Header Auth credential in the clear, as n8n will send it. Only n8n's command line tells.
func (n *N8N) Value(ctx context.Context, c Credential) (string, error) {
	folder, err := os.MkdirTemp("", "n8n-export-") // not in n8n's own folder, which is searched for the value
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "credential.json")
	if _, err := n.CLI(ctx, "export:credentials", "--decrypted", "--id="+c.ID, "--output="+file); err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var exported []struct{ Data struct{ Value string } }
	if err := json.Unmarshal(text, &exported); err != nil || len(exported) != 1 {
		return "", fmt.Errorf("reading the exported credential %q: %w", c.Name, err)
	}
	return exported[0].Data.Value, nil
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
