package process_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/n8n/environment"
	"sallyport/internal/n8n/process"
)

// proc is a made-up /proc: what each process was called with, and its mount namespace.
type proc map[int]struct {
	argv, environ string // blanks between the words
	ns            string
}

func (p proc) write(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	link := func(pid, ns string) {
		must(os.MkdirAll(filepath.Join(root, pid, "ns"), 0o700))
		must(os.Symlink("mnt:["+ns+"]", filepath.Join(root, pid, "ns", "mnt")))
	}
	link("self", "1")
	for pid, one := range p {
		name := strconv.Itoa(pid)
		link(name, "1"+one.ns)
		must(os.WriteFile(filepath.Join(root, name, "cmdline"),
			[]byte(strings.ReplaceAll(one.argv, " ", "\x00")+"\x00"), 0o600))
		if one.environ != "-" {
			must(os.WriteFile(filepath.Join(root, name, "environ"),
				[]byte(strings.ReplaceAll(one.environ, " ", "\x00")+"\x00"), 0o600))
		}
	}
	return root
}

func TestFind(t *testing.T) {
	for title, c := range map[string]struct {
		proc proc
		pid  int // 0: none is found
		role environment.Role
		key  string
	}{
		"n8n alone":                  {proc{1: {argv: "node /usr/local/bin/n8n worker", environ: "K=own"}}, 1, environment.Worker, "own"},
		"behind tini":                {proc{1: {argv: "tini -- /docker-entrypoint.sh worker", environ: "K=ref"}, 7: {argv: "node /usr/local/bin/n8n worker", environ: "K=own"}}, 7, environment.Worker, "own"},
		"behind docker's init":       {proc{1: {argv: "/sbin/docker-init -- n8n webhook"}, 7: {argv: "node /usr/local/bin/n8n webhook", environ: "K=own"}}, 7, environment.Webhook, "own"},
		"behind sallyport":           {proc{1: {argv: "sallyport run --watch -- tini -- /docker-entrypoint.sh worker", environ: "K=ref"}, 7: {argv: "tini -- /docker-entrypoint.sh worker", environ: "K=own"}, 12: {argv: "node /usr/local/bin/n8n worker", environ: "K=own"}}, 12, environment.Worker, "own"},
		"behind a shell":             {proc{1: {argv: "sh -c n8n"}, 9: {argv: "node /usr/local/bin/n8n", environ: "K=own"}}, 9, environment.Main, "own"},
		"its arguments overwritten":  {proc{1: {argv: "tini -- n8n worker"}, 7: {argv: "n8n", environ: "K=own"}}, 7, environment.Worker, "own"},
		"a command beside it":        {proc{1: {argv: "tini -- n8n webhook"}, 7: {argv: "node /usr/local/bin/n8n webhook", environ: "K=own"}, 90: {argv: "node /usr/local/bin/n8n execute --id 1", environ: "K=other"}}, 7, environment.Webhook, "own"},
		"processes shared in a pod":  {proc{1: {argv: "/pause"}, 7: {argv: "node /usr/local/bin/n8n", environ: "K=other", ns: "2"}, 8: {argv: "node /usr/local/bin/n8n worker", environ: "K=own"}}, 8, environment.Worker, "own"},
		"the first value counts":     {proc{1: {argv: "n8n", environ: "K=own K=other"}}, 1, environment.Main, "own"},
		"a host":                     {proc{1: {argv: "/sbin/init"}, 800: {argv: "node /usr/local/bin/n8n", environ: "K=own"}}, 0, "", ""},
		"a container of another":     {proc{1: {argv: "postgres"}}, 0, "", ""},
		"only its init is there yet": {proc{1: {argv: "tini -- n8n worker"}}, 0, "", ""},
		"nothing":                    {proc{}, 0, "", ""},
	} {
		t.Run(title, func(t *testing.T) {
			p, ok := process.Find(c.proc.write(t))
			value, _ := p.Lookup("K")
			if ok != (c.pid != 0) || p.PID != c.pid || p.Role != c.role || value != c.key {
				t.Errorf("got %t, process %d, role %q, %q", ok, p.PID, p.Role, value)
			}
		})
	}
}

