package mysql_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstallWithoutASuite: a suite that has no MySQL, or one whose server does not run, leaves word and no copy; a
// copy that does not run is not taken either. For a release that is an error.
func TestInstallWithoutASuite(t *testing.T) {
	const unpackable = `for one in "$@"; do case $one in Dir::Cache=*) : >"${one#*=}/archives/x.deb" ;; esac; done`
	for name, c := range map[string]struct{ apt, want string }{
		"no packages":             {"exit 100", "could not be fetched"},
		"a server that is broken": {unpackable, "does not run here"},
	} {
		t.Run(name, func(t *testing.T) {
			bin, tools := t.TempDir(), t.TempDir()
			for program, script := range map[string]string{
				"apt-get":  `[ "$1" != indextargets ] || { echo http://mirror.example/debian/; exit 0; }; ` + c.apt,
				"dpkg-deb": "exit 0",
			} {
				script = "#!/bin/sh\n" + script + "\n"
				if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			broken := filepath.Join(tools, "mysql-8.0.1", "usr", "sbin")
			if err := os.MkdirAll(broken, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(broken, "mysqld"), nil, 0o700); err != nil {
				t.Fatal(err)
			}
			for required, code := range map[string]int{"": 0, "required": 1} {
				cmd := exec.CommandContext(t.Context(), "../../../tools/mysql/install")
				cmd.Env = append(os.Environ(), "SALLYPORT_TOOLS="+tools, "MYSQL="+required,
					"PATH="+bin+":"+os.Getenv("PATH"))
				out, _ := cmd.Output()
				word, err := os.ReadFile(filepath.Join(tools, "mysql.missing"))
				if err != nil || !strings.Contains(string(word), c.want) || len(out) > 0 ||
					cmd.ProcessState.ExitCode() != code {
					t.Errorf("MYSQL=%s: exit code %d, printed %q, left %q (%v)", required,
						cmd.ProcessState.ExitCode(), out, word, err)
				}
			}
		})
	}
}
