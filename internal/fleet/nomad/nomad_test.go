package nomad_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/fleet/fleettest"
	"sallyport/internal/fleet/nomad"
	"sallyport/internal/secret"
)

func open(t *testing.T, f *fake, change ...func(*nomad.Options)) *nomad.Fleet {
	t.Helper()
	o := nomad.Options{
		Address: f.url, Namespace: f.namespace, Groups: []string{"n8n/worker", "n8n/main"},
		Token: func(context.Context) (secret.Value, error) { return secret.NewValue([]byte(f.token + "\n")), nil },
	}
	for _, c := range change {
		c(&o)
	}
	opened, err := nomad.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

func TestConformance(t *testing.T) {
	var f *fake
	fleettest.Run(t, fleettest.Subject{
		Open: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			f = newFake(t, "worker", "main")
			return open(t, f)
		},
		Known: "n8n/main",
		Unreachable: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			server := httptest.NewServer(http.NotFoundHandler())
			server.Close()
			return open(t, &fake{url: server.URL})
		},
		Silent: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			return open(t, &fake{url: "http://" + fleettest.Silence(t, "tcp")})
		},
		Break: func(_ *testing.T, unit string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.broken[strings.TrimPrefix(unit, "n8n/")] = true
		},
		Remove: func(_ *testing.T, unit string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.group(strings.TrimPrefix(unit, "n8n/"))["Name"] = "another"
		},
	})
}

// TestWhatIsRegistered: a restart changes one value of the job, and nothing else.
func TestWhatIsRegistered(t *testing.T) {
	f := newFake(t, "worker", "main")
	f.settle()
	was := clone(f.job)
	o := open(t, f)
	if err := o.Restart(t.Context(), "n8n/worker", time.Second); err != nil {
		t.Fatal(err)
	}
	is := clone(f.job)
	if f.group("worker")["Meta"].(object)["restarted_by_sallyport"] == "" {
		t.Error("the group is not marked")
	}
	for _, j := range []object{was, is} {
		delete(j, "Version")
		delete(j, "JobModifyIndex")
		delete(j["TaskGroups"].([]any)[0].(object), "Meta")
	}
	before, _ := json.Marshal(was)
	if after, _ := json.Marshal(is); string(after) != string(before) {
		t.Errorf("got %s\nwant %s", after, before)
	}
	units, err := o.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	way := string(units[0].Nodes[0].Way)
	if units[0].Grace != 40*time.Second || !strings.HasPrefix(way, "nomad:0000") ||
		!strings.Contains(way, "/n8n?address=http://127.0.0.1:") ||
		!strings.HasPrefix(units[0].Nodes[0].Address, "10.0.0.") {
		t.Errorf("got %+v, %v", units, err)
	}
}

// TestChangedMeanwhile: a job that another process changes in between keeps that change.
func TestChangedMeanwhile(t *testing.T) {
	f := newFake(t, "worker", "main")
	f.settle()
	o, changed := open(t, f), false
	f.before = func(r *http.Request) int {
		if r.Method == http.MethodPost && !changed {
			changed = true
			next := clone(f.job)
			next["Priority"] = 70.0
			f.register(next)
		}
		return 0
	}
	if err := o.Restart(t.Context(), "n8n/main", 0); err != nil {
		t.Fatal(err)
	}
	if f.job["Priority"] != 70.0 || f.group("main")["Meta"] == nil {
		t.Errorf("the job is %v", f.job)
	}
	f.before = func(r *http.Request) int {
		if r.Method == http.MethodPost {
			f.register(clone(f.job))
		}
		return 0
	}
	if err := o.Restart(t.Context(), "n8n/main", 0); err == nil || !strings.Contains(err.Error(), "all the time") {
		t.Errorf("got %v", err)
	}
}

// TestWentBack: a deployment that Nomad has given up and taken back itself is no restart that has worked.
func TestWentBack(t *testing.T) {
	f := newFake(t, "worker", "main")
	f.settle()
	f.mu.Lock()
	f.revert, f.broken["worker"] = true, true
	f.mu.Unlock()
	o := open(t, f)
	if err := o.Restart(t.Context(), "n8n/worker", 0); err != nil {
		t.Fatal(err)
	}
	f.settle()
	u, err := o.Look(t.Context(), "n8n/worker")
	if err != nil || u.State != fleet.Failed || !strings.Contains(u.Problem, "went back") {
		t.Errorf("got %s, %q, %v", u.State, u.Problem, err)
	}
	if u, err := o.Look(t.Context(), "n8n/main"); err != nil || u.State != fleet.Ready {
		t.Errorf("the other group is %s, %q, %v", u.State, u.Problem, err)
	}
}

