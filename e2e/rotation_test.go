//go:build story

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sallyport/e2e/lab"
	"sallyport/e2e/process"
	"sallyport/e2e/standin"
)

// TestRotation is one story: n8n in queue mode executes workflows all the time, and meanwhile everything that it lives
// on is rotated, one after the other: a key at an API, the login of its database, its proxy token, its master key; then
// rotations go wrong in four ways. No execution fails. The chapters build on each other; an old key ends a minute after
// its last use, and is looked for when there is something else to do until then.
func TestRotation(t *testing.T) {
	t.Parallel()
	f := newRotatedFleet(t)
	chapters(t, []chapter{
		{"n8n executes workflows that call by the gate", f.start},
		{"a key at an API is rotated", f.rotateKey},
		{"a key that the API refuses is taken back", f.deadKey},
		{"a key that was made although the API answered 500 is taken back", f.failedKey},
		{"the login of n8n's database is rotated, and each node restarted", f.rotateLogin},
		{"the proxy token is rotated", f.rotateToken},
		{"an orchestrator's command fails half-way, and the run goes on once it works", f.commandFails},
		{"a node is never healthy, and the run goes on once it is", f.nodeHangs},
		{"the old keys have ended when nobody needed them any more", f.oldKeysEnded},
		{"n8n's master key is changed", f.rotateMaster},
		{"no execution has failed", f.counted},
		{"the secrets are nowhere", f.nowhere},
	})
}

// uses is how often each key of an account was used, the oldest first.
func (f *rotatedFleet) uses(account string) (uses []int) {
	for _, k := range f.api.Keys(account) {
		uses = append(uses, k.Uses)
	}
	return uses
}

// onlyNewest wants the calls from now on to come with the newest live key alone.
func (f *rotatedFleet) onlyNewest(t *testing.T, account string) {
	t.Helper()
	before := f.uses(account)
	f.goOn(t, 6)
	after := f.uses(account)
	last := len(after) - 1
	if len(before) != len(after) || after[last] <= before[last] || !slices.Equal(before[:last], after[:last]) {
		t.Errorf("the uses of the keys of %s went from %v to %v, want the last one to go up alone", account, before,
			after)
	}
}

func (f *rotatedFleet) rotateKey(t *testing.T) {
	plan, _ := f.sallyport(t, 0, "rotate", "api", "--dry-run")
	if !strings.Contains(plan, "orders") {
		t.Errorf("the plan does not name the workflows that use the key: %s", plan)
	}
	f.sallyport(t, 0, "rotate", "api")
	if s := f.status(t, "api"); s.State != "waiting" || s.OldKey == "" || s.NewKey == "" {
		t.Errorf("the run stands at %+v, want it to wait until nobody needs the old key", s)
	}
	f.onlyNewest(t, "api")
	f.noneFailed(t)
}

// sameKey wants a run to have been taken back, and the key before it to be the only one and in use.
func (f *rotatedFleet) sameKey(t *testing.T, account string) {
	t.Helper()
	if s := f.status(t, account); s.State != "rolled back" || s.Hint == "" {
		t.Errorf("the run stands at %+v, want it rolled back, with a hint", s)
	}
	first := f.api.Keys(account)[0]
	f.oneKey(t, account, first.ID)
	f.goOn(t, 6)
	if now := f.api.Keys(account)[0]; now.Uses <= first.Uses {
		t.Errorf("the old key of %s is not used any more", account)
	}
	f.noneFailed(t)
}

func (f *rotatedFleet) deadKey(t *testing.T) {
	f.api.Break("second", standin.IssuesDeadKeys)
	_, said := f.sallyport(t, exitRolledBack, "rotate", "second")
	if !strings.Contains(said, "401") || !strings.Contains(said, "hint: ") {
		t.Errorf("it says neither what the API answered nor what to do: %s", said)
	}
	f.api.Break("second", standin.Well)
	f.sameKey(t, "second")
}

func (f *rotatedFleet) failedKey(t *testing.T) {
	f.api.Break("third", standin.FailsOnceItIsSet)
	_, said := f.sallyport(t, exitRolledBack, "rotate", "third")
	if !strings.Contains(said, "500") || !strings.Contains(said, "hint: ") {
		t.Errorf("it says neither what the API answered nor what to do: %s", said)
	}
	if made := f.api.Keys("third"); len(made) != 2 || !made[1].Deleted {
		t.Errorf("the API has %s, want the key that was made to be deleted", names(made))
	}
	f.sameKey(t, "third")
}

