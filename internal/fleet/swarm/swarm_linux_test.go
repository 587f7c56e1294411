package swarm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/fleet"
	"sallyport/internal/fleet/fleettest"
	"sallyport/internal/fleet/swarm"
	"sallyport/internal/testkit/docker"
)

var shared docker.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// services runs services of two containers each, and returns their fleet.
func services(t *testing.T, e *docker.Engine, names ...string) *swarm.Fleet {
	t.Helper()
	for i, name := range names {
		names[i] = fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
		e.Run(t, docker.Service{Name: names[i], Replicas: 2})
	}
	f, err := swarm.New(swarm.Options{Host: e.Host, Services: names})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestConformance(t *testing.T) {
	e := shared.Engine(t)
	fleettest.Run(t, fleettest.Subject{
		Open: func(t *testing.T) fleet.Orchestrator { return services(t, e, "worker", "main") },
		Unreachable: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			f, err := swarm.New(swarm.Options{
				Host:     "unix://" + filepath.Join(t.TempDir(), "none.sock"),
				Services: []string{"n8n"},
			})
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Break: func(t *testing.T, unit string) {
			t.Helper()
			update(t, e, unit, func(s *api.ServiceSpec) {
				s.TaskTemplate.ContainerSpec.Command = []string{"/bin/false"}
			})
		},
	})
}

func update(t *testing.T, e *docker.Engine, unit string, change func(*api.ServiceSpec)) {
	t.Helper()
	found, err := e.Client.ServiceInspect(t.Context(), unit, client.ServiceInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := found.Service
	change(&s.Spec)
	if _, err := e.Client.ServiceUpdate(t.Context(), s.ID,
		client.ServiceUpdateOptions{Version: s.Version, Spec: s.Spec}); err != nil {
		t.Fatal(err)
	}
}

// TestRoll restarts a fleet of two services of two containers each by the real swarm, and takes it back.
func TestRoll(t *testing.T) {
	e := shared.Engine(t)
	journal, err := fleet.OpenFiles(filepath.Join(t.TempDir(), "fleet"))
	if err != nil {
		t.Fatal(err)
	}
	r := &fleet.Roller{
		Fleet: "prod", Orchestrator: services(t, e, "worker", "main"), Journal: journal,
		Limits: fleet.Limits{Settle: time.Second, Poll: 100 * time.Millisecond, Unit: 3 * time.Minute},
	}
	if done, err := r.Begin(t.Context(), fleet.Plan{Reason: "a test"}); err != nil || done.Status != fleet.Complete {
		t.Fatalf("got %+v, %v", done, err)
	}
	if done, err := r.Rollback(t.Context()); err != nil || done.Status != fleet.Complete {
		t.Fatalf("rolling back: got %+v, %v", done, err)
	}
}