// TestRefused: each refusal says what to do, and nothing that Nomad wrote.
func TestRefused(t *testing.T) {
	for status, want := range map[int]struct {
		is   error
		hint string
	}{
		403: {fleet.ErrNotAllowed, `"submit-job"`}, 401: {fleet.ErrNotAllowed, "read-job"},
		302: {fleet.ErrUnreachable, "the address that it leads to"}, 503: {fleet.ErrUnreachable, "log"},
		429: {fleet.ErrUnreachable, "log"}, 404: {fleet.ErrGone, "JOB/GROUP"}, 500: {nil, "nomad job plan"},
	} {
		f := newFake(t, "worker", "main")
		o := open(t, f)
		f.before = func(r *http.Request) int {
			if r.Method == http.MethodPost || status == 401 {
				return status
			}
			return 0
		}
		err := o.Restart(t.Context(), "n8n/main", 0)
		if err == nil || want.is != nil && !errors.Is(err, want.is) ||
			!strings.Contains(fault.HintOf(err), want.hint) ||
			strings.Contains(fmt.Sprint(err, fault.HintOf(err)), "c4n4ry") {
			t.Errorf("%d: got %v, hint %q", status, err, fault.HintOf(err))
		}
	}
}

// TestOtherJobs: what rolls nothing out is refused, and a job that is stopped stays so.
func TestOtherJobs(t *testing.T) {
	for name, change := range map[string]func(object){
		"system":   func(j object) { j["Type"] = "system" },
		"periodic": func(j object) { j["Periodic"] = object{"Enabled": true} },
	} {
		f := newFake(t, "worker", "main")
		change(f.job)
		if _, err := open(t, f).Look(t.Context(), "n8n/main"); !errors.Is(err, fleet.ErrNotAllowed) ||
			fault.HintOf(err) == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	f := newFake(t, "worker", "main")
	f.job["Stop"] = true
	f.allocations = nil
	o := open(t, f)
	f.before = func(r *http.Request) int {
		if r.Method == http.MethodPost {
			t.Error("a stopped job was registered")
		}
		return 0
	}
	if err := errors.Join(o.Restart(t.Context(), "n8n/main", 0), o.Stop(t.Context(), "n8n/main", 0)); err != nil {
		t.Error(err)
	}
	if err := o.Start(t.Context(), "n8n/main", 2); !errors.Is(err, fleet.ErrNotAllowed) {
		t.Errorf("got %v", err)
	}
}

// TestHostileAnswers: an answer without an end, one that is no job and one of another place are no units.
func TestHostileAnswers(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for chunk := []byte(strings.Repeat("[", 1<<20)); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"deep":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("[", 1<<20))) },
		"no job": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`"c4n4ry"`)) },
	} {
		server := httptest.NewServer(handle)
		t.Cleanup(server.Close)
		o := open(t, &fake{url: server.URL, namespace: "n8n"})
		_, err := o.Look(t.Context(), "n8n/main")
		if !errors.Is(err, fleet.ErrUnreachable) || fault.HintOf(err) == "" || strings.Contains(err.Error(), "c4n4ry") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestTLS: a server is known by the authority that is named, under the name that is given, and by no other.
func TestTLS(t *testing.T) {
	f := newFake(t, "worker", "main")
	server := httptest.NewTLSServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	if _, err := open(t, f).List(t.Context()); !errors.Is(err, fleet.ErrUnreachable) ||
		!strings.Contains(fault.HintOf(err), "server_name") {
		t.Errorf("got %v", err)
	}
	for _, address := range []string{"http://nomad.internal:4646", "ftp://x", "https://u:p@x", "nomad:4646"} {
		if _, err := nomad.New(nomad.Options{Address: address}); err == nil || fault.HintOf(err) == "" {
			t.Errorf("%s is taken: %v", address, err)
		}
	}
}