// sessions counts what is logged in to n8n's database, by login.
func (f *rotatedFleet) sessions(t *testing.T, login string) string {
	t.Helper()
	rows, err := f.postgres.Query(t.Context(), "n8n",
		"SELECT count(*) FROM pg_stat_activity WHERE usename = '"+login+"'")
	must(t, "asking who is logged in", err)
	return strings.Join(rows, "")
}

func (f *rotatedFleet) rotateLogin(t *testing.T) {
	before := len(f.units.Calls())
	f.sallyport(t, 0, "rotate", "database")
	want := []string{"restart worker-1", "restart worker-2", "restart main"}
	if got := f.units.Calls()[before:]; !slices.Equal(got, want) {
		t.Errorf("the units were told %q, want %q", got, want)
	}
	if old, fresh := f.sessions(t, "n8n_a"), f.sessions(t, "n8n_b"); old != "0" || fresh == "0" {
		t.Errorf("%s sessions are n8n_a's and %s are n8n_b's, want the second login's alone", old, fresh)
	}
	f.goOn(t, 6)
	f.noneFailed(t)
}

// generation is that of the proxy token with which the latest call came, as the audit log has it.
func (f *rotatedFleet) generation(t *testing.T) (latest int) {
	t.Helper()
	log, err := f.gate.AuditLog()
	must(t, "reading the audit log", err)
	for line := range bytes.Lines(log) {
		var record struct {
			Event      string
			Generation int
		}
		if json.Unmarshal(line, &record) == nil && record.Event == "completed" {
			latest = record.Generation
		}
	}
	return latest
}

func (f *rotatedFleet) rotateToken(t *testing.T) {
	before := f.generation(t)
	f.sallyport(t, 0, "token", "rotate", "n8n", "--push", "n8n")
	f.goOn(t, 6)
	if now := f.generation(t); now != before+1 {
		t.Errorf("calls come with generation %d of the token, want %d", now, before+1)
	}
	f.noneFailed(t)
}

// heldClearly wants a run that has made its value current and cannot restart what it has to: both keys are alive, and
// who looks is told what is wrong.
func (f *rotatedFleet) heldClearly(t *testing.T, account, why string) {
	t.Helper()
	s := f.status(t, account)
	if s.Step != "restart" || !strings.Contains(s.LastError, why) || s.Hint == "" {
		t.Errorf("the run stands at %+v, want step restart, the reason %q and a hint", s, why)
	}
	for _, k := range f.api.Keys(account) {
		if k.Deleted && (k.ID == s.OldKey || k.ID == s.NewKey) {
			t.Errorf("key %s of %s was ended although the run has not come to its end", k.ID, account)
		}
	}
	f.goOn(t, 6) // by the worker that is left
	f.noneFailed(t)
}

func (f *rotatedFleet) commandFails(t *testing.T) {
	f.units.Fail("restart", "worker-2")
	_, said := f.sallyport(t, exitError, "rotate", "second", "--run", "job-2")
	if !strings.Contains(said, "worker-2") || !strings.Contains(said, "hint: ") {
		t.Errorf("it says neither which unit failed nor what to do: %s", said)
	}
	f.heldClearly(t, "second", "worker-2")
	f.again(t, 0, "second", "job-2")
	if s := f.status(t, "second"); s.Step != "retire" {
		t.Errorf("once the command works the run stands at %+v, want the restart to be through", s)
	}
	f.goOn(t, 6)
}

// nodeHangs stops a worker's process, as a disk that does not answer does, right after its start.
func (f *rotatedFleet) nodeHangs(t *testing.T) {
	w := f.workers["worker-1"]
	running := func() *process.Process { return w.Process }
	f.unit("worker-1", func(ctx context.Context) error {
		err := w.Launch(ctx)
		w.Signal(syscall.SIGSTOP)
		return err
	}, w.Stop, running)
	_, said := f.sallyport(t, exitError, "rotate", "third", "--run", "job-3")
	if !strings.Contains(said, "worker-1") || !strings.Contains(said, "hint: ") {
		t.Errorf("it says neither which unit failed nor what to do: %s", said)
	}
	f.heldClearly(t, "third", "worker-1")
	f.unit("worker-1", w.Launch, w.Stop, running)
	w.Signal(syscall.SIGCONT)
	must(t, "waiting for the worker", w.AwaitReady(t.Context()))
	f.again(t, 0, "third", "job-3")
	f.goOn(t, 6)
}

