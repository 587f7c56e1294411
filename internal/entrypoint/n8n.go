package entrypoint

import (
	"errors"
	"fmt"
	"os"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// keyCheck keeps n8n from starting with a master key that is a mistake.
type keyCheck struct{ role environment.Role }

// check looks at the environment that n8n would get.
func (g *keyCheck) check(lookup func(string) (string, bool), note func(string, ...any)) VariableErrors {
	key, isSet, err := masterKey(lookup)
	if err != nil {
		return VariableErrors{{Name: environment.KeyFileName, Err: err}}
	}
	settings, err := environment.ReadSettings(environment.SettingsPath(lookup))
	fresh := errors.Is(err, environment.ErrNoSettings)
	if err != nil && !fresh {
		note("warning: %v", err)
	}
	if !isSet {
		g.keyless(fresh, note)
		return nil
	}
	if problem, hint := environment.KeyProblem(string(key.Reveal()), exists); problem != "" {
		return VariableErrors{keyFailure(problem, hint)}
	}
	if doubt := environment.KeyDoubt(string(key.Reveal())); doubt != "" {
		note("warning: %s %s: it is easily guessed", environment.KeyName, doubt)
	}
	if err != nil {
		return nil //nolint:nilerr // told above, or fresh: there is nothing to compare the key with
	}
	return compare(key, settings, note)
}

// masterKey is the key that n8n would read: a variable, though empty, comes before a file.
func masterKey(lookup func(string) (string, bool)) (key secret.Value, isSet bool, err error) {
	if value, ok := lookup(environment.KeyName); ok {
		return secret.NewValue([]byte(value)), true, nil
	}
	path, ok := lookup(environment.KeyFileName)
	if !ok || path == "" {
		return secret.Value{}, false, nil
	}
	key, err = readSecretFile(file{name: environment.KeyName, path: path})
	return key, err == nil, err
}

// keyless tells what n8n does without a key. A worker says so itself, and ends.
func (g *keyCheck) keyless(fresh bool, note func(string, ...any)) {
	if fresh && g.role == environment.Webhook {
		note("warning: %s is not set: this webhook process will make a key of its own, with which it can read no "+
			"credential", environment.KeyName)
	}
}

// compare holds the key against the copy that n8n keeps.
func compare(key secret.Value, s environment.Settings, note func(string, ...any)) VariableErrors {
	if s.Mode&0o077 != 0 {
		note("warning: n8n's settings file %s, which holds the master key in clear, can be read by others (mode "+
			"%04o); `chmod 600` it", s.Path, s.Mode)
	}
	normal := secret.NewValue([]byte(environment.Normalize(string(key.Reveal()))))
	if normal.Equal(s.Key) {
		return nil
	}
	err := fmt.Errorf("is not the key in n8n's settings file %q; n8n would refuse to start", s.Path)
	hint := "if the key was changed on purpose and n8n's database re-encrypted, move the file away, n8n writes it " +
		"again; if not, hand over the key that encrypted the database"
	return VariableErrors{{
		Name: environment.KeyName,
		Err:  fault.WithExit(fault.WithHint(err, hint), fault.ExitKeyMismatch),
	}}
}

func exists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
