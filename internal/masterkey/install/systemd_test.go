package install_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/masterkey/install"
	"sallyport/internal/testkit"
)

// openSystemd makes credentials with a host key of the test's own.
func openSystemd(t *testing.T, out string) install.Target {
	t.Helper()
	_, err := exec.LookPath("systemd-creds")
	testkit.RequireTool(t, "systemd-creds", err == nil, "apt-get install systemd")
	t.Setenv("SYSTEMD_CREDENTIAL_SECRET", filepath.Join(t.TempDir(), "credential.secret"))
	p, err := install.NewSystemd(install.SystemdOptions{Out: out, WithKey: "host"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSystemd(t *testing.T) {
	dir := t.TempDir()
	p := openSystemd(t, dir)
	life(t, p, func(n string) string { return filepath.Join(dir, "n8n_encryption_key_v"+n+".cred") })
	file := filepath.Join(dir, "n8n_encryption_key_v1.cred")
	if content, err := os.ReadFile(file); err != nil || strings.Contains(string(content), "cAn4ry") {
		t.Errorf("the file has the key in clear, or is not there: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	r := run(t, p, canary)
	for _, line := range []string{
		"LoadCredentialEncrypted=n8n_encryption_key_v1:" + file,
		"Environment=N8N_ENCRYPTION_KEY_FILE=%d/n8n_encryption_key_v1",
	} {
		if !strings.Contains(r.Snippet, line+"\n") {
			t.Errorf("no %q in %s", line, r.Snippet)
		}
	}
	// systemd decrypts it under the name that the unit gives it, and under no other.
	for name, works := range map[string]bool{"n8n_encryption_key_v1": true, "n8n_encryption_key_v2": false} {
		out, err := exec.Command("systemd-creds", "decrypt", "--newline=no", "--name="+name, file, "-").Output()
		if works != (err == nil && string(out) == canary) {
			t.Errorf("as %s: %v", name, err)
		}
	}
	// A credential of another machine is left alone.
	t.Setenv("SYSTEMD_CREDENTIAL_SECRET", filepath.Join(t.TempDir(), "another.secret"))
	want(t, run(t, p, canary), filepath.Join(dir, "n8n_encryption_key_v3.cred"), install.Created, true)
}

func TestSystemdFailure(t *testing.T) {
	p, err := install.NewSystemd(install.SystemdOptions{Out: t.TempDir(), WithKey: "no-such-key"})
	if err != nil {
		t.Fatal(err)
	}
	_ = openSystemd(t, t.TempDir()) // skips where there is no systemd
	_, err = install.Run(t.Context(), p, value(canary))
	if err == nil || !strings.Contains(err.Error(), "encrypting with systemd-creds: exit status 1: ") {
		t.Fatalf("got %v", err)
	}
	silent(t, err.Error())
	p, err = install.NewSystemd(install.SystemdOptions{Out: t.TempDir(), Program: "/nonexistent/systemd-creds"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = install.Run(t.Context(), p, value(canary)); err == nil {
		t.Error("without the program it works")
	}
}
