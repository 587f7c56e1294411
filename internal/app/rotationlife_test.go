package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/run"
	"sallyport/internal/rotation/secrets"
)

// ahead is a clock that a test sets forward.
type ahead struct {
	mu sync.Mutex
	by time.Duration
}

func (c *ahead) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *ahead) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += d
}

// provider is one whose keys are the files of a folder, with the script that makes and ends them.
type provider struct{ dir, script string }

// newProvider has the key of the current value. Its test waits while there is a file hold.
func newProvider(t *testing.T) *provider {
	t.Helper()
	k := &provider{dir: filepath.Join(t.TempDir(), "keys"), script: filepath.Join(t.TempDir(), "rotate.sh")}
	text := fmt.Sprintf(`#!/bin/sh
in=$(cat)
field() { printf %%s "$in" | sed -n 's/.*"'$1'":"\([^"]*\)".*/\1/p'; }
cd %q || exit 1
case $(field action) in
create) l=$(field label); echo "$l" >"key-$l"; printf '{"key":{"id":"key-%%s"},"value":"canary-%%s"}' "$l" "$l" ;;
list) printf '{"keys":['; sep=
  for f in *; do printf '%%s{"id":"%%s","label":"%%s"}' "$sep" "$f" "$(cat "$f")"; sep=,; done; printf ']}' ;;
delete) rm -f "$(field key)" ;;
test) if [ -e ../hold ]; then : >../testing; fi; while [ -e ../hold ]; do sleep 0.05; done ;;
esac
`, k.dir)
	for _, err := range []error{
		os.Mkdir(k.dir, 0o700), os.WriteFile(k.script, []byte(text), 0o700),
		os.WriteFile(filepath.Join(k.dir, "first"), []byte("by hand"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func (k *provider) driver() string {
	return "{kind: exec, command: [" + k.script + "], mints: true, lists: true, deletes: true}"
}

func (k *provider) path(name string) string { return filepath.Join(filepath.Dir(k.dir), name) }

func (k *provider) there(t *testing.T) (names []string) {
	t.Helper()
	list, err := os.ReadDir(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range list {
		names = append(names, one.Name())
	}
	return names
}

func (k *provider) hold(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(k.path("hold"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// as calls the gate as a workflow.
func (b *bed) as(gate *app.App, workflow string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, gate.GatewayURL()+"/s/crm/x", http.NoBody)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Sallyport-Token", b.token)
	req.Header.Set("X-Sallyport-Workflow", workflow)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("workflow %s: %v %v", workflow, resp, err)
	}
	_ = resp.Body.Close()
}

// newest is the newest run of crm on record.
func (b *bed) newest(gate *app.App) run.Entry {
	b.t.Helper()
	runs, err := gate.SecretRotations().History(b.t.Context(), "crm")
	if err != nil {
		b.t.Fatal(err)
	}
	if len(runs) == 0 {
		return run.Entry{}
	}
	return runs[0]
}

// TestConsumerThatNeverTakesTheNewValue: the run waits for it however long that takes, names it, the metrics show it, a
// webhook is told once, and the old key lives. When it has used the new value, the key is ended.
func TestConsumerThatNeverTakesTheNewValue(t *testing.T) {
	api, k, clock := newLocked(t), newProvider(t), new(ahead)
	b := newBed(t, func(string) string {
		return strings.Replace(rotated(api, "    grace: 1h\n")(""), "{kind: generate}", k.driver(), 1)
	})
	b.put("crm", "canary-of-before")
	gate := b.serveOptions(b.options().WithClock(clock.now))
	b.as(gate, "Orders")
	b.as(gate, "Bills")
	e, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
	if err != nil || e.State != run.StateWaiting || e.StillNeeded() != "workflow Bills, workflow Orders" {
		t.Fatalf("%s, waiting for %q (%v)", e.State, e.Waiting, err)
	}
	b.as(gate, "Orders")
	waits := func() bool {
		clock.pass(4 * time.Minute)
		gate.SecretRotations().Wake()
		e = b.newest(gate)
		return e.StillNeeded() == "workflow Bills" && e.Quiet >= 2*time.Hour
	}
	b.until("only Bills is waited for", waits)
	if got := k.there(t); e.State != run.StateWaiting || e.Hint == "" || len(got) != 2 ||
		!slices.Contains(got, "first") {
		t.Errorf("%s, hint %q, keys %q", e.State, e.Hint, got)
	}
	b.until("the metrics show it", func() bool {
		text := b.scrape(gate)
		return strings.Contains(text, `sallyport_secret_rotation_waiting_consumers{rotation="crm"} 1`) &&
			strings.Contains(text, `sallyport_secret_rotation_state{rotation="crm",state="waiting"} 1`) &&
			strings.Contains(text, `sallyport_secret_rotation_failing{rotation="crm"} 0`) &&
			strings.Contains(text, `sallyport_secret_rotation_began_timestamp_seconds{rotation="crm"}`)
	})
	b.as(gate, "Bills")
	b.until("the old key is ended", func() bool {
		clock.pass(4 * time.Minute)
		gate.SecretRotations().Wake()
		return b.newest(gate).State == run.StateDone
	})
	if got := k.there(t); len(got) != 1 || got[0] == "first" {
		t.Errorf("keys %q", got)
	}
}

// TestScheduledRotation: a run begins by its schedule, in its window and after the freeze, by nobody's hand.
func TestScheduledRotation(t *testing.T) {
	clock := new(ahead)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	opens := today.Add(3*24*time.Hour + 10*time.Hour)
	b := newBed(t, rotated(newLocked(t), fmt.Sprintf("    schedule: {every: 2h, jitter: 10m, "+
		"windows: [\"10:00-12:00\"], freezes: [%s..%s]}\n", today.Format(time.DateOnly),
		today.Add(2*24*time.Hour).Format(time.DateOnly))))
	b.put("crm", "canary-of-before")
	gate := b.serveOptions(b.options().WithClock(clock.now))
	for _, moment := range []time.Time{
		today.Add(24*time.Hour + 11*time.Hour), // in the window of a day on which nothing begins
		opens.Add(-10 * time.Minute), opens.Add(time.Minute),
	} {
		clock.pass(moment.Sub(clock.now()))
		b.until("it is known when it is due", func() bool {
			gate.SecretRotations().Wake()
			list, err := gate.SecretRotations().Status(t.Context())
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v (%v)", list, err)
			}
			return !list[0].Next.Before(opens) && !list[0].Due.Before(opens)
		})
	}
	b.until("it is done", func() bool {
		gate.SecretRotations().Wake()
		return b.newest(gate).State == run.StateDone
	})
	if e := b.newest(gate); e.Actor != "schedule" || e.Started.Before(opens) || e.Number != 1 {
		t.Errorf("run %d was begun by %s at %s, want the first one by the schedule after %s", e.Number, e.Actor,
			e.Started, opens)
	}
	clock.pass(time.Hour + 30*time.Minute) // the window is open, and two hours are not over
	gate.SecretRotations().Wake()
	if list, err := gate.SecretRotations().Status(t.Context()); err != nil ||
		list[0].Due.Before(opens.Add(2*time.Hour)) {
		t.Errorf("the next one is due %s (%v)", list[0].Due, err)
	}
}

// TestScheduledRunWaitsForApproval: when it is due it waits, which is a state of its own and no failure; approved of,
// it begins by itself, and the approval is used up.
func TestScheduledRunWaitsForApproval(t *testing.T) {
	clock := new(ahead)
	b := newBed(t, rotated(newLocked(t), "    schedule: {every: 1h}\n    approve: 1\n"))
	b.put("crm", "canary-of-before")
	gate := b.serveOptions(b.options().WithClock(clock.now))
	ann := approval.Person{UID: 4001, Name: "ann"}
	shows := func(state string) func() bool {
		return func() bool {
			gate.SecretRotations().Wake()
			text := b.scrape(gate)
			return strings.Contains(text, `sallyport_secret_rotation_state{rotation="crm",state="`+state+`"} 1`) &&
				strings.Contains(text, `sallyport_secret_rotation_failing{rotation="crm"} 0`)
		}
	}
	b.until("nothing is due", shows("not yet run"))
	clock.pass(2 * time.Hour)
	b.until("it waits for approval", shows("approval"))
	if e := b.newest(gate); e.ID != "" {
		t.Fatalf("a run has begun that nobody approved of: %+v", e)
	}
	_, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
	if fault.ExitOf(err) != fault.ExitApproval {
		t.Errorf("by nobody's hand: %v", err)
	}
	if _, err := gate.RotateAs(t.Context(), "crm", ann); fault.ExitOf(err) != fault.ExitApproval {
		t.Errorf("by hand: %v", err)
	}
	if err := gate.ApproveRotation(t.Context(), "crm", ann); err != nil {
		t.Fatal(err)
	}
	b.until("it is done", shows("done"))
	if e := b.newest(gate); e.Actor != "schedule" || !slices.Equal(e.Approved, []string{"ann"}) {
		t.Errorf("begun by %s, approved by %q", e.Actor, e.Approved)
	}
	clock.pass(2 * time.Hour)
	b.until("the next one waits again", shows("approval"))
}

// held is a gate with a run of crm that stands in its test until there is no file hold.
func held(t *testing.T) (b *bed, k *provider, gate *app.App, ended <-chan error) {
	t.Helper()
	k = newProvider(t)
	b = newBed(t, func(string) string {
		return strings.Replace(rotated(newLocked(t), "")(""), "{kind: generate}", k.driver(), 1)
	})
	b.put("crm", "canary-of-before")
	gate = b.serve()
	k.hold(t)
	done := make(chan error, 1)
	go func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := gate.SecretRotations().Rotate(ctx, "crm", run.Request{Run: "job-7", Actor: "test"}, nil)
		done <- err
	}()
	b.until("it is tested", func() bool { _, err := os.Stat(k.path("testing")); return err == nil })
	return b, k, gate, done
}

// TestAbortUnderWay: a run is taken back at once although a step is under way that takes long.
func TestAbortUnderWay(t *testing.T) {
	b, k, gate, ended := held(t)
	e, err := gate.SecretRotations().Abort(t.Context(), "crm", "ann", nil)
	if err != nil || e.State != run.StateAborted || e.Aborted != "ann" {
		t.Errorf("%s by %q (%v)", e.State, e.Aborted, err)
	}
	if err := <-ended; err == nil {
		t.Error("who began it was not told")
	}
	if got := k.there(t); len(got) != 1 || got[0] != "first" {
		t.Errorf("keys %q", got)
	}
	b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
}

// TestSameRequestFollows: a request that is repeated under its own id while the run goes on gets what that comes to, as
// often as it asks and although one of those who ask leaves. Any other is told that the gate is at work.
func TestSameRequestFollows(t *testing.T) {
	b, k, gate, ended := held(t)
	type got struct {
		e   run.Entry
		err error
	}
	results := make(chan got, 3)
	for range 2 {
		seen := make(chan run.Step, 100)
		go func() {
			e, err := gate.SecretRotations().Rotate(context.WithoutCancel(t.Context()), "crm",
				run.Request{Run: "job-7", Actor: "again"}, func(e run.Entry) { seen <- e.Step })
			results <- got{e, err}
		}()
		if step := <-seen; step != run.StepTest {
			t.Errorf("who follows is told step %s", step)
		}
	}
	leaves, leave := context.WithCancel(t.Context())
	_, err := gate.SecretRotations().Rotate(leaves, "crm", run.Request{Run: "job-7", Actor: "leaves"},
		func(run.Entry) { leave() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves: %v", err)
	}
	for _, other := range []string{"", "job-8"} {
		_, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Run: other, Actor: "other"}, nil)
		if !errors.Is(err, secrets.ErrBusy) || fault.ExitOf(err) != fault.ExitLocked {
			t.Errorf("request %q: %v", other, err)
		}
	}
	if err := os.Remove(k.path("hold")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	runs, err := gate.SecretRotations().History(t.Context(), "crm")
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs (%v)", len(runs), err)
	}
	for range 2 {
		if one := <-results; one.err != nil || one.e.ID != runs[0].ID || one.e.NewVersion == "" {
			t.Errorf("who followed got run %s, %s (%v)", one.e.ID, one.e.State, one.err)
		}
	}
	b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
}

// TestAbortIsFollowed: who follows a run that a person takes back is told so.
func TestAbortIsFollowed(t *testing.T) {
	_, _, gate, ended := held(t)
	seen, states := make(chan run.Step, 100), make(chan run.State, 1)
	go func() {
		e, _ := gate.SecretRotations().Rotate(context.WithoutCancel(t.Context()), "crm",
			run.Request{Run: "job-7", Actor: "again"}, func(e run.Entry) { seen <- e.Step })
		states <- e.State
	}()
	<-seen
	if _, err := gate.SecretRotations().Abort(t.Context(), "crm", "ann", nil); err != nil {
		t.Fatal(err)
	}
	<-ended
	if state := <-states; state != run.StateAborted {
		t.Errorf("who followed was told %q", state)
	}
	if runs, err := gate.SecretRotations().History(t.Context(), "crm"); err != nil || len(runs) != 1 {
		t.Errorf("%d runs (%v)", len(runs), err)
	}
}

// TestRemovedRotation: a configuration without a rotation whose run is unfinished leaves the run where it stands: it is
// listed, and whoever wants to go on or take it back is told how. The gate that has begun it still knows it.
func TestRemovedRotation(t *testing.T) {
	b, k, gate, ended := held(t)
	with, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	without, _, _ := strings.Cut(string(with), "rotations:")
	b.write(without)
	if err := gate.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	go gate.SecretRotations().Close()
	if err := <-ended; err == nil {
		t.Fatal("it was not interrupted")
	}
	if err := gate.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := b.serve()
	if list, err := next.SecretRotations().Status(t.Context()); err != nil || len(list) != 1 || !list[0].Removed {
		t.Errorf("the status is %+v (%v)", list, err)
	}
	for what, err := range map[string]error{
		"abort":  second(next.SecretRotations().Abort(t.Context(), "crm", "ann", nil)),
		"resume": second(next.SecretRotations().Resume(t.Context(), "crm", nil)),
		"rotate": second(next.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "ann"}, nil)),
	} {
		if err == nil || !strings.Contains(err.Error(), "at step test") ||
			!strings.Contains(fault.HintOf(err), "put rotations.crm back") {
			t.Errorf("%s: %v, hint %q", what, err, fault.HintOf(err))
		}
	}
	b.write(string(with))
	if err := next.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, err := next.SecretRotations().Abort(t.Context(), "crm", "ann", nil); err != nil ||
		e.State != run.StateAborted {
		t.Errorf("put back: %s (%v)", e.State, err)
	}
	if got := k.there(t); len(got) != 1 || got[0] != "first" {
		t.Errorf("keys %q", got)
	}
}

func second(_ run.Entry, err error) error { return err }
