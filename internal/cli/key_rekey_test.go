package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport/internal/cli"
	"sallyport/internal/testkit/recorded"
)

// record unpacks a recorded SQLite database and its master key: recorded NAME FILE KEYFILE
func record(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 3 {
			ts.Fatalf("usage: recorded NAME FILE KEYFILE")
		}
		r := recorded.Named(t, args[0])
		content, err := os.ReadFile(r.SQLite(t))
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), content, 0o600))
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(r.Master), 0o600))
	}
}

// TestRekeyTellsNothing runs key rekey in all its ways, right and wrong, and looks for keys, plaintexts and ciphertexts
// in everything that it prints and in the part of the backup that is not sealed.
func TestRekeyTellsNothing(t *testing.T) {
	for _, name := range []string{"1.123.81-sqlite", "2.41.1-sqlite-rotated"} {
		t.Run(name, func(t *testing.T) {
			r := recorded.Named(t, name)
			dir, database := t.TempDir(), r.SQLite(t)
			file := func(name, content string) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			const fresh, third = "c4n4ry-New-Key-0f-The-Test-1234567", "c4n4ry-Third-Key-0f-The-Test-98765"
			old, next, wrong := file("old", r.Master), file("new", fresh), file("wrong", third)
			backup := filepath.Join(dir, "backup")
			var said strings.Builder
			run := func(args ...string) {
				for _, asJSON := range [][]string{nil, {"--json"}} {
					var stdout, stderr bytes.Buffer
					all := slices.Concat([]string{
						"key", "rekey", "--database", "sqlite://" + database, "--backup",
						backup,
					}, args, asJSON)
					if slices.Contains(args, "--undo") {
						all = slices.Delete(all, 4, 6)
					}
					exit := cli.Main(context.WithoutCancel(t.Context()), all,
						cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
					fmt.Fprintf(&said, "%d\n%s%s", exit, stdout.String(), stderr.String())
				}
			}
			run("--old-key-file", wrong, "--new-key-file", next)
			run("--old-key-file", wrong, "--new-key-file", next, "--dry-run")
			run("--old-key-file", old, "--new-key-file", next, "--dry-run", "--leaked")
			run("--old-key-file", old, "--new-key-file", next, "--settings",
				file("config", `{"encryptionKey": "`+third+`"}`))
			run("--old-key-file", old, "--new-key-file", next, "--settings",
				file("config", `{"encryptionKey": "`+r.Master+`" oops`))
			run("--old-key-file", r.Master, "--new-key-file", fresh)
			run("--old-key-file", old, "--new-key-file", next)
			run("--undo", backup, "--new-key-file", wrong)
			head, err := os.ReadFile(backup)
			if err != nil {
				t.Fatalf("there is no backup:\n%s", said.String())
			}
			run("--undo", backup, "--new-key-file", next)
			said.Write(head)
			for _, v := range r.Values {
				if len(v.Plain) >= 12 && strings.Contains(said.String(), v.Plain) {
					t.Errorf("the plaintext of %s.%s of %v was printed", v.Table, v.Column, v.Key)
				}
			}
			for _, canary := range []string{fresh, third, "U2FsdGVkX1"} {
				if strings.Contains(said.String(), canary) {
					t.Errorf("%.6s… was printed", canary)
				}
			}
			if n := strings.Count(said.String(), r.Master); n > 0 {
				t.Errorf("the old key was printed %d times", n)
			}
			for _, k := range r.DataKeys {
				if k.Type != "instance.id" && strings.Contains(said.String(), k.Plain) {
					t.Errorf("the secret of a row %s was printed", k.Type)
				}
			}
			if testing.Verbose() {
				_, _ = io.WriteString(os.Stdout, said.String()[:strings.Index(said.String(), "sallyport-rekey-backup")])
			}
		})
	}
}
