package rekey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// What became of a settings file.
const (
	SettingsChanged = "changed"
	SettingsAlready = "already" // it had the new key
	SettingsOther   = "other"   // it has a key that is neither, and was left alone
	SettingsAbsent  = "absent"  // n8n writes it when it starts
)

// ChangeSettings puts the new key into n8n's settings file (.n8n/config), where n8n keeps a copy of it and refuses to
// start when its environment says otherwise. Everything else in the file stays; it is replaced in one step, with mode
// 0600 and its owner.
func ChangeSettings(path string, old, fresh secret.Value) (done string, err error) {
	s, err := environment.ReadSettings(path)
	switch {
	case errors.Is(err, environment.ErrNoSettings):
		return SettingsAbsent, nil
	case err != nil:
		return "", err
	case s.Key.Equal(fresh):
		return SettingsAlready, nil
	case !s.Key.Equal(old):
		return SettingsOther, nil
	}
	if path, err = filepath.EvalSymlinks(path); err == nil { // a link stays one
		err = replaceKey(path, fresh)
	}
	if err != nil {
		return "", fault.WithHint(fmt.Errorf("changing n8n's settings %q: %w", path, err),
			"delete the file: n8n writes it again, from its environment")
	}
	return SettingsChanged, nil
}

// CheckSettings tells beforehand whether ChangeSettings would do it: a file with a third key is not for this change.
func CheckSettings(path string, old, fresh secret.Value) error {
	s, err := environment.ReadSettings(path)
	switch {
	case errors.Is(err, environment.ErrNoSettings):
		return nil
	case err != nil:
		return err
	case s.Key.Equal(fresh):
		return nil
	case !s.Key.Equal(old):
		return fault.WithHint(
			fault.WithExit(fmt.Errorf("n8n's settings %q have a key that is neither the old one nor the new one", path),
				fault.ExitKeyMismatch),
			"find out whose it is, or take the file out of --settings; nothing was changed")
	}
	if path, err = filepath.EvalSymlinks(path); err == nil {
		var f *os.File
		if f, err = os.CreateTemp(filepath.Dir(path), ".config-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fault.WithHint(fmt.Errorf("changing n8n's settings %q: %w", path, err),
			"run this as the user that n8n runs as, or as root, or delete the file afterwards; nothing was changed")
	}
	return nil
}

func replaceKey(path string, fresh secret.Value) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path) //nolint:gosec // n8n's own file, named by the operator
	if err != nil {
		return err
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(content, &doc); err != nil {
		return errors.New("it is not JSON")
	}
	if doc["encryptionKey"], err = json.Marshal(string(fresh.Reveal())); err != nil {
		return err
	}
	content, err = json.MarshalIndent(doc, "", "\t") // as n8n writes it
	if err != nil {
		return err
	}
	return replaceFile(path, info, content)
}

// replaceFile writes beside the file and renames, so that there is never half a file.
func replaceFile(path string, was fs.FileInfo, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".config-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = bytes.NewReader(content).WriteTo(f)
	if err = errors.Join(err, keepOwner(f, was), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}
