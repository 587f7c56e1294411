package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/e2e/gate"
	"sallyport/e2e/lab"
	"sallyport/e2e/standin"
)

// A drainScene is a fleet whose restarts wait until a real n8n executes nothing. What is restarted is a counter: when
// that happens is all that matters here.
type drainScene struct {
	binary, folder string

	api  *standin.Server
	main *lab.N8N
	held *lab.Workflow // its execution lasts as long as the test wants
}

// prepare makes the workflow and the configuration. The fleet's key may list executions.
func (d *drainScene) prepare(t *testing.T, key lab.Canary) {
	t.Helper()
	var err error
	d.folder = t.TempDir()
	d.binary, err = gate.Build(t.Context(), "..", t.TempDir())
	must(t, "building", err)
	credential, err := d.main.NewCredential(t.Context(), "API", "httpHeaderAuth",
		map[string]any{"name": "X-Api-Key", "value": string(key)})
	must(t, "making the credential", err)
	d.held, err = d.main.NewWorkflow(t.Context(), "held",
		lab.HTTPRequest("Call", "GET", d.api.URL()+heldPath, credential, nil))
	must(t, "making a workflow", err)
	may, err := d.main.NewAPIKey(t.Context(), "fleet", "execution:list")
	must(t, "making an API key", err)
	mayNot, err := d.main.NewAPIKey(t.Context(), "other", "workflow:list")
	must(t, "making another API key", err)

	script := func(name, text string) string {
		path := filepath.Join(d.folder, name)
		must(t, "writing a script", os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
		return path
	}
	count := filepath.Join(d.folder, "count")
	must(t, "writing the counter", os.WriteFile(count, []byte("0\n"), 0o600))
	units := fmt.Sprintf("units: [{name: n8n, restart: [%q], status: [%q]}]",
		script("restart", fmt.Sprintf(`echo $(($(cat %[1]s) + 1)) >%[1]s`, count)), script("status", "cat "+count))
	d.sallyport(t, "", 0, "init")
	text, err := os.ReadFile(filepath.Join(d.folder, "sallyport.yaml"))
	must(t, "reading the configuration", err)
	drain := func(key, timeout, more string) string {
		return fmt.Sprintf("drain: {url: %q, api_key: ref+builtin://%s, timeout: %s%s}", d.main.URL, key, timeout, more)
	}
	fleets := "\nfleets:\n"
	for name, drain := range map[string]string{
		"patient": drain("may", "10m", ""), "strict": drain("may", "2s", ", required: true"),
		"hasty": drain("may", "2s", ""), "barred": drain("may-not", "2s", ", required: true"),
	} {
		fleets += fmt.Sprintf("  %s: {kind: command, settle: 1s, timeout: 20s, %s, %s}\n", name, units, drain)
	}
	must(t, "writing the configuration",
		os.WriteFile(filepath.Join(d.folder, "sallyport.yaml"), append(text, fleets...), 0o600))
	d.sallyport(t, may, 0, "secret", "set", "may")
	d.sallyport(t, mayNot, 0, "secret", "set", "may-not")
}

func (d *drainScene) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Dir, cmd.Env = d.folder, append(os.Environ(), "HOME="+d.folder)
	return cmd
}

// sallyport runs a command to its end, wants it to end with exit, and returns what it said.
func (d *drainScene) sallyport(t *testing.T, input string, exit int, args ...string) string {
	t.Helper()
	cmd := d.command(t.Context(), args...)
	cmd.Stdin = strings.NewReader(input)
	said, err := cmd.CombinedOutput()
	if ended := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != exit {
		t.Fatalf("sallyport %q ended with %d, want %d:\n%s", args, got, exit, said)
	}
	return string(said)
}

// restarts is how often the unit was restarted.
func (d *drainScene) restarts(t *testing.T) string {
	t.Helper()
	count, err := os.ReadFile(filepath.Join(d.folder, "count"))
	must(t, "reading the counter", err)
	return strings.TrimSpace(string(count))
}

// running begins an execution that lasts until done is called, which returns how it ended.
func (d *drainScene) running(t *testing.T) (done func() string) {
	t.Helper()
	reached, release := d.api.Hold(heldPath, 1)
	type ended struct {
		execution *lab.Execution
		err       error
	}
	result := make(chan ended, 1)
	go func() {
		execution, err := d.held.Run(context.WithoutCancel(t.Context()), nil)
		result <- ended{execution, err}
	}()
	select {
	case <-reached:
	case r := <-result:
		t.Fatalf("the execution ended before it called: %+v, %v", r.execution, r.err)
	case <-time.After(3 * time.Minute):
		t.Fatal("the execution does not begin")
	}
	return func() string {
		close(release)
		r := <-result
		must(t, "running a workflow", r.err)
		return r.execution.Status
	}
}

