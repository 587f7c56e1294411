package e2e_test

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/e2e/lab"
	"sallyport/e2e/process"
)

// exitStore is what `sallyport run` ends with when a store cannot be reached (docs/entrypoint.md).
const exitStore = 10

// TestQueue is one story: n8n in queue mode gets its own secrets from Vault, Vault goes away and comes back, a value
// changes. The chapters build on each other, and the last one searches every disk, so to speak.
func TestQueue(t *testing.T) {
	q := setUpQueue(t)
	t.Cleanup(func() {
		q.stop()
		if t.Failed() {
			q.keepLogs(t)
		}
	})
	for _, chapter := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a main process and two workers start", q.startN8N},
		{"n8n has its secrets, and not what opens Vault", q.environments},
		{"both workers use the credential", q.bothWork},
		{"Vault goes away, and n8n goes on", q.vaultGoes},
		{"without Vault a worker is not started, nor by half", q.notByHalf},
		{"Vault is back, and the worker starts", q.vaultIsBack},
		{"a changed value restarts the worker that watches, when all can be obtained", q.change},
		{"the secrets are on no disk", q.onNoDisk},
	} {
		began := time.Now()
		if !t.Run(chapter.name, chapter.run) {
			t.Log("the following chapters build on this one and were not run")
			return
		}
		t.Logf("%-70s %5.1f s", chapter.name, time.Since(began).Seconds())
	}
}

// processes are n8n's, by name.
func (q *queueScene) processes() map[string]*process.Process {
	return map[string]*process.Process{"main": q.main.Process, "one": q.one.Process, "two": q.two.Process}
}

// environments looks at all that runs below each process, and at the command lines of the whole machine.
func (q *queueScene) environments(t *testing.T) {
	for name, started := range q.processes() {
		id, _ := q.n8nBelow(t, name, started)
		if took := id == started.ID(); took == (name == "two") {
			t.Errorf("%s: n8n took the place of sallyport: %v", name, took)
		}
	}
	for _, id := range process.All() {
		line := strings.Join(process.Arguments(id), " ")
		for secret, text := range q.everything() {
			if strings.Contains(line, text) {
				t.Errorf("the command line of process %d holds %s", id, secret)
			}
		}
	}
}

// everything is all that is secret, by name.
func (q *queueScene) everything() map[string]string {
	all := maps.Clone(q.entrance)
	all["the API's key"] = string(q.apiKey)
	for field, canary := range q.secrets {
		all[field] = string(canary)
	}
	return all
}

// n8nBelow finds the process that has n8n's secrets in its environment, and holds all others against what they may
// have.
func (q *queueScene) n8nBelow(t *testing.T, name string, started *process.Process) (id int, environment []string) {
	t.Helper()
	for _, candidate := range started.Tree() {
		if process.Program(candidate) == q.binary {
			continue // it has opened Vault, and n8n cannot look into it
		}
		variables, err := process.Environment(candidate)
		if err != nil {
			continue // it has ended
		}
		text := strings.Join(variables, "\n")
		for entrance, value := range q.entrance {
			if strings.Contains(text, value) {
				t.Errorf("%s: process %d (%s) has %s", name, candidate, process.Program(candidate), entrance)
			}
		}
		if strings.Contains(text, "ref+") {
			t.Errorf("%s: process %d (%s) has a reference in its environment", name, candidate,
				process.Program(candidate))
		}
		if q.complete(variables) {
			id, environment = candidate, variables
		}
	}
	if id == 0 {
		t.Fatalf("%s: no process below %d has all of n8n's secrets", name, started.ID())
	}
	return id, environment
}

func (q *queueScene) complete(environment []string) bool {
	for field, variable := range variables() {
		if !slices.Contains(environment, variable+"="+string(q.secrets[field])) {
			return false
		}
	}
	return true
}

// bothWork runs two workflows at once. A worker takes one at a time, so while the first is held, the other worker has
// to take the second.
func (q *queueScene) bothWork(t *testing.T) {
	t.Helper()
	reached, release := q.api.Hold(heldPath, 1)
	letGo := sync.OnceFunc(func() { close(release) })
	var first *lab.Execution
	var firstErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		first, firstErr = q.held.Run(t.Context(), nil)
	}()
	defer func() {
		letGo()
		<-done
	}()
	select {
	case <-reached:
	case <-done:
		t.Fatalf("the first workflow ended before it called: %v", firstErr)
	}
	second, err := q.quick.Run(t.Context(), nil)
	must(t, "running the second workflow", err)
	letGo()
	<-done
	must(t, "running the first workflow", firstErr)
	by := map[string]bool{q.executedBy(t, first): true, q.executedBy(t, second): true}
	if len(by) != 2 {
		t.Errorf("the workflows were executed by %v, want both workers", slices.Collect(maps.Keys(by)))
	}
}

