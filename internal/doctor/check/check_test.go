package check_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/doctor"
	"sallyport/internal/doctor/check"
	"sallyport/internal/doctor/site"
	"sallyport/internal/testkit"
	"sallyport/internal/testkit/kube"
	"sallyport/internal/testkit/vault"
)

var (
	update = flag.Bool("update", false, "write the golden files")

	vaults   vault.Shared
	kubes    kube.Shared
	postgres testkit.Postgres
)

// canary is a secret that no report may have in it.
const canary = "canary-k7Qm2xV9pL4tR8wZ3nB6"

func TestMain(m *testing.M) {
	os.Exit(vaults.Main(runner(func() int { return kubes.Main(runner(func() int { return postgres.Main(m) })) })))
}

type runner func() int

func (r runner) Run() int { return r() }

// one runs the check of an id, and fails the test where the report has the canary in it.
func one(t *testing.T, id string, on *site.Site) doctor.Result {
	t.Helper()
	chosen, _, err := doctor.Choose(check.All(), []string{id}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if on.Now.IsZero() {
		on.Now = time.Now()
	}
	r, err := doctor.Run(t.Context(), chosen, on, doctor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := doctor.HTML(&text, r); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), canary) {
		t.Errorf("the report has a secret in it: %+v", r)
	}
	return r.Results[0]
}

// golden compares what a check says with testdata/NAME.golden. old and new, in turns, are what differs from run to run
// and what stands for it.
func golden(t *testing.T, name string, r doctor.Result, oldnew ...string) {
	t.Helper()
	r.Millis = 0
	var text bytes.Buffer
	report := doctor.Report{Results: []doctor.Result{r}}
	if err := doctor.Text(&text, report); err != nil {
		t.Fatal(err)
	}
	got, _, _ := strings.Cut(strings.NewReplacer(oldnew...).Replace(text.String()), "\n\n")
	got += "\n"
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// has wants a thing of a status whose evidence has a text in it.
func has(t *testing.T, r doctor.Result, want doctor.Status, text string) {
	t.Helper()
	for _, s := range r.Seen {
		if s.Status == want && strings.Contains(s.Evidence, text) {
			return
		}
	}
	t.Errorf("nothing is %q with %q: %+v", want, text, r.Seen)
}

// hasNot wants no thing that is not OK and has a text in its evidence.
func hasNot(t *testing.T, r doctor.Result, text string) {
	t.Helper()
	for _, s := range r.Seen {
		if s.Status != doctor.OK && strings.Contains(s.Evidence, text) {
			t.Errorf("%q has %q: %+v", s.Status, text, s)
		}
	}
}

// configured is a site with a gate of this configuration.
func configured(t *testing.T, yaml string) *site.Site {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "sallyport.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return &site.Site{
		Config: func() (*config.Config, config.Warnings, error) { return config.Load(app.Kinds(), file) },
		Stores: func(ctx context.Context, c *config.Config) (site.Stores, error) { return app.OpenStores(ctx, c) },
	}
}

// written writes a file with a mode, and returns its name.
func written(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAll: each check is complete, its id is its own, and a site where nothing is named is green nowhere.
func TestAll(t *testing.T) {
	ids := make(map[string]bool)
	for _, c := range check.All() {
		if ids[c.ID] || c.ID == "" || c.Title == "" || strings.HasSuffix(c.Title, ".") || c.Severity == "" ||
			c.Asks == "" || c.Look == nil || len(c.Page) < 100 {
			t.Errorf("check %q is not complete", c.ID)
		}
		ids[c.ID] = true
	}
	nowhere := &site.Site{
		Now:    time.Now(),
		Config: func() (*config.Config, config.Warnings, error) { return nil, nil, os.ErrNotExist },
	}
	r, err := doctor.Run(t.Context(), check.All(), nowhere, doctor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range r.Results {
		if one.Status != doctor.Unseen {
			t.Errorf("%s is %q where there is nothing to look at: %+v", one.ID, one.Status, one.Seen)
		}
		if one.Seen[0].Remedy == "" && !strings.Contains(one.Seen[0].Evidence, os.ErrNotExist.Error()) {
			t.Errorf("%s does not say what it needs", one.ID)
		}
	}
	for _, line := range doctor.Guide() {
		if !strings.Contains(doctor.Index(check.All()), "| "+line+" | [") {
			t.Errorf("no check is about the guide's %q", line)
		}
	}
}
