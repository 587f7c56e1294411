package cli_test

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit"
	"sallyport/internal/testkit/recorded"
)

var postgres testkit.Postgres

// installation is a recorded database in PostgreSQL, and two processes on it that have its master key.
type installation struct {
	t                 *testing.T
	dir, url          string
	old, fresh        secret.Value
	said              bytes.Buffer // all that sallyport has printed
	environ, selector []string
}

// install has nodes read their key from a file, or with store by `sallyport run` from the builtin store.
func install(t *testing.T, store bool) *installation {
	t.Helper()
	r := recorded.Named(t, "2.41.1-postgres")
	i := &installation{t: t, dir: t.TempDir(), url: postgres.URL(t), old: secret.NewValue([]byte(r.Master))}
	raw, err := sql.Open("pgx", i.url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ExecContext(t.Context(), string(r.SQL(t))); err != nil {
		t.Fatal(err)
	}
	_ = raw.Close()
	i.fresh = masterkey.Generate()
	key := i.file("node.key", string(i.old.Reveal()))
	i.file("old.key", string(i.old.Reveal()))
	i.file("new.key", string(i.fresh.Reveal()))
	i.file("database.url", i.url)
	config := filepath.Join(i.dir, "gate.yaml")
	i.environ = append(os.Environ(), "NODES="+i.dir, "NODES_DATABASE="+i.url, "HOME="+i.dir)
	i.selector = []string{"--config", config}
	i.must("init")
	way := "exec:env N8N_ENCRYPTION_KEY_FILE=" + key
	wrapper := "env N8N_ENCRYPTION_KEY_FILE=" + key
	if store {
		wrapper = "env N8N_ENCRYPTION_KEY=ref+builtin://n8n/master sallyport --config " + config + " run --"
		way = "exec:" + wrapper
		i.in(string(i.old.Reveal()), "secret", "set", "n8n/master")
	}
	i.file("wrapper", wrapper)
	content, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	fleet := "\nfleets:\n  prod:\n    kind: command\n    settle: 1s\n    timeout: 20s\n    units:\n"
	for _, name := range []string{"worker", "main"} {
		fleet += fmt.Sprintf("      - {name: %[1]s, restart: [\"false\"], status: [n8nnode, status, %[1]s], "+
			"stop: [n8nnode, stop, %[1]s], start: [n8nnode, start, %[1]s], node: %q}\n", name, way)
	}
	i.file("gate.yaml", string(content)+fleet)
	for _, name := range []string{"worker", "main"} {
		i.node("start", name)
		t.Cleanup(func() { i.node("stop", name) })
	}
	for looks := 0; i.list() != "ready ready"; looks++ { // each look is a process
		if looks == 100 {
			t.Fatalf("the nodes are %s", i.list())
		}
	}
	return i
}

func (i *installation) file(name, content string) string {
	i.t.Helper()
	path := filepath.Join(i.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		i.t.Fatal(err)
	}
	return path
}

func (i *installation) command(args ...string) *exec.Cmd {
	cmd := exec.Command("sallyport", slices.Concat(i.selector, args)...)
	cmd.Env, cmd.Dir = i.environ, i.dir
	return cmd
}

// run returns what is printed, and the exit code.
func (i *installation) run(args ...string) (string, int) {
	i.t.Helper()
	cmd := i.command(args...)
	out, _ := cmd.CombinedOutput()
	i.said.Write(out)
	return string(out), cmd.ProcessState.ExitCode()
}

func (i *installation) must(args ...string) string {
	i.t.Helper()
	out, exit := i.run(args...)
	if exit != 0 {
		i.t.Fatalf("sallyport %q ended with %d:\n%s", args, exit, out)
	}
	return out
}

func (i *installation) in(input string, args ...string) {
	i.t.Helper()
	cmd := i.command(args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		i.t.Fatalf("sallyport %q: %v\n%s", args, err, out)
	}
}

func (i *installation) node(do, name string) {
	cmd := exec.Command("n8nnode", do, name)
	cmd.Env = i.environ
	_ = cmd.Run()
}

// list are the states of the units.
func (i *installation) list() string {
	i.t.Helper()
	out, _ := i.run("fleet", "list", "prod", "--json")
	var all []struct{ Units []struct{ State string } }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		i.t.Fatalf("%v:\n%s", err, out)
	}
	var states []string
	for _, u := range all[0].Units {
		states = append(states, u.State)
	}
	return strings.Join(states, " ")
}

// opens tells whether a key opens everything.
func (i *installation) opens(key secret.Value) bool {
	i.t.Helper()
	db, err := database.Open(i.t.Context(), database.Options{URL: i.url})
	if err != nil {
		i.t.Fatal(err)
	}
	defer db.Close()
	v, err := survey.Check(i.t.Context(), db, key)
	if err != nil {
		i.t.Fatal(err)
	}
	return v.Result == survey.Match
}

// byFiles is the command whose keys are in files.
func (i *installation) byFiles(more ...string) []string {
	return append([]string{
		"key", "rekey", "--stop-fleet", "prod", "--database-file", "database.url", "--old-key-file", "old.key",
		"--new-key-file", "new.key", "--node-key-file", "node.key",
	}, more...)
}

