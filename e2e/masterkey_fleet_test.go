package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/e2e/lab"
)

// TestRekeyQueue is one story: the master key of a fleet is changed, and the nodes come back one by one, not all of
// them right at first. The chapters build on each other, and the last one searches all that sallyport has shown and
// written.
func TestRekeyQueue(t *testing.T) {
	t.Parallel()
	f := setUpFleet(t)
	t.Cleanup(func() {
		f.stop()
		if t.Failed() {
			f.keepLogs(t)
		}
	})
	chapters(t, []chapter{
		{"n8n has values under its master key and two data keys", f.startMain},
		{"while n8n runs nothing is changed", f.refusedWhileRunning},
		{"the key is changed", f.change},
		{"a worker with the old key and a webhook process without one are found", f.misfits},
		{"every node has the new key", f.allRight},
		{"every credential works on every worker", f.bothWork},
		{"the keys are nowhere", f.keysAreNowhere},
	})
}

func (f *fleetScene) refusedWhileRunning(t *testing.T) {
	before := f.op.plan(t, f.on(f.op.fromTo("old", "new")...)...)
	old, _ := before.under()
	f.op.key(t, exitAtWork, slices.Concat([]string{"rekey"}, f.on(f.op.fromTo("old", "new")...))...)
	if !strings.Contains(f.op.said(), "in use by pid ") {
		t.Errorf("the refusal does not say who is connected: %s", f.op.said())
	}
	after, fresh := f.op.plan(t, f.on(f.op.fromTo("old", "new")...)...).under()
	if old == 0 || after != old || fresh != 0 || len(f.op.backups()) > 0 {
		t.Errorf("%d values under the old key and %d under the new one, %d before; backups: %q", after, fresh,
			old, f.op.backups())
	}
	p := before.place("credentials_entity.data")
	if got, want := p.Forms, len(f.exported); p.Values != want || got["cbc"] != 6 || got["prefixed"] != want-6 ||
		p.DataKeys != want-6 {
		t.Errorf("of %d credentials the plan has %+v, want 6 under the master key", want, p)
	}
}

// change changes the key. Values under a data key stay as they are: only their keys are wrapped again.
func (f *fleetScene) change(t *testing.T) {
	f.main.Stop()
	before := f.dataKeys(t)
	plan := f.op.plan(t, f.on(f.op.fromTo("old", "new")...)...)
	plan.nobodyThere(t)
	config := filepath.Join(f.folder, "main", ".n8n", "config")
	done := f.op.rekey(t, f.on(f.op.fromTo("old", "new", "--settings", config)...)...)
	if done.Changed != plan.Changed || done.After.Settings[config] != "changed" {
		t.Errorf("%d values were changed, %d planned; the settings files are %v", done.Changed, plan.Changed,
			done.After.Settings)
	}
	if after := f.dataKeys(t); len(before) != 2 || len(after) != 2 {
		t.Errorf("values under the data keys: %v, and before %v", after, before)
	}
	f.op.key(t, 0, append([]string{"verify"}, f.on("--key-file", f.op.keyFile("new"))...)...)
	f.op.key(t, exitOtherKey, append([]string{"verify"}, f.on("--key-file", f.op.keyFile("old"))...)...)
}

// misfits starts main and a worker with the new key, and two that n8n refuses. What they have is found all the same.
func (f *fleetScene) misfits(t *testing.T) {
	var err error
	f.main, err = f.resume(t)
	must(t, "starting n8n with the new key", err)
	f.one = f.start(t, "one", "new")
	for _, refused := range []struct{ kind, node, key string }{{"worker", "two", "old"}, {"webhook", "webhook", ""}} {
		code, said, err := f.node(refused.node, refused.key, rotation).Refused(t.Context(), refused.kind)
		must(t, "starting "+refused.node, err)
		if want := "cannot be read with this instance encryption key"; code == 0 ||
			!bytes.Contains(said, []byte(want)) {
			t.Errorf("%s ended with %d, and does not say %q:\n%s", refused.node, code, want,
				said[max(0, len(said)-2000):])
		}
	}
	must(t, "waiting for worker one", f.one.AwaitReady(t.Context()))
	f.verify(t, exitOtherKey, map[string]string{
		"main": "yes", "one": "yes", "two": "no other_key",
		"webhook": "no own_key",
	})
	if !strings.Contains(f.op.said(), "two, webhook") {
		t.Errorf("it does not name the two: %s", f.op.said())
	}
}

// resume starts the main process with the new key: its environment says so, and its settings file already does.
func (f *fleetScene) resume(t *testing.T) (*lab.N8N, error) {
	t.Helper()
	f.node("main", "new", rotation)
	return f.main, f.main.Restart(t.Context(), "N8N_ENCRYPTION_KEY_FILE="+f.op.keyFile("new"))
}

// allRight gives worker two the new key, which its settings file contradicts at first.
func (f *fleetScene) allRight(t *testing.T) {
	f.node("two", "new", rotation)
	f.verify(t, exitOtherKey, map[string]string{"main": "yes", "one": "yes", "two": "yes stale_settings"})
	must(t, "removing its settings file", os.Remove(filepath.Join(f.folder, "two", ".n8n", "config")))
	f.two = f.start(t, "two", "new")
	must(t, "waiting for worker two", f.two.AwaitReady(t.Context()))
	f.verify(t, 0, map[string]string{"main": "yes", "one": "yes", "two": "yes"})
	f.sameCredentials(t)
}

func (f *fleetScene) keysAreNowhere(t *testing.T) {
	if len(f.op.backups()) != 1 {
		t.Errorf("the backups are %q, want one", f.op.backups())
	}
	right := map[string][]byte{}
	for _, place := range []string{f.address(), filepath.Join(f.folder, "one", ".n8n", "config")} {
		content, err := os.ReadFile(place)
		must(t, "reading where a secret is", err)
		right[place] = content
	}
	f.op.keepsQuiet(t, right)
}
