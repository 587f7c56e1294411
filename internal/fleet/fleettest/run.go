package fleettest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/guard"
	"sallyport/internal/pause"
)

// Subject is an orchestrator with a fleet to try it on.
type Subject struct {
	// Open returns the orchestrator of a fresh fleet of one unit or more, which are ready or become so.
	Open func(t *testing.T) fleet.Orchestrator
	// Unreachable returns one whose orchestrator is not there. nil: it is no server.
	Unreachable func(t *testing.T) fleet.Orchestrator
	// Silent returns one whose orchestrator listens at an address, as Silence does, and never answers. nil: it is no
	// server.
	Silent func(t *testing.T) fleet.Orchestrator
	// Known is a unit that Unreachable's configuration names; "" is n8n.
	Known string
	// Break makes the next restart of a unit never be healthy. nil: the test cannot.
	Break func(t *testing.T, unit string)
	// Remove takes a unit away. nil: the test cannot.
	Remove func(t *testing.T, unit string)
	// Elsewhere: the nodes do not run in the test, so that nothing follows a restart.
	Elsewhere bool

	Patience time.Duration // how long what takes seconds may take; 0 is 3 min
}

const grace = 2 * time.Second

// Run holds an orchestrator to the contract of fleet.Orchestrator, and of Reverter and Scaler where it is one.
func Run(t *testing.T, s Subject) {
	if s.Patience == 0 {
		s.Patience = 3 * time.Minute
	}
	t.Run("calls", func(t *testing.T) {
		o, units := s.open(t)
		s.list(t, o, units)
		strangers(t, o)
		cancelled(t, o, units)
	})
	t.Run("restart", s.restart)
	if s.Unreachable != nil {
		t.Run("unreachable", s.unreachable)
	}
	if s.Silent != nil {
		t.Run("silent", s.silent)
	}
	if s.Break != nil {
		t.Run("broken", s.broken)
	}
	if s.Remove != nil {
		t.Run("removed", s.removed)
	}
	t.Run("revert", s.revert)
	t.Run("scale", s.scale)
}

func (s *Subject) open(t *testing.T) (fleet.Orchestrator, []fleet.Unit) {
	t.Helper()
	o := s.Open(t)
	units, err := o.List(t.Context())
	if err != nil || len(units) == 0 {
		t.Fatalf("List returned %d units and %v", len(units), err)
	}
	for i, u := range units {
		units[i] = s.await(t, o, u.Name, fleet.Ready)
	}
	return o, units
}

// await looks at a unit until it is in the state.
func (s *Subject) await(t *testing.T, o fleet.Orchestrator, unit string, want fleet.State) fleet.Unit {
	t.Helper()
	var last fleet.Unit
	for deadline := time.Now().Add(s.Patience); time.Now().Before(deadline); _ = pause.For(t.Context(),
		50*time.Millisecond) {
		var err error
		if last, err = o.Look(t.Context(), unit); err != nil {
			t.Fatalf("Look(%q): %v", unit, err)
		}
		if s.Elsewhere && want == fleet.Ready && last.State != fleet.Failed || last.State == want {
			return last
		}
	}
	t.Fatalf("unit %q did not become %s within %v: %+v", unit, want, s.Patience, last)
	return last
}

func (s *Subject) list(t *testing.T, o fleet.Orchestrator, units []fleet.Unit) {
	t.Helper()
	again, err := o.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != len(units) {
		t.Fatalf("a second List returned %d units, want %d", len(again), len(units))
	}
	seen := make(map[string]bool)
	for i, u := range units {
		if again[i].Name != u.Name {
			t.Errorf("a second List has %q where %q was", again[i].Name, u.Name)
		}
		if again[i].Generation != u.Generation {
			t.Errorf("unit %q changed its generation without a restart: %q, then %q", u.Name, u.Generation,
				again[i].Generation)
		}
		if u.Name == "" || seen[u.Name] {
			t.Errorf("name %q is empty or stands there twice", u.Name)
		}
		seen[u.Name] = true
		ways(t, u)
		if u.Want != len(u.Nodes) && !s.Elsewhere {
			t.Errorf("ready unit %q has %d nodes and wants %d", u.Name, len(u.Nodes), u.Want)
		}
	}
}

