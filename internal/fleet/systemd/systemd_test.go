package systemd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/fleet/fleettest"
	"sallyport/internal/fleet/systemd"
)

// standIn is a systemctl whose units are folders: it prints what systemd 252 prints. There is no systemd to start in a
// test.
const standIn = `#!/bin/sh
dir=DIR
verb= unit= host=
for a in "$@"; do
  case $a in
  --host=*) host=${a#--host=}. ;;
  -*) ;;
  *) if [ -z "$verb" ]; then verb=$a; else unit=$a; fi ;;
  esac
done
[ ! -e "$dir/down" ] || { echo "Failed to connect to bus: Connection refused" >&2; exit 1; }
[ ! -e "$dir/denied" ] || [ "$verb" = show ] || { echo "Failed to $verb $unit: Interactive authentication required." >&2; exit 1; }
at=$dir/$host$unit
if [ ! -d "$at" ]; then
  [ "$verb" = show ] || { echo "Failed to $verb $unit: Unit $unit not found." >&2; exit 5; }
  printf 'LoadState=not-found\nActiveState=inactive\n'; exit 0
fi
state=$(cat "$at/state") n=$(cat "$at/n")
case $verb in
show)
  sub=dead; [ "$state" != active ] || sub=running
  printf 'TimeoutStopUSec=1min 30s\nNRestarts=0\nResult=exit-code\nLoadState=loaded\nActiveState=%s\nSubState=%s\nInvocationID=id%s\n' "$state" "$sub" "$n" ;;
restart|start)
  [ "$verb$state" != startactive ] || exit 0
  echo $((n+1)) >"$at/n"; echo active >"$at/state"; [ ! -e "$at/broken" ] || echo failed >"$at/state" ;;
stop) echo inactive >"$at/state" ;;
esac
`

func fleetOf(t *testing.T, units ...string) (f *systemd.Fleet, dir string) {
	t.Helper()
	dir = t.TempDir()
	program := filepath.Join(dir, "systemctl")
	write(t, program, strings.ReplaceAll(standIn, "DIR", dir))
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, unit := range units {
		at := filepath.Join(dir, strings.ReplaceAll(unit, ":", "."))
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(at, "state"), "active\n")
		write(t, filepath.Join(at, "n"), "1\n")
	}
	return systemd.New(systemd.Options{Units: units, Systemctl: program}), dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	var dir string
	fleettest.Run(t, fleettest.Subject{
		Open: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			f, at := fleetOf(t, "n8n-2:n8n-worker.service", "n8n.service")
			dir = at
			return f
		},
		Unreachable: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			f, at := fleetOf(t, "n8n.service")
			write(t, filepath.Join(at, "down"), "")
			return f
		},
		Known: "n8n.service",
		Break: func(t *testing.T, unit string) {
			t.Helper()
			write(t, filepath.Join(dir, strings.ReplaceAll(unit, ":", "."), "broken"), "")
		},
		Remove: func(t *testing.T, unit string) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(dir, strings.ReplaceAll(unit, ":", "."))); err != nil {
				t.Fatal(err)
			}
		},
	})
}

func TestDenied(t *testing.T) {
	f, dir := fleetOf(t, "n8n.service")
	write(t, filepath.Join(dir, "denied"), "")
	err := f.Restart(t.Context(), "n8n.service", time.Second)
	if !errors.Is(err, fleet.ErrNotAllowed) || !strings.Contains(fault.HintOf(err), "polkit") {
		t.Errorf("got %v with hint %q", err, fault.HintOf(err))
	}
}

func TestGrace(t *testing.T) {
	f, _ := fleetOf(t, "n8n.service")
	if u, err := f.Look(t.Context(), "n8n.service"); err != nil || u.Grace != 90*time.Second {
		t.Errorf("got %v, %v; want 1m30s", u.Grace, err)
	}
}
