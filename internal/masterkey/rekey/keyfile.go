package rekey

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// ChangeKeyFile puts the new key into a file from which n8n reads it (N8N_ENCRYPTION_KEY_FILE). The file is replaced in
// one step, and keeps its mode and its owner; one that has the new key is left alone, and one with a third key too,
// with an error.
func ChangeKeyFile(path string, old, fresh secret.Value) error {
	at, err := judgeKeyFile(path, old, fresh)
	if err != nil || at == "" {
		return err
	}
	info, err := os.Stat(at)
	if err == nil {
		err = replaceFile(at, info, fresh.Reveal())
	}
	if err == nil {
		err = os.Chmod(at, info.Mode().Perm())
	}
	if err != nil {
		return fault.WithHint(fmt.Errorf("putting the new key into %q: %w", path, err),
			"run this as root, or as the file's owner")
	}
	return nil
}

// CheckKeyFile tells beforehand whether ChangeKeyFile would do it.
func CheckKeyFile(path string, old, fresh secret.Value) error {
	at, err := judgeKeyFile(path, old, fresh)
	if err != nil || at == "" {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(at), ".config-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fault.WithHint(fmt.Errorf("putting a key into %q: %w", path, err),
			"run this as a user that may write to its folder; nothing was changed")
	}
	return nil
}

// judgeKeyFile returns the file itself, behind links; "" when it has the new key.
func judgeKeyFile(path string, old, fresh secret.Value) (at string, err error) {
	at, err = filepath.EvalSymlinks(path)
	var content []byte
	if err == nil {
		content, err = localfile.Read(at, localfile.Small)
	}
	if err != nil {
		return "", fault.WithHint(fmt.Errorf("reading the key file of the nodes: %w", err),
			"name the file that N8N_ENCRYPTION_KEY_FILE of the nodes leads to")
	}
	has := secret.NewValue([]byte(environment.Normalize(environment.Trim(string(content)))))
	switch {
	case !fresh.IsZero() && has.Equal(fresh):
		return "", nil
	case !has.Equal(old):
		return "", fault.WithHint(
			fault.WithExit(fmt.Errorf("the file %q has a key that is neither the old one nor the new one", path),
				fault.ExitKeyMismatch), "find out whose it is; it was left alone")
	}
	return at, nil
}
