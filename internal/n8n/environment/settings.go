package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/secret"
)

// Settings is what n8n's settings file says of the master key. n8n writes the key there in clear, wherever it had it
// from.
type Settings struct {
	Path string
	Key  secret.Value
	Mode fs.FileMode // permission bits; n8n 2.x makes it 0600, 1.x as the umask has it
}

// maxSettings bounds the file, in bytes. n8n's has under 200.
const maxSettings = 1 << 20

// ErrNoSettings tells that n8n has not been started on this folder.
var ErrNoSettings = errors.New("there is no settings file")

// SettingsPath is where n8n keeps its settings in an environment: .n8n/config in N8N_USER_FOLDER, HOME or the working
// folder.
func SettingsPath(lookup func(name string) (string, bool)) string {
	folder, ok := lookup("N8N_USER_FOLDER")
	if !ok {
		folder, _ = lookup("HOME")
	}
	return filepath.Join(folder, ".n8n", "config")
}

// ReadSettings reads the file. Its errors name it and never quote it.
func ReadSettings(path string) (Settings, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Settings{}, ErrNoSettings
	case err != nil:
		return Settings{}, fmt.Errorf("reading n8n's settings: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxSettings:
		return Settings{}, fmt.Errorf("reading n8n's settings %q: it is no file that n8n wrote", path)
	}
	content, err := os.ReadFile(path) //nolint:gosec // n8n's own file, where n8n looks for it
	if err != nil {
		return Settings{}, fmt.Errorf("reading n8n's settings: %w", err)
	}
	var doc struct {
		Key string `json:"encryptionKey"`
	}
	if json.Unmarshal(content, &doc) != nil {
		return Settings{}, fmt.Errorf("reading n8n's settings %q: it is not JSON, and n8n will not start", path)
	}
	return Settings{Path: path, Key: secret.NewValue([]byte(doc.Key)), Mode: info.Mode().Perm()}, nil
}
