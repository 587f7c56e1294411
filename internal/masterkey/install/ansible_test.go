package install_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey/install"
	"sallyport/internal/testkit"
)

const (
	vectorPassword = "testdata/vault-password.txt"
	vectorKey      = `q1W2"e3{{R4}}'t5\Y6/u7I8o9P0a1S2=`
)

func openAnsible(t *testing.T, out, password string) install.Target {
	t.Helper()
	p, err := install.NewAnsible(t.Context(), "", out, password)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnsible(t *testing.T) {
	dir := t.TempDir()
	p := openAnsible(t, dir, vectorPassword)
	life(t, p, func(n string) string { return filepath.Join(dir, "n8n_encryption_key_v"+n+".yml") })
	content, err := os.ReadFile(filepath.Join(dir, "n8n_encryption_key_v1.yml"))
	if err != nil || !strings.HasPrefix(string(content), "$ANSIBLE_VAULT;1.1;AES256\n") {
		t.Errorf("the file begins %.30q, %v", content, err)
	}
	if r := run(t, p, canary); !strings.Contains(r.Snippet, `content: "{{ n8n_encryption_key_v1 }}"`) {
		t.Errorf("got %s", r.Snippet)
	}
	// What is under another password is left alone.
	other := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(other, []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, run(t, openAnsible(t, dir, other), canary), filepath.Join(dir, "n8n_encryption_key_v3.yml"),
		install.Created, true)
}

// TestAnsibleVector reads what ansible-vault 2.14 has encrypted: testdata/README tells how.
func TestAnsibleVector(t *testing.T) {
	file := "testdata/n8n_encryption_key_v1.yml"
	want(t, run(t, openAnsible(t, "testdata/", vectorPassword), vectorKey), file, install.Present, true)
}

// TestAnsibleReads lets ansible-vault and Ansible itself read ours, where they are.
func TestAnsibleReads(t *testing.T) {
	program, err := exec.LookPath("ansible")
	testkit.RequireTool(t, "Ansible", err == nil,
		"`make servers` gets it (about 1 minute); TestAnsibleVector holds the format meanwhile")
	dir := t.TempDir()
	run(t, openAnsible(t, dir, vectorPassword), canary)
	file := filepath.Join(dir, "n8n_encryption_key_v1.yml")
	dest := filepath.Join(dir, "key")
	cmd := exec.Command(program, "localhost", "-i", "localhost,", "-c", "local", "--vault-password-file",
		vectorPassword, "-e", "@"+file,
		"-m", "ansible.builtin.copy", "-a", `{"content": "{{ n8n_encryption_key_v1 }}", "dest": "`+dest+
			`", "mode": "0400"}`)
	cmd.Env = append(os.Environ(), "ANSIBLE_LOCAL_TEMP="+dir, "ANSIBLE_REMOTE_TEMP="+dir, "HOME="+dir, "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if content, err := os.ReadFile(dest); err != nil || string(content) != canary {
		t.Errorf("Ansible wrote %q, %v", content, err)
	}
}

func TestAnsiblePassword(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", " the password \n", 0o600)
	program := write("program", "#!/bin/sh\necho the password\n", 0o700)
	run(t, openAnsible(t, dir, plain), canary)
	want(t, run(t, openAnsible(t, dir, program), canary), filepath.Join(dir, "n8n_encryption_key_v1.yml"),
		install.Present, true)
	for _, file := range []string{
		"", write("empty", "\n", 0o600), write("ends", "#!/bin/sh\nexit 1\n", 0o700),
		filepath.Join(dir, "none"),
	} {
		if _, err := install.NewAnsible(t.Context(), "", dir, file); err == nil {
			t.Errorf("%q is taken for a password file", file)
		}
	}
	if _, err := install.NewAnsible(t.Context(), "n8n-key", dir, plain); fault.ExitOf(err) != fault.ExitUsage {
		t.Errorf("a name that is no variable: %v", err)
	}
}
