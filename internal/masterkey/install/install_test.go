package install_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/install"
	"sallyport/internal/secret"
)

// canary is a key, with what is hard to quote in it.
const canary = `cAn4ry"'{{x}}$HOME\n\\#%d/K9s=`

func value(text string) secret.Value { return secret.NewValue([]byte(text)) }

// run installs a key and fails the test when it cannot. What comes back must not have the key.
func run(t *testing.T, p install.Target, key string) install.Result {
	t.Helper()
	r, err := install.Run(t.Context(), p, value(key))
	if err != nil {
		t.Fatalf("%v (hint %q)", err, fault.HintOf(err))
	}
	silent(t, r.Target+r.Name+r.Checked+r.Snippet+strings.Join(r.Notes, ""))
	return r
}

func silent(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, canary) || strings.Contains(text, "cAn4ry") {
		t.Errorf("the key stands in %q", text)
	}
}

// want compares what matters of a result.
func want(t *testing.T, r install.Result, name, state string, compared bool) {
	t.Helper()
	if r.Name != name || r.State != state || r.Compared != compared {
		t.Errorf("got %s %s, compared %t; want %s %s, %t", r.State, r.Name, r.Compared, state, name, compared)
	}
}

// life is what every place that can be read does: a version, the same again, another, an older one again, a plan.
func life(t *testing.T, p install.Target, name func(n string) string) {
	t.Helper()
	want(t, plan(t, p, canary), name("1"), install.Planned, false)
	want(t, plan(t, p, ""), name("1"), install.Planned, false)
	want(t, run(t, p, canary), name("1"), install.Created, true)
	want(t, run(t, p, canary), name("1"), install.Present, true)
	want(t, plan(t, p, canary), name("1"), install.Present, true)
	want(t, run(t, p, "another-key-0123456789"), name("2"), install.Created, true)
	want(t, run(t, p, canary), name("1"), install.Present, true)
	want(t, plan(t, p, ""), name("3"), install.Planned, false)
}

func plan(t *testing.T, p install.Target, key string) install.Result {
	t.Helper()
	r, err := install.Plan(t.Context(), p, value(key))
	if err != nil {
		t.Fatalf("%v (hint %q)", err, fault.HintOf(err))
	}
	return r
}

