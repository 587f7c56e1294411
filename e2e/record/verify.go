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
	"slices"
	"strings"

	"sallyport/e2e/lab"
)

// verify starts the n8n that made a recording on it: it must take its key and serve, take its API key, and decrypt each
// value to what the manifest says.
func verify(ctx context.Context, r Recipe, tools, out string) error {
	fmt.Printf("%s: ", r.Name)
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
	h, err := newHook()
	if err != nil {
		return err
	}
	defer h.remove()
	settings := slices.Concat(r.settings(), h.settings(), store.Settings(), []string{"RECORD_READ=true"})
	if r.Rotated {
		settings = append(settings, rotation()...)
	}
	n, err := lab.Setup{Install: install, Folder: folder, Settings: settings}.Resume(ctx, m.APIKeys[0].Raw)
	if err != nil {
		return err
	}
	defer n.Stop()
	told, err := h.ask(ctx, n, m.Waiting)
	if err != nil {
		return err
	}
	if err := same(m.Told, told); err != nil || r.Rotated {
		return err // n8n's command line does not read prefixed values before 2.40
	}
	return exported(ctx, n, m)
}

// same compares what n8n has told. Who wrote a value it cannot tell afterwards.
func same(want, got Told) error {
	of := func(t Told) []Value {
		values := slices.Clone(t.Values)
		for i := range values {
			values[i].By = ""
		}
		slices.SortFunc(values, func(a, b Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return values
	}
	if !reflect.DeepEqual(of(want), of(got)) {
		return errors.New("n8n decrypts other values than the manifest has")
	}
	for _, key := range want.DataKeys {
		if !slices.Contains(got.DataKeys, key) {
			return fmt.Errorf("n8n has another deployment key %q of type %s", key.ID, key.Type)
		}
	}
	fmt.Printf("n8n serves, takes its API key, and decrypts %d values and %d deployment keys\n", len(got.Values),
		len(want.DataKeys))
	return nil
}

// exported asks n8n's command line for the credentials in the clear.
func exported(ctx context.Context, n *lab.N8N, m Manifest) error {
	list, err := n.Decrypted(ctx, "--all")
	if err != nil {
		return err
	}
	got := make(map[string]map[string]any)
	for _, c := range list {
		got[c.ID] = c.Data
	}
	for _, want := range m.Credentials {
		if !reflect.DeepEqual(got[want.ID], want.Data) {
			return fmt.Errorf("n8n exports credential %q as something else", want.Name)
		}
	}
	if len(got) != len(m.Credentials) {
		return fmt.Errorf("%d credentials exported, %d in the manifest", len(got), len(m.Credentials))
	}
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