// keepsQuiet: no key was printed, put into the record, or left in clear where the nodes do not read it.
func (i *installation) keepsQuiet() {
	i.t.Helper()
	kept, err := filepath.Glob(filepath.Join(i.dir, "*", "fleet", "*"))
	if err != nil || len(kept) == 0 {
		i.t.Fatalf("there is no record: %q, %v", kept, err)
	}
	for _, path := range kept {
		content, err := os.ReadFile(path)
		if err != nil {
			i.t.Fatal(err)
		}
		i.said.Write(content)
	}
	for _, key := range []secret.Value{i.old, i.fresh} {
		if bytes.Contains(i.said.Bytes(), key.Reveal()) {
			i.t.Error("a master key was printed, or is in the record of the fleet")
		}
	}
}

// TestRekeyFleet changes the key of running processes in one command: the dry run touches nothing, afterwards the
// processes are others, with the new key, and the command repeated tells that all is done.
func TestRekeyFleet(t *testing.T) {
	t.Parallel()
	i := install(t, false)
	if out := i.must(i.byFiles("--dry-run")...); !strings.Contains(out, "would stop and start: worker, 1 nodes") ||
		!strings.Contains(out, "nothing is in its way") {
		t.Errorf("the dry run says:\n%s", out)
	}
	i.file("third.key", string(masterkey.Generate().Reveal()))
	if out, exit := i.run(i.byFiles("--old-key-file", "third.key")...); exit != 12 ||
		i.list() != "ready ready" {
		t.Errorf("with the wrong key it ends with %d and the fleet is %s:\n%s", exit, i.list(), out)
	}
	out := i.must(i.byFiles()...)
	if !strings.Contains(out, "fleet prod has the new key, and the database needs it") {
		t.Errorf("it says:\n%s", out)
	}
	if i.list() != "ready ready" || i.opens(i.old) || !i.opens(i.fresh) {
		t.Errorf("the fleet is %s; old key %t, new key %t", i.list(), i.opens(i.old), i.opens(i.fresh))
	}
	if again := i.must(i.byFiles()...); !strings.Contains(again, "under the new key already") {
		t.Errorf("repeated, it says:\n%s", again)
	}
	if backups, _ := filepath.Glob(filepath.Join(i.dir, "*.backup*")); len(backups) != 1 {
		t.Errorf("there are backups %q, want one", backups)
	}
	i.keepsQuiet()
}

// TestRekeyFleetUndo takes a change back in one command, with the fleet stopped and started: by files, and by a store
// whose current version is the key that is taken back.
func TestRekeyFleetUndo(t *testing.T) {
	t.Parallel()
	i := install(t, false)
	i.must(i.byFiles("--backup", "one.backup")...)
	undo := []string{
		"key", "rekey", "--stop-fleet", "prod", "--database-file", "database.url", "--undo", "one.backup",
		"--new-key-file", "new.key", "--node-key-file", "node.key",
	}
	i.file("third.key", string(masterkey.Generate().Reveal()))
	if out, exit := i.run(append(undo, "--new-key-file", "third.key")...); exit == 0 || i.list() != "ready ready" {
		t.Errorf("with another key it ends with %d and the fleet is %s:\n%s", exit, i.list(), out)
	}
	if out, exit := i.run(append(undo, "--hold", "--old-key-out", "former.key")...); exit != 0 ||
		i.list() != "stopped stopped" || !strings.Contains(out, "stands still") {
		t.Fatalf("with --hold it ends with %d and the fleet is %s:\n%s", exit, i.list(), out)
	}
	if out, exit := i.run(i.byFiles()...); exit != 11 || !strings.Contains(out, "something else is not finished") {
		t.Errorf("another change in between ends with %d:\n%s", exit, out)
	}
	out := i.must(append(undo, "--old-key-out", "former.key")...)
	if !strings.Contains(out, "fleet prod has the old key again") || i.list() != "ready ready" || !i.opens(i.old) ||
		i.opens(i.fresh) {
		t.Errorf("the fleet is %s; old key %t, new key %t; it says:\n%s", i.list(), i.opens(i.old), i.opens(i.fresh),
			out)
	}
	for _, name := range []string{"former.key", "node.key"} {
		content, err := os.ReadFile(filepath.Join(i.dir, name))
		if err != nil || strings.TrimSpace(string(content)) != string(i.old.Reveal()) {
			t.Errorf("%s does not hold the old key: %v", name, err)
		}
	}
	i.keepsQuiet()
}

// TestRekeyFleetUndoInStore: the key that is active again is the current version of the secret too.
func TestRekeyFleetUndoInStore(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	args := []string{
		"key", "rekey", "--stop-fleet", "prod", "--database-file", "database.url", "--to", "builtin/n8n/master",
	}
	i.must(append(args, "--backup", "one.backup")...)
	if i.opens(i.old) {
		t.Fatal("the key was not changed")
	}
	out := i.must(append(args, "--undo", "one.backup")...)
	if !strings.Contains(out, "fleet prod has the old key again") || i.list() != "ready ready" || !i.opens(i.old) {
		t.Errorf("the fleet is %s; it says:\n%s", i.list(), out)
	}
	if history := i.must("secret", "history", "n8n/master"); !strings.Contains(history, "3") {
		t.Errorf("the versions are:\n%s", history)
	}
	i.keepsQuiet()
}

