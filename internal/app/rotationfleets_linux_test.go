package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/rotation/run"
	"sallyport/internal/testkit/docker"
	"sallyport/internal/testkit/kube"
)

// orchestrated is a fleet of two units of two nodes each, run by a real orchestrator.
type orchestrated struct {
	settings string                     // of the fleet
	units    []string                   // in the order in which they are restarted
	nodes    func(unit string) []string // that run now: each has a name of its own
	spoil    func(unit string)          // its next nodes crash
	mend     func(unit string)
}

// TestRotationRestartsASwarm: the step restart of a rotation is the rolling update of a real swarm.
func TestRotationRestartsASwarm(t *testing.T) {
	e, folder := docker.Start(t), t.TempDir()
	units := []string{"n8n-worker", "n8n-main"}
	for _, name := range units {
		e.Run(t, docker.Service{Name: name, Replicas: 2, Folder: folder, Command: []string{
			"/bin/sh", "-c", "test ! -e " + docker.Folder + "/" + name + " && exec sleep infinity",
		}})
	}
	testRotationRestarts(t, orchestrated{
		settings: fmt.Sprintf("{kind: swarm, host: %q, services: [n8n-worker, n8n-main], settle: 1s, timeout: 20s}",
			e.Host),
		units: units,
		nodes: func(unit string) []string { return e.Running(t, unit) },
		spoil: func(unit string) {
			if err := os.WriteFile(filepath.Join(folder, unit), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		mend: func(unit string) { _ = os.Remove(filepath.Join(folder, unit)) },
	})
}

// TestRotationRestartsDeployments: the step restart of a rotation is the rollout of Deployments of a real API server.
func TestRotationRestartsDeployments(t *testing.T) {
	server := kube.Start(t)
	d := server.Deployments(t, "n8n-worker", "n8n-main")
	testRotationRestarts(t, orchestrated{
		settings: fmt.Sprintf("{kind: kubernetes, kubeconfig: %q, namespace: %s, workloads: [deployment/n8n-worker, "+
			"deployment/n8n-main], settle: 1s, timeout: 20s}", server.Kubeconfig(t, server.AdminToken, d.Namespace),
			d.Namespace),
		units: []string{"n8n-worker", "n8n-main"},
		nodes: func(unit string) []string { return d.Pods(t, unit) },
		spoil: d.Break,
		mend:  d.Mend,
	})
}

// testRotationRestarts rotates a secret that the fleet's nodes read at their start: every node is another one
// afterwards. Then it rotates it again, and a unit never becomes healthy: the run is held at its step and says why,
// callers have the new value, the other unit is left alone, and once the unit is mended the run comes to its end.
func testRotationRestarts(t *testing.T, o orchestrated) {
	t.Helper()
	api := newLocked(t)
	b := newBed(t, rotated(api, "    restart: [prod]\nfleets:\n  prod: "+o.settings+"\n"))
	b.put("crm", "canary-of-before")
	gate := b.serve()
	b.until("all nodes run", func() bool { return len(o.all(o.units...)) == 4 })

	before := o.all(o.units...)
	e, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
	if err != nil || e.State != run.StateDone {
		t.Fatalf("the rotation stands at %q, %q: %v", e.State, e.Step, err)
	}
	o.replaced(t, o.units, before)
	b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")

	broken, other := o.units[0], o.nodes(o.units[1])
	o.spoil(broken)
	e, err = gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
	if err == nil || e.Step != run.StepRestart || e.Ended() || !strings.Contains(e.LastError, broken) || e.Hint == "" {
		t.Fatalf("with a unit that crashes the rotation stands at %q, step %q, %q, hint %q: %v", e.State, e.Step,
			e.LastError, e.Hint, err)
	}
	if now := o.nodes(o.units[1]); !slices.Equal(sorted(now), sorted(other)) {
		t.Errorf("the nodes of %s were %q and are %q, although the unit before is not healthy", o.units[1], other, now)
	}
	b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")

	o.mend(broken)
	// The mended unit may be on its way still: who goes on that early is told so, and nothing is done.
	b.until("the mended unit is whole", func() bool {
		err = resumed(t, gate)
		return err == nil || !strings.Contains(err.Error(), "is changing")
	})
	if err != nil {
		t.Fatalf("once the unit is mended: %v", err)
	}
	o.replaced(t, o.units[1:], other)
	b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
}

// resumed goes on with the run, as `rotation resume` does.
func resumed(t *testing.T, gate *app.App) error {
	t.Helper()
	e, err := gate.SecretRotations().Resume(t.Context(), "crm", nil)
	if err == nil && e.State != run.StateDone {
		err = fmt.Errorf("it stands at %q, step %q", e.State, e.Step)
	}
	return err
}

func (o *orchestrated) all(units ...string) (nodes []string) {
	for _, unit := range units {
		nodes = append(nodes, o.nodes(unit)...)
	}
	return nodes
}

// replaced wants none of the nodes before to run, and as many others.
func (o *orchestrated) replaced(t *testing.T, units, before []string) {
	t.Helper()
	now := o.all(units...)
	stays := func(node string) bool { return slices.Contains(before, node) }
	if len(now) != len(before) || slices.ContainsFunc(now, stays) {
		t.Errorf("the nodes were %q and are %q, want as many others", before, now)
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
