package exec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/driver/exec"
	"sallyport/internal/secret"
)

// TestMain is the command too: with the argument command it answers as that of a provider whose keys are the files of a
// folder.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "command" {
		os.Exit(command(os.Args[2]))
	}
	os.Exit(m.Run())
}

func command(dir string) int {
	var r map[string]any
	text, _ := io.ReadAll(os.Stdin)
	if err := json.Unmarshal(text, &r); err != nil {
		return 1
	}
	label, _ := r["label"].(string)
	id, _ := r["key"].(string)
	switch r["action"] {
	case "create":
		files, _ := os.ReadDir(dir)
		if len(files) > 1 {
			fmt.Fprintln(os.Stderr, "two keys already, and", r["current"])
			return 4
		}
		if err := os.WriteFile(filepath.Join(dir, "key-of-"+label), []byte(label), 0o600); err != nil {
			return 1
		}
		fmt.Printf(`{"key": {"id": "key-of-%s"}, "value": "value-of-%s"}`, label, label)
	case "list":
		files, _ := os.ReadDir(dir)
		keys := []map[string]string{}
		for _, file := range files {
			keys = append(keys,
				map[string]string{"id": file.Name(), "label": strings.TrimPrefix(file.Name(), "key-of-")})
		}
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"keys": keys})
	case "delete":
		_ = os.Remove(filepath.Join(dir, id))
	case "test":
		if _, err := os.Stat(filepath.Join(dir, id)); err != nil {
			fmt.Fprintf(os.Stderr, "%s no such key for %s, admin %v, variable %q\n", strings.Repeat("x", 150),
				r["value"], r["secrets"], os.Getenv("NOT_PASSED"))
			return 3
		}
	case "set":
		fmt.Println("not JSON")
	case "undo":
		time.Sleep(time.Minute)
	}
	return 0
}

