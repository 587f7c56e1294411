package command_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/fleet/command"
	"sallyport/internal/fleet/fleettest"
)

// node is a unit whose process is a line in a file.
func node(t *testing.T, dir, name string) *command.UnitSettings {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script, "sh", file} }
	return &command.UnitSettings{
		Name:    name,
		Restart: sh(`n=$(cat "$1"); echo $((n+1)) >"$1"`),
		Status: sh(`cat "$1"; [ ! -e "$1.broken" ] || { echo "it is broken" >&2; exit 3; }
			[ ! -e "$1.stopped" ] || { echo inactive; exit 3; }`),
		Stop:  sh(`touch "$1.stopped"`),
		Start: sh(`rm -f "$1.stopped"; n=$(cat "$1"); echo $((n+1)) >"$1"`),
	}
}

func TestConformance(t *testing.T) {
	var dir string
	fleettest.Run(t, fleettest.Subject{
		Open: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			dir = t.TempDir()
			return command.New([]*command.UnitSettings{node(t, dir, "worker"), node(t, dir, "main")})
		},
		Unreachable: func(*testing.T) fleet.Orchestrator {
			gone := []string{"/no/such/program"}
			return command.New([]*command.UnitSettings{{Name: "n8n", Restart: gone, Status: gone}})
		},
		Break: func(t *testing.T, unit string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, unit+".broken"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// TestSaid: what a command writes to stderr is in the error, and what it prints is not.
func TestSaid(t *testing.T) {
	f := command.New([]*command.UnitSettings{{
		Name:    "n8n",
		Restart: []string{"/bin/sh", "-c", `echo secret; printf 'no \033[1msuch host\n' >&2; exit 255`},
		Status:  []string{"/bin/sh", "-c", `echo secret; echo "host is down" >&2; exit 1`},
	}})
	err := f.Restart(t.Context(), "n8n", 0)
	if err == nil || !strings.Contains(err.Error(), "255") || !strings.Contains(err.Error(), "such host") ||
		strings.Contains(err.Error(), "secret") ||
		strings.Contains(err.Error(), "\033") || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	u, err := f.Look(t.Context(), "n8n")
	if err != nil || u.State != fleet.Changing || !strings.Contains(u.Problem, "host is down") || u.Generation != "" {
		t.Errorf("got %+v, %v", u, err)
	}
}

// TestNoStop: a unit that nothing stops says so, and so does one that only failed.
func TestNoStop(t *testing.T) {
	f := command.New([]*command.UnitSettings{{
		Name: "n8n", Restart: []string{"/bin/true"}, Status: []string{"/bin/sh", "-c", "echo failed; exit 3"},
	}})
	for _, err := range []error{f.Stop(t.Context(), "n8n", 0), f.Start(t.Context(), "n8n", 1)} {
		if !errors.Is(err, fleet.ErrNotAllowed) || fault.HintOf(err) == "" {
			t.Errorf("got %v, want ErrNotAllowed and a hint", err)
		}
	}
	if u, err := f.Look(t.Context(), "n8n"); err != nil || u.State != fleet.Changing {
		t.Errorf("a failed unit is %+v, %v", u, err)
	}
}
