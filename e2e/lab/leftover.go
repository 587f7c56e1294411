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
	exported, err := n.Decrypted(ctx, "--id="+c.ID)
	if err != nil || len(exported) != 1 {
		return "", fmt.Errorf("reading the exported credential %q: %w", c.Name, err)
	}
	value, _ := exported[0].Data["value"].(string)
	return value, nil
}

// Exported is a credential in the clear.
type Exported struct {
	ID   string         `json:"id"`
	Data map[string]any `json:"data"`
}

// Decrypted has n8n's command line export credentials in the clear: which says which, "--all" or "--id=…".
func (n *N8N) Decrypted(ctx context.Context, which string) (exported []Exported, err error) {
	folder, err := os.MkdirTemp("", "n8n-export-") // not in n8n's own folder, which is searched for the value
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "credentials.json")
	if _, err := n.CLI(ctx, "export:credentials", "--decrypted", which, "--output="+file); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return exported, json.Unmarshal(text, &exported)
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