func (f *rotatedFleet) oldKeysEnded(t *testing.T) {
	f.retired(t, accounts()...)
	f.awaitStatus(t, "database", "has ended", func(s standing) bool { return s.State == "done" })
	if rows, err := f.postgres.Query(t.Context(), "n8n",
		"SELECT rolcanlogin, rolpassword IS NULL FROM pg_authid WHERE rolname = 'n8n_a'"); err != nil ||
		!slices.Equal(rows, []string{"f\tt"}) {
		t.Errorf("the old login can log in, or has a password: %q %v", rows, err)
	}
	f.sallyport(t, 0, "rotation", "sweep", "database")
	for _, account := range accounts() {
		f.onlyNewest(t, account)
	}
	f.noGap(t, accounts()...)
	f.noneFailed(t)
}

// rotateMaster changes the master key of the whole fleet. n8n stands still for that: what it has begun comes to its end
// before, and what arrives meanwhile waits in the queue or finds nobody.
func (f *rotatedFleet) rotateMaster(t *testing.T) {
	before := f.load.Counts()
	args := []string{
		"key", "rekey", "--stop-fleet", "n8n", "--database-file", f.databaseFile(t), "--to", "corp/secret/n8n/master",
		"--remote-binary", f.binary, "--backup", filepath.Join(t.TempDir(), "rekey.backup"),
	}
	for _, node := range nodes() {
		args = append(args, "--settings", filepath.Join(f.folder, node, ".n8n", "config"))
	}
	f.stopped = true
	out, _ := f.sallyport(t, 0, args...)
	t.Logf("%s\nof the calls since: %v before, %v after", out, before, f.load.Counts())
	f.goOn(t, 6)
	f.noneFailed(t)
	value, err := f.vault.Get(t.Context(), "secret", "n8n/master")
	must(t, "reading Vault", err)
	if value["value"] == string(f.secrets["n8n's first master key"]) || value["value"] == "" {
		t.Error("Vault has not got another master key")
	}
}

func (f *rotatedFleet) counted(t *testing.T) {
	counts := f.load.Stop()
	f.load = nil
	var by map[string]int
	err := f.main.Await(t.Context(), retiredWithin, func() bool {
		by = f.executions(t)
		return by["new"]+by["running"]+by["waiting"] == 0
	})
	must(t, "waiting for the last executions", err)
	all := 0
	for _, n := range by {
		all += n
	}
	t.Logf("calls of webhooks: %v; executions in n8n's database: %v", counts, by)
	f.noneFailed(t)
	if by["success"]+by["crashed"] != all || all == 0 {
		t.Errorf("of %d executions %d have succeeded: %v", all, by["success"], by)
	}
	if all < counts.Succeeded || all > counts.Succeeded+counts.Cut+by["crashed"] {
		t.Errorf("n8n has %d executions on record, and %d calls were answered, %d broke off", all, counts.Succeeded,
			counts.Cut)
	}
	f.noGap(t, accounts()...)
	f.sallyport(t, 0, "audit", "verify")
}

func (f *rotatedFleet) nowhere(t *testing.T) {
	secrets := maps.Clone(f.secrets)
	for _, version := range []string{"1", "2"} {
		for _, name := range []string{"database", "master"} {
			is, err := f.vault.GetVersion(t.Context(), "secret", "n8n/"+name, version)
			must(t, "reading Vault", err)
			secrets["version "+version+" of "+name] = lab.Canary(is["password"] + is["value"])
		}
	}
	found := f.leftovers(t)
	if !bytes.Contains(found["n8n's database"], []byte("/v1/accounts/api/items")) {
		t.Error("what n8n has called is not to be found in its database: the search would prove nothing")
	}
	f.quiet(t, secrets, found)
	delete(found, "n8n's database") // n8n keeps API keys there in the clear
	for name, content := range found {
		if token := proxyToken.Find(content); token != nil {
			t.Errorf("a proxy token is in %s: %.8s…", name, token)
		}
		if _, leaked := lab.Canary(f.apiKey).In(content); leaked {
			t.Errorf("Sallyport's API key for n8n is in %s", name)
		}
	}
}

var proxyToken = regexp.MustCompile(`spt_[0-9a-z]{10}_[0-9A-Za-z]{49}`)
