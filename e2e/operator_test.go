package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/e2e/gate"
	"sallyport/e2e/lab"
)

// What `sallyport key` ends with (docs/errors.md).
const (
	exitFindings = 3
	exitAtWork   = 11
	exitOtherKey = 12
)

// An operator changes n8n's master key on the command line, in a folder of his own. All that he is shown is kept.
type operator struct {
	binary, folder string
	secrets        map[string]lab.Canary // by what they are: the master keys have a file of that name
	shown          map[string][]byte
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	binary, err := gate.Build(t.Context(), "..", t.TempDir())
	must(t, "building", err)
	o := &operator{binary: binary, folder: t.TempDir(), secrets: map[string]lab.Canary{}, shown: map[string][]byte{}}
	for _, name := range []string{"old", "new", "next"} {
		o.secrets[name] = lab.NewCanary("mk")
		must(t, "writing a key", os.WriteFile(o.keyFile(name), []byte(o.secrets[name]), 0o600))
	}
	return o
}

func (o *operator) file(name string) string { return filepath.Join(o.folder, name) }

func (o *operator) keyFile(name string) string { return o.file(name + ".key") }

// fromTo is the flags of a change of the key.
func (o *operator) fromTo(from, to string, more ...string) []string {
	return append([]string{"--old-key-file", o.keyFile(from), "--new-key-file", o.keyFile(to)}, more...)
}

// key runs `sallyport key`, wants it to end with exit, and returns what it printed to stdout.
func (o *operator) key(t *testing.T, exit int, args ...string) []byte {
	t.Helper()
	stdout, stderr, err := o.run(t.Context(), args...)
	code := 0
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		code, err = ended.ExitCode(), nil
	}
	must(t, "running sallyport", err)
	if code != exit {
		t.Fatalf("sallyport key %s ended with %d, want %d\n%s%s", strings.Join(args, " "), code, exit, stdout, stderr)
	}
	told := func(what string) bool { // as text, or with --json
		return bytes.Contains(stderr, []byte(what+": ")) || bytes.Contains(stderr, []byte(`"`+what+`":`))
	}
	if exit != 0 && (!told("error") || !told("hint")) {
		t.Errorf("sallyport key %s says neither what is wrong nor what to do: %s", args[0], stderr)
	}
	return stdout
}

// said is what the latest command printed to stderr.
func (o *operator) said() string { return string(o.shown[fmt.Sprintf("stderr %d", len(o.shown)/2)]) }

func (o *operator) run(ctx context.Context, args ...string) (stdout, stderr []byte, err error) {
	return o.runIn(ctx, []string{"HOME=" + o.folder, "PATH=" + os.Getenv("PATH")}, args...)
}

// runIn runs it with an environment of someone else's.
func (o *operator) runIn(ctx context.Context, environ []string, args ...string) (stdout, stderr []byte, err error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, o.binary, append([]string{"key"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.folder, &out, &errOut
	cmd.Env = environ
	err = cmd.Run()
	number := len(o.shown)/2 + 1
	o.shown[fmt.Sprintf("stdout %d", number)], o.shown[fmt.Sprintf("stderr %d", number)] = out.Bytes(), errOut.Bytes()
	return out.Bytes(), errOut.Bytes(), err
}

// changeReport is what of `key rekey --json` the tests look at.
type changeReport struct {
	Changed, Already, Kept int
	Backup                 string
	Warnings               []string
	Survey                 struct{ Places []place }
	After                  struct{ Settings map[string]string }
}

// place is what one column holds.
type place struct {
	Place      string
	Values     int
	Forms      map[string]int
	Masters    []int // values under the old key and under the new one
	DataKeys   int   `json:"data_keys"`
	Unreadable int
}

func (r changeReport) place(name string) place {
	i := slices.IndexFunc(r.Survey.Places, func(p place) bool { return p.Place == name })
	if i < 0 {
		return place{}
	}
	return r.Survey.Places[i]
}

// under counts the values under the old key and those under the new one.
func (r changeReport) under() (old, fresh int) {
	for _, p := range r.Survey.Places {
		if len(p.Masters) == 2 {
			old, fresh = old+p.Masters[0], fresh+p.Masters[1]
		}
	}
	return old, fresh
}

// plan is a dry run. It ends with 3 when something is in the way of a change.
func (o *operator) plan(t *testing.T, args ...string) (r changeReport) {
	t.Helper()
	stdout, stderr, err := o.run(t.Context(), append([]string{"rekey", "--dry-run", "--json"}, args...)...)
	if ended, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || ended.ExitCode() != exitFindings) {
		t.Fatalf("planning: %v\n%s%s", err, stdout, stderr)
	}
	must(t, "reading the plan", json.Unmarshal(stdout, &r))
	return r
}

// nobodyThere wants nothing in the way of a change but that n8n was at work a moment ago.
func (r changeReport) nobodyThere(t *testing.T) {
	t.Helper()
	for _, warning := range r.Warnings {
		if !strings.HasPrefix(warning, "n8n was at work ") {
			t.Errorf("the plan warns that %s", warning)
		}
	}
}

// rekey changes the key, as soon as n8n has stopped.
func (o *operator) rekey(t *testing.T, args ...string) (r changeReport) {
	t.Helper()
	out := o.key(t, 0, append([]string{"rekey", "--json", "--even-if-active"}, args...)...)
	must(t, "reading the report", json.Unmarshal(out, &r))
	if r.Kept > 0 || r.Changed == 0 {
		t.Errorf("%d values were changed and %d were not readable", r.Changed, r.Kept)
	}
	return r
}

// backups are the sealed backups that he has.
func (o *operator) backups() []string {
	found, _ := filepath.Glob(o.file("*.backup"))
	return found
}

// keepsQuiet searches all that sallyport has shown and written for the secrets, and the places for which a find is
// right.
func (o *operator) keepsQuiet(t *testing.T, right map[string][]byte) {
	t.Helper()
	found := maps.Clone(o.shown)
	must(t, "reading what sallyport wrote",
		filepath.WalkDir(o.folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) == ".key" {
				return err
			}
			found[path], err = os.ReadFile(path)
			return err
		}))
	for name, secret := range o.secrets {
		for place, content := range found {
			if form, leaked := secret.In(content); leaked {
				t.Errorf("secret %q is in %s (%s)", name, place, form)
			}
		}
	}
	for place, content := range right {
		if !slices.ContainsFunc(slices.Collect(maps.Values(o.secrets)), func(secret lab.Canary) bool {
			_, is := secret.In(content)
			return is
		}) {
			t.Errorf("no secret was found in %s, where one is: the search would prove nothing", place)
		}
	}
	t.Logf("searched %d outputs and files", len(found))
}
