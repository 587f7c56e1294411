package swarm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/fault"
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
		Silent: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			f, err := swarm.New(swarm.Options{
				Host:     "unix://" + fleettest.Silence(t, "unix"),
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

// versionOf makes a version of a secret as package secret/swarm does.
func versionOf(t *testing.T, e *docker.Engine, name string, number int) string {
	t.Helper()
	made, err := e.Client.SecretCreate(t.Context(), client.SecretCreateOptions{Spec: api.SecretSpec{
		Annotations: api.Annotations{
			Name:   fmt.Sprintf("%s_v%d", name, number),
			Labels: map[string]string{"sallyport.name": name, "sallyport.version": strconv.Itoa(number)},
		},
		Data: []byte(fmt.Sprintf("value %d", number)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// TestSecrets: a restart has services mount the newest version under the same target, with the same owner and mode. An
// older one is removed once nothing uses it and nothing would go back to it, and never before.
func TestSecrets(t *testing.T) {
	e := shared.Engine(t)
	stamp := time.Now().UnixNano()
	name, service, outsider := fmt.Sprintf("key%d", stamp), fmt.Sprintf("n8n-%d", stamp), fmt.Sprintf("other-%d", stamp)
	mount := func(id string, number int) *api.SecretReference {
		ref := docker.Mount(id, fmt.Sprintf("%s_v%d", name, number), "key")
		ref.File.UID, ref.File.GID, ref.File.Mode = "1000", "1001", 0o440
		return ref
	}
	first := versionOf(t, e, name, 1)
	own := mount(first, 1) // Docker has one file for a secret, whatever it is mounted as
	own.File.Name = name + "_v1"
	e.Run(t, docker.Service{Name: service, Replicas: 2, Secrets: []*api.SecretReference{mount(first, 1), own}})
	f, err := swarm.New(swarm.Options{Host: e.Host, Services: []string{service}, Secrets: []string{name}, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	journal, err := fleet.OpenFiles(filepath.Join(t.TempDir(), "fleet"))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	r := &fleet.Roller{
		Fleet: "prod", Orchestrator: f, Journal: journal, Tell: func(e fleet.Event) { told = append(told, e.Text) },
		Limits: fleet.Limits{Settle: time.Second, Poll: 100 * time.Millisecond, Unit: 3 * time.Minute},
	}
	restart := func(wantValue string, wantHeld ...string) {
		t.Helper()
		if done, err := r.Begin(t.Context(), fleet.Plan{}); err != nil || done.Status != fleet.Complete {
			t.Fatalf("got %+v, %v", done, err)
		}
		sees(t, e, service, wantValue)
		held(t, e, name, wantHeld...)
	}

	restart("value 1", "1") // nothing newer
	versionOf(t, e, name, 2)
	restart("value 2", "1", "2") // its own name is mounted, and it is the way back
	if got := e.Exec(t, service, nil, "/usr/bin/cat", "/run/secrets/"+name+"_v1")[0]; got != "value 1" {
		t.Errorf("under its own name the old version is %q", got)
	}
	update(t, e, service, func(s *api.ServiceSpec) { // until a deployment takes that away
		s.TaskTemplate.ContainerSpec.Secrets = s.TaskTemplate.ContainerSpec.Secrets[:1]
	})
	if done, err := r.Begin(t.Context(), fleet.Plan{Force: true}); err != nil {
		t.Fatalf("got %+v, %v", done, err)
	}
	held(t, e, name, "2") // two updates on, nothing goes back to the first one
	second := inspectSecret(t, e, name+"_v2")
	e.Run(t, docker.Service{Name: outsider, Replicas: 1, Secrets: []*api.SecretReference{mount(second, 2)}})
	versionOf(t, e, name, 3)
	restart("value 3", "2", "3")
	if done, err := r.Rollback(t.Context()); err != nil || done.Status != fleet.Complete {
		t.Fatalf("rolling back: got %+v, %v", done, err)
	}
	sees(t, e, service, "value 2")
	held(t, e, name, "2", "3") // a rollback removes nothing
	restart("value 3", "2", "3")
	restart("value 3", "2", "3") // the service has left it; another one, which is not of the fleet, has it
	if !slices.Contains(told, "removed "+name+"_v1, which nothing uses any more") {
		t.Errorf("it told %q", told)
	}
}

func inspectSecret(t *testing.T, e *docker.Engine, name string) string {
	t.Helper()
	found, err := e.Client.SecretInspect(t.Context(), name, client.SecretInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found.Secret.ID
}

// sees: each container has this value under the target, with the owner and mode of the first version.
func sees(t *testing.T, e *docker.Engine, service, want string) {
	t.Helper()
	for command, want := range map[string]string{"cat": want, "stat -c %a,%u,%g": "440,1000,1001"} {
		words := append(strings.Fields(command), "/run/secrets/key")
		words[0] = "/usr/bin/" + words[0]
		for _, got := range e.Exec(t, service, nil, words...) {
			if strings.TrimSpace(got) != want {
				t.Errorf("%s says %q, want %q", command, got, want)
			}
		}
	}
}

// held: the swarm has these versions.
func held(t *testing.T, e *docker.Engine, name string, want ...string) {
	t.Helper()
	list, err := e.Client.SecretList(t.Context(), client.SecretListOptions{
		Filters: make(client.Filters).Add("label", "sallyport.name="+name),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list.Items {
		got = append(got, s.Spec.Labels["sallyport.version"])
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the swarm has the versions %q, want %q", got, want)
	}
}

// TestNoSuchSecret: a fleet that is to take a secret which the swarm does not have changes nothing.
func TestNoSuchSecret(t *testing.T) {
	e := shared.Engine(t)
	name := fmt.Sprintf("n8n-%d", time.Now().UnixNano())
	e.Run(t, docker.Service{Name: name, Replicas: 1})
	f, err := swarm.New(swarm.Options{Host: e.Host, Services: []string{name}, Secrets: []string{"absent"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	before, err := f.Look(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Restart(t.Context(), name, 0)
	if err == nil || !strings.Contains(err.Error(), `no version of secret "absent"`) || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if after, err := f.Look(t.Context(), name); err != nil || after.Generation != before.Generation {
		t.Errorf("it was restarted: %v", err)
	}
}
