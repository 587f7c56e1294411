package fleet_test

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fleet"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	one, other := openFiles(t, dir), openFiles(t, dir)
	if r, err := one.Load(t.Context(), "prod"); err != nil || r.Unfinished() {
		t.Errorf("a record that is not there: %+v, %v", r, err)
	}
	long := fleet.Record{
		ID: "1", Fleet: "prod", Reason: "a long reason, of which nothing may be left",
		Status: fleet.Running,
	}
	short := fleet.Record{
		ID: "2", Fleet: "prod", Status: fleet.Paused,
		Steps: []fleet.Step{{Unit: "main", Phase: fleet.Done}},
	}
	for _, r := range []fleet.Record{long, short} {
		if err := os.WriteFile(dir+"/fleet/prod.json.new",
			[]byte("what a crash has left, and it is longer than what follows\n\n\n\n\n\n\n\n\n\n"),
			0o600); err != nil {
			t.Fatal(err)
		}
		if err := one.Save(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		got, err := other.Load(t.Context(), "prod")
		if diff := cmp.Diff(r, got); err != nil || diff != "" {
			t.Errorf("got %v (-want +got):\n%s", err, diff)
		}
	}
	unlock, err := one.Lock(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Lock(t.Context(), "prod"); !errors.Is(err, fleet.ErrWorking) {
		t.Errorf("a second lock: got %v, want ErrWorking", err)
	}
	if free, err := other.Lock(t.Context(), "staging"); err != nil {
		t.Errorf("another fleet's lock: %v", err)
	} else {
		free()
	}
	unlock()
	if again, err := other.Lock(t.Context(), "prod"); err != nil {
		t.Errorf("after unlock: %v", err)
	} else {
		again()
	}
	for _, want := range []fleet.Request{fleet.Pause, fleet.Abort, fleet.NoRequest, fleet.NoRequest} {
		if err := one.Ask(t.Context(), "prod", want); err != nil {
			t.Fatal(err)
		}
		if got, err := other.Asked(t.Context(), "prod"); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	for _, bad := range []string{"", "../prod", "a/b", ".hidden", "a b"} {
		_, errLoad := one.Load(t.Context(), bad)
		_, errLock := one.Lock(t.Context(), bad)
		if errLoad == nil || errLock == nil || one.Save(t.Context(), fleet.Record{Fleet: bad}) == nil ||
			one.Ask(t.Context(), bad, fleet.Pause) == nil {
			t.Errorf("a fleet called %q is taken", bad)
		}
	}
	if err := os.WriteFile(dir+"/fleet/prod.json", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Load(t.Context(), "prod"); err == nil {
		t.Error("half a record was read")
	}
}

// TestPlanted: what lies where a record is looked for, and is none of ours, is neither followed, believed nor replaced.
func TestPlanted(t *testing.T) {
	dir := t.TempDir()
	files := openFiles(t, dir)
	at, elsewhere := dir+"/fleet/prod.json", dir+"/elsewhere"
	record := func(fleet, status, phase string) string {
		return `{"id":"1","fleet":"` + fleet + `","status":"` + status + `","steps":[{"unit":"main","phase":"` + phase + `"}]}`
	}
	for name, plant := range map[string]func() error{
		"a link":           func() error { return os.Symlink(elsewhere, at) },
		"a second name":    func() error { return os.Link(elsewhere, at) },
		"a folder":         func() error { return os.Mkdir(at, 0o700) },
		"another fleet's":  func() error { return os.WriteFile(at, []byte(record("staging", "running", "waiting")), 0o600) },
		"a phase of later": func() error { return os.WriteFile(at, []byte(record("prod", "running", "rewinding")), 0o600) },
		"no phase":         func() error { return os.WriteFile(at, []byte(record("prod", "running", "")), 0o600) },
		"a status of none": func() error { return os.WriteFile(at, []byte(record("prod", "won", "done")), 0o600) },
		"nothing":          func() error { return os.WriteFile(at, []byte(`{}`), 0o600) },
		"without an end":   func() error { return os.WriteFile(at, make([]byte, 17<<20), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(elsewhere, []byte(record("prod", "running", "waiting")), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := plant(); err != nil {
				t.Fatal(err)
			}
			if r, err := files.Load(t.Context(), "prod"); err == nil {
				t.Errorf("it was read: %+v", r)
			}
			_ = os.Remove(at)
			_ = os.Remove(elsewhere)
		})
	}
	// A link in place of the lock, or of what a record is written to, leads nowhere either.
	for _, name := range []string{"prod.lock", "prod.json.new", "prod.ask.new"} {
		if err := os.Symlink(elsewhere, dir+"/fleet/"+name); err != nil {
			t.Fatal(err)
		}
	}
	_, errLock := files.Lock(t.Context(), "prod")
	errSave := files.Save(t.Context(), fleet.Record{ID: "1", Fleet: "prod", Status: fleet.Running})
	errAsk := files.Ask(t.Context(), "prod", fleet.Abort)
	if errLock == nil || errSave == nil || errAsk == nil {
		t.Errorf("through a link: lock %v, save %v, ask %v", errLock, errSave, errAsk)
	}
	if _, err := os.Lstat(elsewhere); err == nil {
		t.Error("a file was made through a link")
	}
}
