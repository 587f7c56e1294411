package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

	"sallyport/e2e/lab"
)

// verify starts the n8n that made a recording on it: it must take its key and serve, take its API key, and decrypt each credential
// to what the manifest says.
func verify(ctx context.Context, r Recipe, tools, out string) error {
	m, database, err := read(out, r)
	if err != nil {
		return err
	}
	install, err := installed(ctx, tools, "n8n", r.Version)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "n8n-verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	store, err := openStore(ctx, r, tools, install, folder, database)
	if err != nil {
		return err
	}
	defer store.Down()
	settings := append([]string{"N8N_ENCRYPTION_KEY=" + m.Master, "DB_TABLE_PREFIX=" + r.Prefix, "N8N_EXPRESSION_ENGINE=legacy"}, store.Settings()...)
	n, err := lab.Setup{Install: install, Folder: folder, Settings: settings}.Resume(ctx, m.APIKeys[0].Raw)
	if err != nil {
		return err
	}
	defer n.Stop()
	exported, err := n.Decrypted(ctx, "--all")
	if err != nil {
		return err
	}
	return same(m, exported)
}

func same(m Manifest, exported []lab.Exported) error {
	got := make(map[string]map[string]any)
	for _, c := range exported {
		got[c.ID] = c.Data
	}
	for _, want := range m.Credentials {
		if !reflect.DeepEqual(got[want.ID], want.Data) {
			return fmt.Errorf("n8n decrypts credential %q to something else", want.Name)
		}
	}
	if len(got) != len(m.Credentials) {
		return fmt.Errorf("%d credentials in n8n, %d in the manifest", len(got), len(m.Credentials))
	}
	fmt.Printf("%-28s n8n starts with its key, takes its API key, and decrypts %d credentials\n", m.Name, len(got))
	return nil
}

func read(out string, r Recipe) (m Manifest, database []byte, err error) {
	text, errText := unpack(filepath.Join(out, r.Name+".json.gz"))
	database, err = unpack(filepath.Join(out, r.Name+extension(r.Dialect)))
	if err := errors.Join(errText, err); err != nil {
		return m, nil, err
	}
	return m, database, json.Unmarshal(text, &m)
}

func unpack(file string) ([]byte, error) {
	packed, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}
