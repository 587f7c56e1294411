package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/run"
)

// locked is an API that takes some keys, and counts who comes with another.
type locked struct {
	*httptest.Server

	mu      sync.Mutex
	refuses func(key string) bool
	seen    map[string]int
	refused int
}

func newLocked(t *testing.T) *locked {
	l := &locked{seen: make(map[string]int), refuses: func(string) bool { return false }}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

func (l *locked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	l.seen[key]++
	if l.refuses(key) {
		l.refused++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = fmt.Fprintln(w, "fine")
}

func rotated(api *locked, rest string) func(string) string {
	return func(string) string {
		return listen + "services:\n  crm: {upstream: '" + api.URL + "', allow_private: [127.0.0.1/32], " +
			"secret: ref+builtin://crm}\nrotations:\n  crm:\n    secret: ref+builtin://crm\n" +
			"    driver: {kind: generate}\n    test: {service: crm, path: /me}\n" + rest
	}
}

// TestSecretIsRotated: a secret gets another value while requests go on, and none of them fails; the new value was
// tested before, and the test is on record as that of a pending version.
func TestSecretIsRotated(t *testing.T) {
	api := newLocked(t)
	b := newBed(t, rotated(api, ""))
	b.put("crm", "canary-of-before")
	gate := b.serve()
	stop, failures := make(chan struct{}), 0
	var looping sync.WaitGroup
	looping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if b.get(gate.GatewayURL()+"/s/crm/x").status != http.StatusOK {
					failures++
				}
			}
		}
	})
	var steps []run.Step
	e, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, func(e run.Entry) {
		if len(steps) == 0 || steps[len(steps)-1] != e.Step {
			steps = append(steps, e.Step)
		}
	})
	close(stop)
	looping.Wait()
	if err != nil || e.State != run.StateDone || failures > 0 {
		t.Fatalf("state %q (%v), %d requests failed", e.State, err, failures)
	}
	b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
	api.mu.Lock()
	values := len(api.seen)
	api.mu.Unlock()
	if values != 2 {
		t.Errorf("the API has seen %d values", values)
	}
	if len(e.Verdicts) != 1 || e.Verdicts[0].Failure != "" {
		t.Errorf("the replicas said %+v", e.Verdicts)
	}
	if got := b.log.String() + fmt.Sprint(e, steps); strings.Contains(got, "canary-of-before") {
		t.Errorf("a value is shown: %s", got)
	}
	p, err := gate.SecretRotations().Plan(t.Context(), "crm")
	if err != nil || len(p.Now.Consumers) != 1 || len(p.Does.Services) != 1 || p.Does.Secret.Version != e.NewVersion {
		t.Errorf("the plan is %+v (%v)", p, err)
	}
}

// TestRefusedValueIsTakenBack: a value that the test finds wrong never becomes current.
func TestRefusedValueIsTakenBack(t *testing.T) {
	api := newLocked(t)
	b := newBed(t, rotated(api, ""))
	b.put("crm", "canary-of-before")
	gate := b.serve()
	api.mu.Lock()
	api.refuses = func(key string) bool { return key != "canary-of-before" }
	api.mu.Unlock()
	e, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
	if err == nil || e.State != run.StateRolledBack || !strings.Contains(err.Error(), "401") {
		t.Fatalf("state %q (%v)", e.State, err)
	}
	b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
	status, err := gate.SecretRotations().Status(t.Context())
	if err != nil || len(status) != 1 || status[0].Run.State != run.StateRolledBack {
		t.Errorf("the status is %+v (%v)", status, err)
	}
}