// ways: a node is reached as the fleet itself has found it. A way that leaves this to the environment of whoever runs
// a command leads to another node of the same name, where there is one.
func ways(t *testing.T, u fleet.Unit) {
	t.Helper()
	for _, n := range u.Nodes {
		kind, where, _ := strings.Cut(string(n.Way), ":")
		if slices.Contains([]string{"docker", "kubectl", "nomad"}, kind) && !strings.Contains(where, "?") {
			t.Errorf("node %q of unit %q is reached by %q, which does not say through what", n.Name, u.Name, n.Way)
		}
		if n.Way != "" && n.Away != nil {
			t.Errorf("node %q of unit %q is here and elsewhere", n.Name, u.Name)
		}
	}
}

// restart: the generation is another one as soon as Restart has returned, and every process as soon as the unit is
// ready.
func (s *Subject) restart(t *testing.T) {
	o, units := s.open(t)
	before := units[len(units)-1]
	if err := o.Restart(t.Context(), before.Name, grace); err != nil {
		t.Fatal(err)
	}
	began, err := o.Look(t.Context(), before.Name)
	if err != nil {
		t.Fatal(err)
	}
	if before.Generation != "" && began.Generation == before.Generation {
		t.Errorf("the generation is still %q after Restart", began.Generation)
	}
	after := s.await(t, o, before.Name, fleet.Ready)
	for _, was := range before.Nodes {
		for _, is := range after.Nodes {
			if was.Instance == is.Instance && !s.Elsewhere {
				t.Errorf("process %q of node %q outlived the restart", is.Instance, is.Name)
			}
		}
	}
	for _, other := range units[:len(units)-1] {
		now, err := o.Look(t.Context(), other.Name)
		if err != nil || now.Generation != other.Generation {
			t.Errorf("unit %q was restarted too, or is gone: %v", other.Name, err)
		}
	}
}

func strangers(t *testing.T, o fleet.Orchestrator) {
	t.Helper()
	for _, name := range []string{"no-such-unit", "", "../x", "-x", "deployment/no-such-unit"} {
		if _, err := o.Look(t.Context(), name); !errors.Is(err, fleet.ErrGone) {
			t.Errorf("Look(%q): got %v, want ErrGone", name, err)
		}
		if err := o.Restart(t.Context(), name, grace); !errors.Is(err, fleet.ErrGone) {
			t.Errorf("Restart(%q): got %v, want ErrGone", name, err)
		}
	}
}

func cancelled(t *testing.T, o fleet.Orchestrator, units []fleet.Unit) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("List: got %v, want the context's end", err)
	}
	if _, err := o.Look(ctx, units[0].Name); !errors.Is(err, context.Canceled) {
		t.Errorf("Look: got %v, want the context's end", err)
	}
	if err := o.Restart(ctx, units[0].Name, grace); !errors.Is(err, context.Canceled) {
		t.Errorf("Restart: got %v, want the context's end", err)
	}
}

func (s *Subject) unreachable(t *testing.T) {
	o, unit := s.Unreachable(t), cmp.Or(s.Known, "n8n")
	_, errList := o.List(t.Context())
	_, errLook := o.Look(t.Context(), unit)
	for call, err := range map[string]error{
		"List": errList, "Look": errLook,
		"Restart": o.Restart(t.Context(), unit, grace),
	} {
		if !errors.Is(err, fleet.ErrUnreachable) || fault.HintOf(err) == "" {
			t.Errorf("%s: got %v with hint %q, want ErrUnreachable and a hint", call, err, fault.HintOf(err))
		}
	}
}

// silent: what takes a call and never answers is not waited for without end.
func (s *Subject) silent(t *testing.T) {
	if _, err := s.Silent(t).List(t.Context()); !errors.Is(err, fleet.ErrUnreachable) || fault.HintOf(err) == "" {
		t.Errorf("List: got %v with hint %q, want ErrUnreachable and a hint", err, fault.HintOf(err))
	}
}