// waits: a restart begins when the execution has ended, and not before.
func (d *drainScene) waits(t *testing.T) {
	before := d.restarts(t)
	done := d.running(t)
	cmd := d.command(t.Context(), "fleet", "restart", "patient")
	stderr, err := cmd.StderrPipe()
	must(t, "reading what sallyport says", err)
	must(t, "starting sallyport", cmd.Start())
	var said bytes.Buffer
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "waiting for 1 running executions") {
			break
		}
	}
	if got := d.restarts(t); got != before || !strings.Contains(said.String(), "waiting for 1 running") {
		t.Errorf("%s restarts and %s before, with an execution under way:\n%s", got, before, said.String())
	}
	if status := done(); status != "success" {
		t.Errorf("the execution is %q", status)
	}
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
	}
	if err := cmd.Wait(); err != nil || d.restarts(t) == before {
		t.Errorf("it ended with %v after %s restarts:\n%s", err, d.restarts(t), said.String())
	}
}

// stays: an execution that does not end is told after a while. It ends the restart where that is required.
func (d *drainScene) stays(t *testing.T) {
	before, done := d.restarts(t), d.running(t)
	said := d.sallyport(t, "", 1, "fleet", "restart", "strict")
	if !strings.Contains(said, "1 executions still run after 2s") || d.restarts(t) != before {
		t.Errorf("it says after %s restarts:\n%s", d.restarts(t), said)
	}
	said = d.sallyport(t, "", 0, "fleet", "restart", "hasty")
	if !strings.Contains(said, "1 executions still run: they have 30s to end") || d.restarts(t) == before {
		t.Errorf("it says after %s restarts:\n%s", d.restarts(t), said)
	}
	if status := done(); status != "success" {
		t.Errorf("the execution is %q", status)
	}
	d.sallyport(t, "", 0, "fleet", "restart", "strict", "--resume")
}

// goesOn: an execution that waits for a call is in n8n's database, outlasts a restart, and is not waited for.
func (d *drainScene) goesOn(t *testing.T) {
	_, err := d.main.NewWaiting(t.Context(), "waiting", map[string]any{})
	must(t, "running a workflow that waits", err)
	if said := d.sallyport(t, "", 0, "fleet", "restart", "strict"); strings.Contains(said, "running executions") {
		t.Errorf("it says:\n%s", said)
	}
}

// barred: a key without the scope, and an n8n that is away, are told, and end the restart where draining is required.
func (d *drainScene) barred(t *testing.T) {
	before := d.restarts(t)
	said := d.sallyport(t, "", 1, "fleet", "restart", "barred")
	if !strings.Contains(said, "asking n8n for running executions") || !strings.Contains(said, "execution:list") ||
		!strings.Contains(said, "asking again for 2s") || d.restarts(t) != before {
		t.Errorf("with a key that may not it says:\n%s", said)
	}
	d.main.Stop()
	said = d.sallyport(t, "", 1, "fleet", "restart", "strict")
	if !strings.Contains(said, "asking n8n for running executions") || d.restarts(t) != before {
		t.Errorf("with an n8n that is away it says:\n%s", said)
	}
	said = d.sallyport(t, "", 0, "fleet", "restart", "hasty")
	if !strings.Contains(said, "n8n does not tell which executions run") || d.restarts(t) == before {
		t.Errorf("where it is not required it says:\n%s", said)
	}
}

func (d *drainScene) chapters(t *testing.T) {
	chapters(t, []chapter{
		{"a restart waits for an execution", d.waits},
		{"an execution that does not end is told", d.stays},
		{"one that waits for a call is not waited for", d.goesOn},
		{"n8n does not tell", d.barred},
	})
}

// TestDrain is an n8n that executes in its main process.
func TestDrain(t *testing.T) {
	t.Parallel()
	install, err := lab.FindN8N(t.Context(), "../tools/n8n/install")
	if errors.Is(err, lab.ErrNoN8N) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED with n8n: %v", err)
	}
	must(t, "looking for n8n", err)
	key, folder := lab.NewCanary("sk"), t.TempDir()
	d := &drainScene{}
	d.api, err = standin.Start(string(key))
	must(t, "starting the API", err)
	t.Cleanup(d.api.Down)
	ca := filepath.Join(folder, "api-ca.pem")
	must(t, "writing the API's CA", os.WriteFile(ca, d.api.CA(), 0o600))
	d.main, err = lab.Setup{
		Install: install, Folder: t.TempDir(), Settings: []string{"NODE_EXTRA_CA_CERTS=" + ca},
	}.Start(t.Context())
	must(t, "starting n8n", err)
	t.Cleanup(d.main.Stop)
	d.prepare(t, key)
	d.chapters(t)
}

// TestDrainQueue is an n8n whose worker executes: main tells of what the worker does.
func TestDrainQueue(t *testing.T) {
	t.Parallel()
	f := setUpFleet(t)
	t.Cleanup(func() {
		f.stop()
		if t.Failed() {
			f.keepLogs(t)
		}
	})
	var err error
	f.main, err = f.node("main", "old").Start(t.Context())
	must(t, "starting n8n", err)
	f.one, err = f.node("one", "old").NewWorker()
	must(t, "making a worker", err)
	must(t, "starting a worker", f.one.Start(t.Context()))
	d := &drainScene{api: f.api, main: f.main}
	d.prepare(t, f.apiKey)
	d.chapters(t)
}
