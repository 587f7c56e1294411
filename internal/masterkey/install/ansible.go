package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	vault "github.com/sosedoff/ansible-vault-go"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// NewAnsible is files of variables, encrypted as ansible-vault does (format 1.1): out is a file or a folder, "" the
// working folder. The password is read from passwordFile as Ansible reads it: a program is run.
func NewAnsible(ctx context.Context, name, out, passwordFile string) (Target, error) {
	family, err := named(name, identifier, "a-z, A-Z, 0-9 and '_', not beginning with a digit")
	if err != nil {
		return nil, err
	}
	password, err := vaultPassword(ctx, passwordFile)
	if err != nil {
		err = fmt.Errorf("reading the vault's password: %w", err)
		if fault.HintOf(err) == "" {
			err = fault.WithHint(err,
				"--vault-password-file names the file that ansible-vault is given, or the program that prints the "+
					"password")
		}
		return nil, err
	}
	a := ansible{password: password}
	return newFile(form{
		extension: ".yml", seal: a.encrypt, open: a.decrypt,
		how:     "the vault was decrypted again and compared: it holds the same key",
		snippet: ansibleSnippet,
		notes:   func(string) []string { return nil },
	}, family, out, "."), nil
}

func ansibleSnippet(name, path string) string {
	return fmt.Sprintf(`- hosts: n8n
  vars_files:
    - %[2]s
  tasks:
    - name: n8n's master key
      ansible.builtin.copy:     # or template: with a file that says {{ %[1]s }}
        content: "{{ %[1]s }}"
        dest: /etc/n8n/%[1]s
        owner: "1000"           # the user that runs n8n
        mode: "0400"
      no_log: true
      diff: false

# and in the environment of every n8n: main, webhook, worker
N8N_ENCRYPTION_KEY_FILE=/etc/n8n/%[1]s
`, name, path)
}

// vaultPassword reads a password file as Ansible does.
func vaultPassword(ctx context.Context, path string) (secret.Value, error) {
	if path == "" {
		return secret.Value{}, fault.WithExit(fault.WithHint(errors.New("there is none"),
			"name its file: --vault-password-file FILE"), fault.ExitUsage)
	}
	info, err := os.Stat(path)
	if err != nil {
		return secret.Value{}, err
	}
	var content []byte
	if info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
		content, err = exec.CommandContext(ctx, absolute(path)).Output() //nolint:gosec // the operator's program, as Ansible runs it
	} else {
		content, err = readFile(path)
	}
	content = bytes.TrimSpace(content)
	if err == nil && len(content) == 0 {
		err = fmt.Errorf("%q gives none", filepath.Base(path))
	}
	return secret.NewValue(content), err
}

type ansible struct{ password secret.Value }

// document is a file of variables with the key. It is tagged so that Ansible does not take braces in it for a template.
func document(name string, key secret.Value) (string, error) {
	quoted, err := json.Marshal(string(key.Reveal())) // JSON's strings are YAML's
	return fmt.Sprintf("# n8n's master key\n%s: !unsafe %s\n", name, quoted), err
}

func (a ansible) encrypt(_ context.Context, name string, key secret.Value) (secret.Value, error) {
	text, err := document(name, key)
	if err != nil {
		return secret.Value{}, err
	}
	sealed, err := vault.Encrypt(text, string(a.password.Reveal()))
	return secret.NewValue([]byte(sealed + "\n")), err
}

// decrypt gives the zero Value for what is under another password, or is no document of ours.
func (a ansible) decrypt(_ context.Context, name string, content []byte) (secret.Value, error) {
	text, err := vault.Decrypt(string(content), string(a.password.Reveal()))
	if err != nil {
		return secret.Value{}, nil // not ours: it is left alone
	}
	for line := range strings.Lines(text) {
		quoted, ok := strings.CutPrefix(line, name+": !unsafe ")
		var key string
		if ok && json.Unmarshal([]byte(quoted), &key) == nil {
			return secret.NewValue([]byte(key)), nil
		}
	}
	return secret.Value{}, nil
}