func TestHidden(t *testing.T) {
	p, ok := process.Find(proc{1: {argv: "n8n worker", environ: "-"}}.write(t))
	if !ok || p.Hidden == nil || strings.Contains(p.Hidden.Error(), "/") || p.Role != environment.Worker {
		t.Errorf("got %+v, %t", p, ok)
	}
	if err := p.Execute(t.Context(), "abc"); !errors.Is(err, p.Hidden) {
		t.Errorf("executing in it: %v", err)
	}
}

// install makes an n8n as npm does: a link on PATH to a file of a package.
func install(t *testing.T, manifest, script string) (folder string) {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{"lib/n8n/package.json": manifest, "lib/n8n/bin/n8n": "#!/bin/sh\n" + script + "\n"}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte(content), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(root, "bin"), 0o755),
		os.Symlink("../lib/n8n/bin/n8n", filepath.Join(root, "bin", "n8n"))); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "bin")
}

func TestVersion(t *testing.T) {
	bin := install(t, `{"name": "n8n", "version": "2.41.1"}`, "")
	other := install(t, `{"name": "something", "version": "9.9.9"}`, "")
	odd := install(t, `{"name": "n8n", "version": "1\u001b[31m"}`, "")
	for title, c := range map[string]struct {
		argv    []string
		environ map[string]string
		want    string
	}{
		"on PATH":           {nil, map[string]string{"PATH": "/nonexistent:" + bin, "N8N_VERSION": "1.0.0"}, "2.41.1"},
		"what runs":         {[]string{"node", filepath.Join(bin, "n8n"), "worker"}, map[string]string{"PATH": other}, "2.41.1"},
		"the image says so": {[]string{"node", "n8n"}, map[string]string{"PATH": other, "N8N_VERSION": "2.20.0-rc.1"}, "2.20.0-rc.1"},
		"no clean version":  {nil, map[string]string{"PATH": odd, "N8N_VERSION": "latest\n"}, ""},
		"nothing tells":     {nil, nil, ""},
	} {
		lookup := func(name string) (string, bool) { v, ok := c.environ[name]; return v, ok }
		if got := process.Version(c.argv, lookup); got != c.want {
			t.Errorf("%s: got %q, want %q", title, got, c.want)
		}
	}
}

// TestExecute: the n8n that runs the workflow has the environment of the one that it runs beside, and another broker
// port.
func TestExecute(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	bin := install(t, `{}`,
		`echo "$@ $K $N8N_RUNNERS_BROKER_PORT" > `+trace+`; echo leaked data; test "$2" = --id=good`)
	p := process.Self([]string{"PATH=" + bin + ":/usr/bin:/bin", "K=own", "N8N_RUNNERS_BROKER_PORT=5679"})
	if err := p.Execute(t.Context(), "good"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(trace)
	words := strings.Fields(string(content))
	if err != nil || len(words) != 4 || !slices.Equal(words[:3], []string{"execute", "--id=good", "own"}) ||
		words[3] == "5679" {
		t.Errorf("got %q, %v", content, err)
	}
	var exit *exec.ExitError
	if err := p.Execute(t.Context(), "bad"); !errors.As(err, &exit) || exit.ExitCode() != 1 ||
		strings.Contains(err.Error(), "leaked") {
		t.Errorf("a workflow that fails: %v", err)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if err := p.Execute(ended, "good"); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
	if err := process.Self([]string{"PATH=/nonexistent"}).Execute(t.Context(), "good"); err == nil ||
		errors.As(err, &exit) {
		t.Errorf("without n8n: %v", err)
	}
}

func TestIsWorkflowID(t *testing.T) {
	ids := map[string]bool{
		"1": true, "aB3_-x": true, strings.Repeat("a", 64): true, "": false, "-x": false,
		"a b": false, "a;b": false, strings.Repeat("a", 65): false,
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if process.IsWorkflowID(id) != ids[id] {
			t.Errorf("%q: got %t", id, !ids[id])
		}
	}
}