// Silence is the address of a server on this machine that takes connections and never answers. network is "unix" or
// "tcp".
func Silence(t *testing.T, network string) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s.sock")
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	var serving guard.Group
	serving.Go("being silent", func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close() //nolint:errcheck // when the test ends
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	return listener.Addr().String()
}

// broken: a unit whose nodes end at once is not ready, or ready now and then with other processes.
func (s *Subject) broken(t *testing.T) {
	o, units := s.open(t)
	unit := units[0].Name
	s.Break(t, unit)
	if err := o.Restart(t.Context(), unit, grace); err != nil {
		t.Fatal(err)
	}
	var last string
	for same, looks := 0, 0; looks < 30; looks++ {
		u, err := o.Look(t.Context(), unit)
		if err != nil {
			t.Fatal(err)
		}
		now := fmt.Sprint(u.Nodes)
		if same++; u.State != fleet.Ready || now != last {
			same = 0
		}
		if last = now; same > 15 {
			t.Fatalf("a unit whose nodes end at once stays ready: %+v", u)
		}
		_ = pause.For(t.Context(), 50*time.Millisecond)
	}
}

func (s *Subject) removed(t *testing.T) {
	o, units := s.open(t)
	unit := units[0].Name
	s.Remove(t, unit)
	if _, err := o.Look(t.Context(), unit); !errors.Is(err, fleet.ErrGone) {
		t.Errorf("Look: got %v, want ErrGone", err)
	}
	if err := o.Restart(t.Context(), unit, grace); !errors.Is(err, fleet.ErrGone) {
		t.Errorf("Restart: got %v, want ErrGone", err)
	}
}

func (s *Subject) revert(t *testing.T) {
	o, units := s.open(t)
	reverter, ok := o.(fleet.Reverter)
	before := units[0]
	if !ok {
		if before.Revision != "" {
			t.Errorf("unit %q has revision %q, and nothing reverts to it", before.Name, before.Revision)
		}
		return
	}
	if before.Revision == "" {
		t.Fatal("the unit has no revision to come back to")
	}
	if err := o.Restart(t.Context(), before.Name, grace); err != nil {
		t.Fatal(err)
	}
	began := s.await(t, o, before.Name, fleet.Ready)
	if err := reverter.Revert(t.Context(), before.Name, before.Revision); err != nil {
		t.Fatal(err)
	}
	back := s.await(t, o, before.Name, fleet.Ready)
	if back.Generation == began.Generation {
		t.Errorf("the generation is still %q after Revert", back.Generation)
	}
	if err := reverter.Revert(t.Context(), before.Name, "987654"); !errors.Is(err, fleet.ErrNoRevision) {
		t.Errorf("Revert to what never was: got %v, want ErrNoRevision", err)
	}
	if err := reverter.Revert(t.Context(), "no-such-unit", before.Revision); !errors.Is(err, fleet.ErrGone) {
		t.Errorf("Revert of a stranger: got %v, want ErrGone", err)
	}
}

func (s *Subject) scale(t *testing.T) {
	o, units := s.open(t)
	scaler, ok := o.(fleet.Scaler)
	if !ok {
		return
	}
	before := units[0]
	for range 2 {
		if err := scaler.Stop(t.Context(), before.Name, grace); err != nil {
			t.Fatal(err)
		}
	}
	stopped := s.await(t, o, before.Name, fleet.Stopped)
	if len(stopped.Nodes) != 0 && !s.Elsewhere {
		t.Errorf("a stopped unit has %d nodes", len(stopped.Nodes))
	}
	if listed, err := o.List(t.Context()); err != nil || len(listed) != len(units) {
		t.Errorf("List has %d units when one is stopped, and %v; want %d", len(listed), err, len(units))
	}
	for range 2 {
		if err := scaler.Start(t.Context(), before.Name, before.Want); err != nil {
			t.Fatal(err)
		}
	}
	if started := s.await(t, o, before.Name, fleet.Ready); started.Want != before.Want {
		t.Errorf("started again it wants %d nodes, want %d", started.Want, before.Want)
	}
}
