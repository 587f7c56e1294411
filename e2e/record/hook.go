package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"sallyport/e2e/lab"
)

//go:embed plant.cjs
var plant []byte

// hook is plant.cjs, in a folder beside n8n's with what it is told and tells.
type hook struct{ folder string }

func newHook() (h hook, err error) {
	if h.folder, err = os.MkdirTemp("", "n8n-plant-"); err != nil {
		return h, err
	}
	return h, os.WriteFile(h.file("plant.cjs"), plant, 0o600)
}

func (h hook) remove() { os.RemoveAll(h.folder) }

func (h hook) file(name string) string { return filepath.Join(h.folder, name) }

func (h hook) settings() []string {
	return []string{
		"EXTERNAL_HOOK_FILES=" + h.file("plant.cjs"), "RECORD_GO=" + h.file("go"),
		"RECORD_OUT=" + h.file("told.json"),
	}
}

// ask lets it do its part in the running n8n, which has this waiting execution.
func (h hook) ask(ctx context.Context, n *lab.N8N, execution string) (told Told, err error) {
	if err := errors.Join(os.WriteFile(h.file("part"), []byte(execution), 0o600),
		os.Rename(h.file("part"), h.file("go"))); err != nil {
		return told, err
	}
	var text []byte
	there := func() bool { text, err = os.ReadFile(h.file("told.json")); return err == nil }
	if err := n.Await(ctx, time.Minute, there); err != nil {
		return told, err
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return told, err
	}
	if told.Error != "" {
		return told, errors.New("inside n8n: " + told.Error)
	}
	return told, nil
}