// executedBy makes sure that the execution succeeded, which takes the credential, and tells the worker.
func (q *queueScene) executedBy(t *testing.T, execution *lab.Execution) (name string) {
	t.Helper()
	if execution.Status != "success" || len(execution.Items("Call")) != 1 {
		t.Fatalf("execution %s ended with %q: %+v", execution.ID, execution.Status, execution.Error)
	}
	// The worker tells a moment after the result is there.
	err := q.main.Await(t.Context(), time.Minute, func() bool {
		switch {
		case q.one.Executed(execution.ID):
			name = "one"
		case q.two.Executed(execution.ID):
			name = "two"
		}
		return name != ""
	})
	must(t, "asking who executed "+execution.ID, err)
	return name
}

func (q *queueScene) vaultGoes(t *testing.T) {
	q.vault.Down()
	q.bothWork(t)
}

// notByHalf: Vault is down, then up and sealed.
func (q *queueScene) notByHalf(t *testing.T) {
	q.one.Stop()
	q.refused(t, "connection refused")
	execution, err := q.quick.Run(t.Context(), nil)
	must(t, "running with one worker less", err)
	if by := q.executedBy(t, execution); by != "two" {
		t.Errorf("executed by %s, want two", by)
	}
	must(t, "starting Vault", q.vault.Start(t.Context()))
	q.refused(t, "sealed")
}

// refused starts worker one and wants it to be refused, with everything in what sallyport says that a person needs.
func (q *queueScene) refused(t *testing.T, cause string) {
	t.Helper()
	began := time.Now()
	must(t, "starting worker one", q.one.Launch(t.Context()))
	select {
	case <-q.one.Exited():
	case <-time.After(2 * time.Minute):
		t.Fatal("it was not refused, and runs")
	}
	code, said := q.one.ExitCode(), string(q.one.Process.Log())
	t.Logf("refused within %.1f s:\n%s", time.Since(began).Seconds(), said)
	if code != exitStore {
		t.Errorf("it ended with %d, want %d", code, exitStore)
	}
	wanted := []string{"hint: ", `store "corp"`, cause}
	for field, variable := range variables() {
		wanted = append(wanted, "error: "+variable+": ", reference(field))
	}
	for _, want := range wanted {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "sallyport: ") {
			t.Errorf("something other than sallyport was started: %q", line)
		}
	}
}

func (q *queueScene) vaultIsBack(t *testing.T) {
	must(t, "unsealing Vault", q.vault.Unseal(t.Context()))
	must(t, "starting worker one", q.one.Start(t.Context()))
	q.bothWork(t)
}

// change: a value changes while another is missing, and then all is there.
func (q *queueScene) change(t *testing.T) {
	before, environment := q.n8nBelow(t, "two", q.two.Process)
	if !slices.Contains(environment, labelVariable+"=blue") {
		t.Errorf("worker two does not have the label")
	}
	must(t, "changing the label, without a password", q.put(t, "green", "redis_password"))
	must(t, "waiting for worker two to say so",
		q.two.AwaitLog(t.Context(), time.Minute, "goes on with the values that it has"))
	if id, _ := q.n8nBelow(t, "two", q.two.Process); id != before {
		t.Error("worker two was restarted although not everything could be obtained")
	}
	q.bothWork(t)

	must(t, "changing the label", q.put(t, "green"))
	restarted := func() bool {
		return slices.ContainsFunc(q.two.Tree(), func(id int) bool {
			environment, err := process.Environment(id)
			return err == nil && q.complete(environment) && slices.Contains(environment, labelVariable+"=green")
		})
	}
	must(t, "waiting for worker two's restart", q.two.Await(t.Context(), 2*time.Minute, restarted))
	must(t, "waiting for worker two", q.two.AwaitReady(t.Context()))
	if syscall.Kill(before, 0) == nil {
		t.Error("the process before it is still there")
	}
	q.bothWork(t)
	q.environments(t)
}

// onNoDisk ends everything, so that all is written, and searches it. n8n keeps one copy of the master key by itself.
func (q *queueScene) onNoDisk(t *testing.T) {
	q.stop()
	dump, err := q.postgres.Dump(t.Context(), "n8n")
	must(t, "dumping the database", err)
	q.redis.Down()
	q.postgres.Down()
	q.vault.Down()
	found := q.logs()
	found["the database"], found["postgres.log"], found["redis.log"] = dump, q.postgres.Log(), q.redis.Log()
	must(t, "reading what was written", readAll(q.folder, found))

	own := map[string]bool{}
	for _, name := range []string{"main", "one", "two"} {
		own[filepath.Join(q.folder, name, ".n8n", "config")] = false
	}
	bytesRead := 0
	for place, content := range found {
		bytesRead += len(content)
		for name, text := range q.everything() {
			form, leaked := lab.Canary(text).In(content)
			if _, itsOwn := own[place]; itsOwn && leaked && name == "master_key" {
				own[place] = true
			} else if leaked {
				t.Errorf("%s is in %s (%s)", name, place, form)
			}
		}
	}
	// The search would find them: n8n's own copies were found, and what the API answered is in the database in the
	// clear.
	for place, there := range own {
		if !there {
			t.Errorf("n8n's copy of the master key was not found in %s: the search would prove nothing", place)
		}
	}
	if !bytes.Contains(dump, []byte("second")) {
		t.Error("the API's answers were not found in the database: the search would prove nothing")
	}
	t.Logf("searched %d files and logs, %d MB", len(found), bytesRead>>20)
}
