package check_test

import (
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
)

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	written(t, dir, "prod/compose.yaml", "services:\n  n8n:\n    image: n8nio/n8n\n    environment:\n"+
		"      - N8N_ENCRYPTION_KEY="+canary+"\n", 0o600)
	written(t, dir, "prod/.env", "N8N_ENCRYPTION_KEY="+canary+"\n", 0o600)
	written(t, dir, "chart/values.yaml", "n8n:\n  encryptionKey: "+canary+"\n", 0o600)
	written(t, dir, "good/compose.yaml", "services:\n  n8n:\n    image: n8nio/n8n\n    environment:\n"+
		"      N8N_ENCRYPTION_KEY_FILE: /run/secrets/key\n    secrets: [key]\nsecrets:\n  key: {external: "+
		"true}\n", 0o600)
	written(t, dir, ".git/config", "N8N_ENCRYPTION_KEY="+canary+"\n", 0o600)
	written(t, dir, "big.env", string(make([]byte, 2<<20)), 0o600)

	r := one(t, "key-files", &site.Site{Files: []string{dir}})
	golden(t, "key-files", r, dir, "DIR")
	has(t, r, doctor.Failed, "in clear")

	if r := one(t, "key-files", &site.Site{Files: []string{filepath.Join(dir, "good")}}); r.Status != doctor.OK {
		t.Errorf("got %+v", r.Seen)
	}
	// where nothing starts n8n, nothing is proved
	for _, nothing := range []string{t.TempDir(), filepath.Join(dir, "no-such-folder")} {
		if r := one(t, "key-files", &site.Site{Files: []string{nothing}}); r.Status != doctor.Unseen {
			t.Errorf("%s: got %+v", nothing, r.Seen)
		}
	}
	if os.Getuid() != 0 {
		shut := filepath.Join(dir, "shut")
		written(t, shut, "compose.yaml", "services: {}", 0o000)
		if r := one(t, "key-files", &site.Site{Files: []string{shut}}); r.Status != doctor.Unseen {
			t.Errorf("got %+v", r.Seen)
		}
	}
}