// TestRotationIsGoneOnWith: a run whose process has gone is gone on with by the next one on its data directory.
func TestRotationIsGoneOnWith(t *testing.T) {
	api := newLocked(t)
	b := newBed(t, rotated(api, ""))
	b.put("crm", "canary-of-before")
	gate := b.serve()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := make(chan error, 1)
	_, err := gate.SecretRotations().Rotate(ctx, "crm", run.Request{Actor: "test"}, func(e run.Entry) {
		if e.Step == run.StepPromote && len(stopped) == 0 {
			stopped <- nil
			go gate.SecretRotations().Close() // which waits for this run
			<-app.Stopping(gate)
		}
	})
	if err == nil {
		t.Fatal("it was not interrupted")
	}
	if err := gate.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := b.serve()
	for {
		runs, err := next.SecretRotations().History(t.Context(), "crm")
		if err != nil || len(runs) != 1 {
			t.Fatalf("the history is %+v (%v)", runs, err)
		}
		if runs[0].State == run.StateDone {
			break
		}
		next.SecretRotations().Wake()
		b.get(next.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
	}
}

// pair are two gates on one PostgreSQL. Each has the API of its own place.
func pair(t *testing.T, here, there *locked) (b *bed, first, second *app.App) {
	t.Helper()
	head := fmt.Sprintf("database: %q\nseal: {key_file: %s}\n", postgres.URL(t), filepath.Join(t.TempDir(), "seal.key"))
	of := func(api *locked) func(string) string {
		return func(url string) string { return head + rotated(api, "")(url) }
	}
	b = newBed(t, of(here))
	b.put("crm", "canary-of-before")
	other := newBedOn(t, b, of(there))
	return b, b.serve(), other.serve()
}

// TestEveryReplicaProves: both replicas make the test call, and both use the new version when the run is done.
func TestEveryReplicaProves(t *testing.T) {
	here, there := newLocked(t), newLocked(t)
	b, first, second := pair(t, here, there)
	e, err := first.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
	if err != nil || e.State != run.StateDone || len(e.Verdicts) != 2 {
		t.Fatalf("state %q, verdicts %+v (%v)", e.State, e.Verdicts, err)
	}
	b.get(second.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
	there.mu.Lock()
	defer there.mu.Unlock()
	if len(there.seen) != 1 || there.seen["canary-of-before"] > 0 {
		t.Errorf("the other replica used %d values", len(there.seen))
	}
}

// TestOneReplicaRefuses: a value that works from one replica and not from another is taken back, and the error says
// where it failed.
func TestOneReplicaRefuses(t *testing.T) {
	here, there := newLocked(t), newLocked(t)
	b, first, second := pair(t, here, there)
	there.refuses = func(key string) bool { return key != "canary-of-before" }
	e, err := first.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
	if err == nil || e.State != run.StateRolledBack || !strings.Contains(err.Error(), "1 of 2 replicas failed") {
		t.Fatalf("state %q (%v)", e.State, err)
	}
	b.get(first.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
	b.get(second.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
}

// TestNoticesAreDelivered: a webhook of the configuration is told, at an address that the configuration allows, and its
// own address is nowhere in the log.
func TestNoticesAreDelivered(t *testing.T) {
	bodies := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- r.URL.Path + " " + string(body)
	}))
	defer hook.Close()
	const address = "/canary-of-the-webhook"
	b := newBed(t, rotated(newLocked(t), "    notify: [ref+builtin://hook, ref+builtin://shut]\n"+
		"    notify_private: [127.0.0.1/32]\n"))
	b.put("hook", hook.URL+address)
	b.put("shut", "http://127.0.0.2:1"+address)
	gate := b.serve()
	e, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
	if err != nil || e.State != run.StateDone {
		t.Fatalf("state %q (%v)", e.State, err)
	}
	if got := <-bodies; !strings.HasPrefix(got, address+" ") || !strings.Contains(got, `"kind":"done"`) ||
		!strings.Contains(got, `"text":"[info] rotation crm is done`) {
		t.Errorf("got %s", got)
	}
	if err := gate.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := b.log.String(); strings.Contains(text, address) || !strings.Contains(text, "notify_private") {
		t.Errorf("the log is:\n%s", text)
	}
}

// TestWhatChangesThePlan: each change of the configuration that a run would follow, and no other.
func TestWhatChangesThePlan(t *testing.T) {
	api := newLocked(t)
	text := rotated(api, "    grace: 1h\n")
	b := newBed(t, text)
	gate := b.serve()
	hash := func(from, to string) string {
		t.Helper()
		b.write(strings.Replace(text(""), from, to, 1))
		if err := gate.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		p, err := gate.SecretRotations().Plan(t.Context(), "crm")
		if err != nil {
			t.Fatal(err)
		}
		return p.Hash
	}
	before := hash("", "")
	seen := map[string]string{before: "nothing"}
	another := func(name, secret string) string {
		return "services:\n  " + name + ": {upstream: 'https://" + name + ".example.org', secret: ref+builtin://" +
			secret + "}\n"
	}
	for what, c := range map[string][2]string{
		"driver's setting": {"{kind: generate}", "{kind: generate, length: 24}"},
		"test call":        {"path: /me", "path: /you"},
		"method":           {"path: /me", "method: HEAD, path: /me"},
		"place to go to":   {"upstream: '" + api.URL + "'", "upstream: '" + api.URL + "/v2'"},
		"number of people": {"grace: 1h", "grace: 1h\n    approve: 2"},
		"grace time":       {"grace: 1h", "grace: 2h"},
		"user":             {"services:\n", another("crm2", "crm")},
	} {
		got := hash(c[0], c[1])
		if other, there := seen[got]; there {
			t.Errorf("with another %s the plan is that of another %s", what, other)
		}
		seen[got] = what
	}
	for what, c := range map[string][2]string{
		"a comment":         {"services:", "# a comment\nservices:"},
		"a service apart":   {"services:\n", another("erp", "erp")},
		"when it would be":  {"grace: 1h", "grace: 1h\n    schedule: {every: 30d}"},
		"who is told of it": {"grace: 1h", "grace: 1h\n    notify: [ref+builtin://hook]"},
	} {
		if hash(c[0], c[1]) != before {
			t.Errorf("%s changes the plan", what)
		}
	}
	script := filepath.Join(t.TempDir(), "rotate.sh")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(script, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("exit 0")
	one := hash("{kind: generate}", "{kind: exec, command: ["+script+"]}")
	write("exit 3")
	if two := hash("{kind: generate}", "{kind: exec, command: ["+script+"]}"); one == two || seen[two] != "" {
		t.Error("another script under the same name does not change the plan")
	}
	hash("", "")
	b.put("crm", "another-canary")
	if hash("", "") == before {
		t.Error("another current version does not change the plan")
	}
}

// TestTwoReplicasRotateAtOnce: of two replicas that rotate one secret at the same time each is through or told that the
// other is at it; every run on record is done, and both use the version that the store has.
func TestTwoReplicasRotateAtOnce(t *testing.T) {
	here, there := newLocked(t), newLocked(t)
	b, first, second := pair(t, here, there)
	for range 3 {
		var both sync.WaitGroup
		for _, gate := range []*app.App{first, second} {
			both.Go(func() {
				_, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
				if err != nil && fault.ExitOf(err) != fault.ExitLocked {
					t.Errorf("got %v", err)
				}
			})
		}
		both.Wait()
	}
	runs, err := first.SecretRotations().History(t.Context(), "crm")
	if err != nil || len(runs) < 3 {
		t.Fatalf("%d runs (%v)", len(runs), err)
	}
	for _, e := range runs {
		if e.State != run.StateDone {
			t.Errorf("run %d is %s: %s", e.Number, e.State, e.LastError)
		}
	}
	value, version, err := b.state.Builtin.Get(t.Context(), "crm", "")
	if err != nil || version.ID != runs[0].NewVersion {
		t.Errorf("version %s is current, and the newest run made %s (%v)", version.ID, runs[0].NewVersion, err)
	}
	for i, gate := range []*app.App{first, second} {
		b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
		api := []*locked{here, there}[i]
		api.mu.Lock()
		if api.seen[string(value.Reveal())] < 2 { // the test, and this call
			t.Errorf("gate %d does not use the current version", i)
		}
		api.mu.Unlock()
	}
}
