package compose_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"sallyport/internal/fleet"
	"sallyport/internal/fleet/compose"
	"sallyport/internal/fleet/fleettest"
	"sallyport/internal/testkit/docker"
)

var shared docker.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// project runs containers as Compose would: one of service main and two of service worker, which end with 1 when there
// is a file /flag/broken.
func project(t *testing.T, e *docker.Engine) (f *compose.Fleet, flags string) {
	t.Helper()
	name, flags := fmt.Sprintf("p%d", time.Now().UnixNano()), t.TempDir()
	for _, c := range []struct{ service, number string }{{"worker", "1"}, {"worker", "2"}, {"main", "1"}} {
		full := name + "-" + c.service + "-" + c.number
		bind := func(source, target string) mount.Mount {
			return mount.Mount{Type: mount.TypeBind, Source: source, Target: target, ReadOnly: true}
		}
		created, err := e.Client.ContainerCreate(t.Context(), client.ContainerCreateOptions{
			Name: full,
			Config: &container.Config{
				Image: docker.Image, StopSignal: "SIGKILL",
				Entrypoint: []string{"/bin/sh", "-c", "[ ! -e /flag/broken ] || exit 1; exec sleep infinity"},
				Labels: map[string]string{
					"com.docker.compose.project": name, "com.docker.compose.service": c.service,
					"com.docker.compose.oneoff": "False",
				},
			},
			HostConfig: &container.HostConfig{
				NetworkMode: "none", RestartPolicy: container.RestartPolicy{Name: "always"},
				Mounts: []mount.Mount{bind("/usr", "/usr"), bind(flags, "/flag")},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			// the engine ends with the test
			_, _ = e.Client.ContainerRemove(t.Context(), created.ID, client.ContainerRemoveOptions{Force: true})
		})
		if _, err := e.Client.ContainerStart(t.Context(), created.ID, client.ContainerStartOptions{}); err != nil {
			t.Fatalf("starting %s: %v: %s", full, err, e.Log())
		}
	}
	f, err := compose.New(compose.Options{Host: e.Host, Project: name, Services: []string{"worker", "main"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, flags
}

func TestConformance(t *testing.T) {
	e := shared.Engine(t)
	var flags string
	fleettest.Run(t, fleettest.Subject{
		Open: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			f, at := project(t, e)
			flags = at
			return f
		},
		Unreachable: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			f, err := compose.New(compose.Options{
				Host:    "unix://" + filepath.Join(t.TempDir(), "none.sock"),
				Project: "n8n", Services: []string{"n8n"},
			})
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Silent: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			f, err := compose.New(compose.Options{
				Host:    "unix://" + fleettest.Silence(t, "unix"),
				Project: "n8n", Services: []string{"n8n"},
			})
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Break: func(t *testing.T, _ string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(flags, "broken"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Remove: func(t *testing.T, unit string) {
			t.Helper()
			if _, err := e.Client.ContainerRemove(t.Context(), unit,
				client.ContainerRemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// TestAnother: a container of another project is none of the fleet's, whatever it is called.
func TestAnother(t *testing.T) {
	e := shared.Engine(t)
	f, _ := project(t, e)
	other, _ := project(t, e)
	units, err := other.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Restart(t.Context(), units[0].Name, 0); err == nil {
		t.Error("a container of another project was restarted")
	}
	if mine, err := f.List(t.Context()); err != nil || len(mine) != 3 {
		t.Errorf("got %d units, %v; want 3", len(mine), err)
	}
}
