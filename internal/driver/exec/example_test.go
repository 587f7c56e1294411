package exec_test

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/exec"
	"sallyport/internal/secret"
	"sallyport/internal/testkit"
)

// TestPage holds the command and the configuration of the page to the contract of drivers.
func TestPage(t *testing.T) {
	_, err := osexec.LookPath("openssl")
	testkit.RequireTool(t, "openssl", err == nil, "apt-get install openssl")
	drivertest.Run(t, func(t *testing.T) *drivertest.World {
		t.Helper()
		dir := t.TempDir()
		command, file := filepath.Join(dir, "rotate-htpasswd"), filepath.Join(dir, "htpasswd")
		script := drivertest.Block(t, exec.Kind(), "sh", 0)
		if err := os.WriteFile(command, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		const first = "passwordUntilNow1"
		values := []string{first}
		write(t, file, "n8n:"+hash(t, first, "abcdefgh")+"\n")
		s := drivertest.Example(t, exec.Kind()).(*exec.Settings)
		s.Command[0] = command
		var before, after func() error
		return &drivertest.World{
			Open: func(t *testing.T) driver.Driver {
				t.Helper()
				d, err := s.Open(t.Context(), driver.Host{Environ: append(os.Environ(), "HTPASSWD="+file)})
				if err != nil {
					t.Fatal(err)
				}
				return &drivertest.Around{Driver: d, Before: &before, After: &after}
			},
			Current: secret.NewValue([]byte(first)),
			Accepts: func(value secret.Value) bool {
				values = append(values, string(value.Reveal()))
				line, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				user, has, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
				return user == "n8n" && has == hash(t, string(value.Reveal()), strings.Split(has, "$")[2])
			},
			Values: func() []string { return values },
			Hook:   func(b, a func() error) { before, after = b, a },
		}
	})
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hash is how crypt(3) writes a password of SHA-512.
func hash(t *testing.T, password, salt string) string {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), "openssl", "passwd", "-6", "-stdin", "-salt", salt)
	cmd.Stdin = strings.NewReader(password)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