func TestCheck(t *testing.T) {
	here := filepath.Join(t.TempDir(), "Key")
	if err := os.WriteFile(here, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	exists := func(name string) bool { _, err := os.Stat(name); return err == nil }
	for raw, problem := range map[string]string{
		"":                         "is empty",
		" \n":                      "is empty",
		`""`:                       "is empty",
		"/run/secrets/n8n_enc_key": "name of a file",
		here:                       "name of a file",
		"CHANGEME":                 "example",
		"super-secret-key":         "example",
		"${N8N_ENCRYPTION_KEY}":    "nothing has filled in",
		"first line\nsecond line":  "not one line of text",
		"a\x00b":                   "not one line of text",
		"\xff\xfe":                 "not one line of text",
	} {
		_, _, err := install.Check(value(raw), exists, "THE SNIPPET")
		if err == nil || !strings.Contains(err.Error(), problem) || fault.HintOf(err) == "" ||
			fault.ExitOf(err) != fault.ExitError {
			t.Errorf("%q: %v (hint %q, exit %d); want %q", raw, err, fault.HintOf(err), fault.ExitOf(err), problem)
			continue
		}
		if hint := fault.HintOf(err); strings.Contains(problem, "file") && !strings.HasSuffix(hint, "\nTHE SNIPPET") {
			t.Errorf("%q: the hint is %q", raw, hint)
		}
		if len(raw) > 3 && strings.Contains(err.Error()+fault.HintOf(err), raw) {
			t.Errorf("%q is quoted: %v", raw, err)
		}
	}
	for raw, kept := range map[string]string{
		"q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6":       "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6",
		" q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6\r\n":  "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6",
		`"q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6"`:     "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6",
		`""q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6""`:   `""q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6""`, // n8n takes one pair off
		"/Xy3q9vZ0b/tT+kA1mN8pL5rW2sD4fG7schlüß": "/Xy3q9vZ0b/tT+kA1mN8pL5rW2sD4fG7schlüß",
	} {
		key, doubt, err := install.Check(value(raw), exists, "")
		if err != nil || doubt != "" || string(key.Reveal()) != kept {
			t.Errorf("%q: got %q, %q, %v", raw, key.Reveal(), doubt, err)
		}
	}
	if _, doubt, err := install.Check(value("k3y-Abc"), exists, ""); doubt == "" || err != nil {
		t.Errorf("a short key: %q, %v", doubt, err)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a b", "-x", "x/y", "$(x)", strings.Repeat("x", 49), "x\n"} {
		_, errSwarm := install.NewSwarm(nil, name)
		_, errCompose := install.NewCompose(name, t.TempDir())
		_, errSystemd := install.NewSystemd(install.SystemdOptions{Name: name})
		_, errNomad := install.NewNomad(&install.NomadOptions{Name: name, Lookup: nothing})
		for _, err := range []error{errSwarm, errCompose, errSystemd, errNomad} {
			if fault.ExitOf(err) != fault.ExitUsage {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

func nothing(string) (string, bool) { return "", false }

func TestCompose(t *testing.T) {
	dir := t.TempDir()
	p, err := install.NewCompose("", dir)
	if err != nil {
		t.Fatal(err)
	}
	life(t, p, func(n string) string { return filepath.Join(dir, "n8n_encryption_key_v"+n) })
	file := filepath.Join(dir, "n8n_encryption_key_v1")
	content, err := os.ReadFile(file)
	if err != nil || string(content) != canary {
		t.Errorf("the file has %d bytes, %v", len(content), err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	r := run(t, p, canary)
	for _, line := range []string{"N8N_ENCRYPTION_KEY_FILE: /run/secrets/n8n_encryption_key_v1", "file: " + file} {
		if !strings.Contains(r.Snippet, line) {
			t.Errorf("no %q in %s", line, r.Snippet)
		}
	}
}

// TestNamedFile is a file that someone has named: the same key is recognised, another is refused.
func TestNamedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "n8n.key")
	p, err := install.NewCompose("", file)
	if err != nil {
		t.Fatal(err)
	}
	want(t, plan(t, p, canary), file, install.Planned, false)
	want(t, run(t, p, canary), file, install.Created, true)
	want(t, run(t, p, canary+"\n"), file, install.Present, true)
	_, errRun := install.Run(t.Context(), p, value("another-key-0123456789"))
	_, errPlan := install.Plan(t.Context(), p, value("another-key-0123456789"))
	for _, err := range []error{errRun, errPlan} {
		if err == nil || !strings.Contains(fault.HintOf(err), "the only one that opens a database") {
			t.Errorf("over another key: %v (hint %q)", err, fault.HintOf(err))
		}
	}
	if content, _ := os.ReadFile(file); string(content) != canary {
		t.Error("the key was overwritten")
	}
	if r := run(t, p, canary); !strings.Contains(r.Snippet, "file: "+file) ||
		!strings.Contains(r.Snippet, "/run/secrets/n8n_encryption_key\n") {
		t.Errorf("got %s", r.Snippet)
	}
}

// TestFolderIsMade: a folder that is named and not there is made, for its owner alone; a plan alone makes nothing.
func TestFolderIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	p, err := install.NewCompose("", dir+"/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := install.Plan(t.Context(), p, value(canary)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a plan: %v", err)
	}
	if _, err := install.Run(t.Context(), p, value(canary)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v %v, want 0700", info, err)
	}
}

// memory is a store without a list, which keeps one version of each.
type memory struct {
	held map[string]string
	lie  bool // gives back something else
}

func (m *memory) Get(_ context.Context, path, _ string) (secret.Value, secret.Version, error) {
	text, ok := m.held[path]
	if !ok {
		return secret.Value{}, secret.Version{}, secret.ErrNotFound
	}
	if m.lie {
		text = "something else"
	}
	return value(text), secret.Version{}, nil
}

func (m *memory) Put(_ context.Context, path string, v secret.Value) (secret.Version, error) {
	m.held[path] = string(v.Reveal())
	return secret.Version{}, nil
}

func TestStoreWithoutList(t *testing.T) {
	m := &memory{held: map[string]string{}}
	p := install.NewStore(m, "corp", "n8n/key")
	life(t, p, func(n string) string { return "n8n/key_v" + n })
	if r := run(t, p, canary); !strings.Contains(r.Snippet, "N8N_ENCRYPTION_KEY=ref+corp://n8n/key_v1\n") {
		t.Errorf("got %s", r.Snippet)
	}
	if _, err := secret.ParseRef("ref+corp://n8n/key_v1"); err != nil {
		t.Error(err)
	}
}

// TestDiffers is a place that does not keep what it was given.
func TestDiffers(t *testing.T) {
	var _ masterkey.Store = (*memory)(nil)
	_, err := install.Run(t.Context(), install.NewStore(&memory{held: map[string]string{}, lie: true},
		"corp", ""), value(canary))
	if !errors.Is(err, install.ErrDiffers) {
		t.Errorf("got %v", err)
	}
	silent(t, err.Error())
}
