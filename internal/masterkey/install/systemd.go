package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// credstore is where systemd looks for encrypted credentials.
const credstore = "/etc/credstore.encrypted"

// SystemdOptions say what is to be made.
type SystemdOptions struct {
	Name    string // "" is DefaultName
	Out     string // a file or a folder; "" is /etc/credstore.encrypted
	WithKey string // what to encrypt with, as systemd-creds has it: auto, host, tpm2, host+tpm2; "" is auto
	Program string // "" is systemd-creds
}

// NewSystemd is credentials that only this machine can decrypt, made by systemd-creds (systemd 250 or later).
func NewSystemd(o SystemdOptions) (Target, error) {
	family, err := named(o.Name, plainName, "a-z, A-Z, 0-9, '_', '.' and '-'")
	if o.WithKey == "" {
		o.WithKey = "auto"
	}
	if o.Program == "" {
		o.Program = "systemd-creds"
	}
	c := creds{program: o.Program, withKey: o.WithKey}
	return newFile(form{
		extension: ".cred", seal: c.encrypt, open: c.decrypt,
		how:     "systemd-creds decrypted the file and it was compared: it holds the same key",
		snippet: systemdSnippet,
		notes: func(string) []string {
			return []string{
				"it can be decrypted on this machine only: run this command on every machine that runs n8n, with the " +
					"same key",
			}
		},
	}, family, o.Out, credstore), err
}

func systemdSnippet(name, path string) string {
	return fmt.Sprintf(`# systemctl edit n8n, and every other unit that runs n8n; then systemctl daemon-reload
[Service]
LoadCredentialEncrypted=%[1]s:%[2]s
Environment=N8N_ENCRYPTION_KEY_FILE=%%d/%[1]s
`, name, absolute(path))
}

// creds is the program systemd-creds.
type creds struct{ program, withKey string }

func (c creds) encrypt(ctx context.Context, name string, key secret.Value) (secret.Value, error) {
	out, err := c.run(ctx, key.Reveal(), "encrypt", "--name="+name, "--with-key="+c.withKey, "-", "-")
	if err != nil {
		return secret.Value{}, fault.WithHint(fmt.Errorf("encrypting with systemd-creds: %w", err),
			"it needs systemd 250 or later, and root for the key of the host; --with-key host does without a TPM")
	}
	return secret.NewValue(out), nil
}

// decrypt gives the zero Value for a credential of another machine or name.
func (c creds) decrypt(ctx context.Context, name string, content []byte) (secret.Value, error) {
	out, err := c.run(ctx, content, "decrypt", "--name="+name, "-", "-")
	if _, ended := errors.AsType[*exec.ExitError](err); ended {
		return secret.Value{}, nil
	}
	return secret.NewValue(out), err
}

// run hands content over on standard input. The error has the last line of what the program complains of.
func (c creds) run(ctx context.Context, content []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.program, args...) //nolint:gosec // the operator's program; its arguments are names
	cmd.Stdin = bytes.NewReader(content)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if err != nil && complaint.Len() > 0 && !bytes.Contains(complaint.Bytes(), content) {
		lines := strings.Split(strings.TrimSpace(complaint.String()), "\n")
		err = fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return out.Bytes(), err
}