func open(t *testing.T, s exec.Settings) driver.Driver {
	t.Helper()
	t.Setenv("NOT_PASSED", "it was")
	s.Command = []string{os.Args[0], "command", t.TempDir()}
	s.Refs = map[string]secret.Ref{"admin": {Store: "builtin", Path: "admin"}}
	d, err := s.Open(t.Context(), driver.Host{Environ: os.Environ(), Secret: secretOf})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var job = driver.Job{Rotation: "crm", Run: "r1", Current: secret.NewValue([]byte("the-current-value"))}

// TestSteps: a key is made, listed by its label, tested and deleted, each as often as it comes.
func TestSteps(t *testing.T) {
	d := open(t, exec.Settings{Mints: true, Lists: true, Deletes: true, MaxKeys: 2})
	made, err := d.Create(t.Context(), job)
	if err != nil || made.Key.ID == "" || string(made.Value.Reveal()) != "value-of-"+job.Label() {
		t.Fatalf("create: %v, %v", made.Key, err)
	}
	for range 2 {
		if err := errors.Join(d.Set(t.Context(), job, made), d.Test(t.Context(), job, made)); err != nil {
			t.Error(err)
		}
	}
	keys, err := d.Keys(t.Context(), job)
	if err != nil || len(keys) != 1 || keys[0].Label != job.Label() || keys[0].ID != made.Key.ID {
		t.Errorf("list: %v, %v", keys, err)
	}
	for range 2 {
		if err := d.Delete(t.Context(), job, made.Key.ID); err != nil {
			t.Error(err)
		}
	}
	if keys, err = d.Keys(t.Context(), job); err != nil || len(keys) != 0 {
		t.Errorf("list: %v, %v", keys, err)
	}
}

// TestErrors: a command's end says whether anything has happened, and its words come without what it was given.
func TestErrors(t *testing.T) {
	d := open(t, exec.Settings{Mints: true, Lists: true, Deletes: true})
	made := driver.Made{Key: driver.Key{ID: "gone"}, Value: secret.NewValue([]byte("the-new-value"))}
	err := d.Test(t.Context(), job, made)
	if !errors.Is(err, driver.ErrRefused) || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("a refusal: %v", err)
	}
	if text := err.Error(); strings.Contains(text, "the-n") || strings.Contains(text, "admin-k") ||
		strings.Contains(text, "it was") {
		t.Errorf("it tells: %s", text)
	}
	for range 2 {
		_, err = d.Create(t.Context(), driver.Job{
			Rotation: "crm", Run: t.Name() + time.Now().String(),
			Current: job.Current,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err = d.Create(t.Context(), job); !errors.Is(err, driver.ErrLimit) ||
		strings.Contains(err.Error(), "the-current-value") {
		t.Errorf("the limit: %v", err)
	}
	slow := open(t, exec.Settings{MaxKeys: 1, Timeout: 50 * time.Millisecond})
	if err := slow.Undo(t.Context(), job, made); !errors.Is(err, driver.ErrUnclear) ||
		!strings.Contains(err.Error(), "longer than") {
		t.Errorf("too slow: %v", err)
	}
	missing, err := (&exec.Settings{Command: []string{"/nowhere/at/all"}}).Open(t.Context(), driver.Host{})
	if err != nil {
		t.Fatal(err)
	}
	if err := missing.Test(t.Context(), job, made); !errors.Is(err, driver.ErrUnclear) {
		t.Errorf("no such command: %v", err)
	}
}

// TestMadeUp: without mints Sallyport makes the value up, and the command is not asked.
func TestMadeUp(t *testing.T) {
	d := open(t, exec.Settings{MaxKeys: 1, Length: 64, Alphabet: "hex"})
	made, err := d.Create(t.Context(), job)
	if err != nil || made.Value.Len() != 64 {
		t.Errorf("got %d bytes, %v", made.Value.Len(), err)
	}
	if err := d.Set(t.Context(), job, made); err != nil {
		t.Errorf("what the command prints at set does not matter: %v", err)
	}
}

// secretOf is the store of the tests.
func secretOf(context.Context, secret.Ref) (secret.Value, error) {
	return secret.NewValue([]byte("admin-key-value")), nil
}

// TestWordsTellNothing: what a command says is shown without the values that it knows, however it writes them.
func TestWordsTellNothing(t *testing.T) {
	for _, c := range []struct{ name, current, script, secret string }{
		{"a line of several", "first-line\nsecond-canary\n", "echo bad second-canary >&2; exit 3", "second-canary"},
		{"as JSON", `ca"na<ry-7f`, `printf '%s' 'bad ca\"na\u003cry-7f' >&2; exit 3`, "ry-7f"},
		{"in a URL", "ca/na ry?7f", "echo 'GET /x?key=ca%2Fna+ry%3F7f' >&2; exit 3", "ry%3F7f"},
		{"in Basic", "canary-77", "echo Basic Y2FuYXJ5LTc3 >&2; exit 3", "Y2FuYXJ5"},
		{"with blanks that are cleaned", "canary  \t77", "printf 'bad canary  \\t77' >&2; exit 3", "canary"},
		{"of a key just made", "x", `echo '{"value": "minted-canary"'; echo minted-canary >&2; exit 1`, "canary"},
	} {
		d, err := (&exec.Settings{Command: []string{"/bin/sh", "-c", "cat >/dev/null; " + c.script}, Mints: true}).Open(
			t.Context(), driver.Host{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Create(t.Context(), driver.Job{Current: secret.NewValue([]byte(c.current))})
		if err == nil || strings.Contains(err.Error(), c.secret) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestAnswersRefused: a value that JSON cannot carry is neither handed over nor taken, nor is a key taken whose name
// cannot be printed.
func TestAnswersRefused(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	d, err := (&exec.Settings{Command: []string{"/bin/sh", "-c", "touch " + ran}}).Open(t.Context(), driver.Host{})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Set(t.Context(), job, driver.Made{Value: secret.NewValue([]byte("canary\xff"))})
	if _, there := os.Stat(ran); !errors.Is(err, driver.ErrRefused) || there == nil {
		t.Errorf("a value that is not UTF-8: %v, and the command ran: %t", err, there == nil)
	}
	for name, answer := range map[string]string{
		"a value that is not UTF-8": `{"key": {"id": "a"}, "value": "\377"}`,
		"an id of a terminal":       `{"key": {"id": "\\u001b[2J"}, "value": "x"}`,
		"a label of two lines":      `{"key": {"id": "a", "label": "b\\nc"}, "value": "x"}`,
		"an id without end":         `{"key": {"id": "` + strings.Repeat("a", 1000) + `"}, "value": "x"}`,
	} {
		s := exec.Settings{Command: []string{"/bin/sh", "-c", "cat >/dev/null; printf '" + answer + "'"}, Mints: true}
		d, err := s.Open(t.Context(), driver.Host{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Create(t.Context(), job); !errors.Is(err, driver.ErrUnclear) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