// TestRekeyFleetFromStore is one command without a key in any file: the old key is a version of a secret, and so is the
// new one.
func TestRekeyFleetFromStore(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	args := []string{
		"key", "rekey", "--stop-fleet", "prod", "--database-file", "database.url", "--to", "builtin/n8n/master",
	}
	i.must(append(args, "--dry-run")...)
	out := i.must(args...)
	if !strings.Contains(out, "the new key is version 2 of builtin/n8n/master, the old one version 1") ||
		i.list() != "ready ready" || i.opens(i.old) {
		t.Errorf("the fleet is %s; it says:\n%s", i.list(), out)
	}
	if listed := i.must("audit", "tail", "-n", "50"); strings.Count(listed, "key.rekey") != 2 {
		t.Errorf("on record is:\n%s", listed)
	}
	i.keepsQuiet()
}

// TestRekeyFleetHeld ends before the nodes are started, and the command without --hold goes on.
func TestRekeyFleetHeld(t *testing.T) {
	t.Parallel()
	i := install(t, false)
	args := slices.DeleteFunc(i.byFiles(), func(arg string) bool {
		return arg == "--node-key-file" || arg == "node.key"
	})
	if _, exit := i.run(args...); exit != 2 {
		t.Errorf("with no way to the nodes it ends with %d", exit)
	}
	if out := i.must(append(args, "--hold")...); !strings.Contains(out, "the same command without --hold") ||
		i.list() != "stopped stopped" || !i.opens(i.fresh) {
		t.Errorf("held, the fleet is %s; it says:\n%s", i.list(), out)
	}
	if out, exit := i.run(append(args, "--hold", "--give-up")...); exit == 0 || !strings.Contains(out, "--undo") {
		t.Errorf("giving up what is done ends with %d:\n%s", exit, out)
	}
	i.file("node.key", string(i.fresh.Reveal()))
	i.must(i.byFiles()...)
	if i.list() != "ready ready" {
		t.Errorf("the fleet is %s", i.list())
	}
}

// TestRekeyFleetFails: a change that cannot be made brings the nodes back with the old key.
func TestRekeyFleetFails(t *testing.T) {
	t.Parallel()
	i := install(t, false)
	raw, err := sql.Open("pgx", i.url) // a client that nobody stops
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	stranger, err := raw.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	out, exit := i.run(i.byFiles()...)
	if exit != 11 || !strings.Contains(out, "the nodes run again with the old key") || i.list() != "ready ready" ||
		!i.opens(i.old) {
		t.Errorf("it ends with %d and the fleet is %s:\n%s", exit, i.list(), out)
	}
	if backups, _ := filepath.Glob(filepath.Join(i.dir, "*.backup*")); len(backups) > 0 {
		t.Errorf("there are backups %q of nothing", backups)
	}
}

// TestRekeyFleetKilled kills the command after each of the lines that it prints, and repeats it: the key changes once,
// and the nodes come back.
func TestRekeyFleetKilled(t *testing.T) {
	t.Parallel()
	for _, store := range []bool{false, true} {
		t.Run(fmt.Sprintf("store %t", store), func(t *testing.T) {
			i := install(t, store)
			args := i.byFiles()
			if store {
				args = append(args[:6:6], "--to", "builtin/n8n/master")
			}
			seen := map[string]bool{}
			for i.killed(args, seen) {
			}
			if len(seen) < 8 {
				t.Errorf("it was killed after %d lines alone: %q", len(seen), slices.Sorted(maps.Keys(seen)))
			}
			if i.list() != "ready ready" || i.opens(i.old) || !store && !i.opens(i.fresh) {
				t.Errorf("the fleet is %s; the old key opens the database: %t", i.list(), i.opens(i.old))
			}
			if store {
				history := i.must("secret", "history", "n8n/master", "--json")
				if strings.Count(history, `"version"`) != 2 {
					t.Errorf("the key has versions %s, want two", history)
				}
			}
			i.keepsQuiet()
		})
	}
}

// killed runs the command and kills it after the first line that it did not print before, the times of elapsed work
// apart. false: it came to its end.
func (i *installation) killed(args []string, seen map[string]bool) bool {
	i.t.Helper()
	cmd := i.command(args...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	cmd.Stdout = &i.said
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	fresh := false
	for lines := bufio.NewScanner(errs); lines.Scan(); {
		line := lines.Text()
		i.said.WriteString(line + "\n")
		if kind, _, _ := strings.Cut(line, " of 20"); !seen[kind] && !fresh {
			seen[kind], fresh = true, true
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err != nil && !fresh {
		i.t.Fatalf("it ends with %v:\n%s", err, i.said.String())
	}
	return fresh
}
