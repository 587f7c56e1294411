package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

var update = flag.Bool("update", false, "write golden files and generated pages")

// canary stands in the cases wherever a person might put a secret by mistake.
const canary = "CanaryCanary0123"

// known are the kinds that the cases in testdata are about, so that one that is added changes none of them. Each kind
// has cases of its own beside its adapter.
func known() config.Kinds {
	all := app.Kinds()
	about := []string{"builtin", "vault", "awssm", "azurekv", "gcpsm", "kubernetes", "file", "env", "exec", "swarm"}
	all.Stores = slices.DeleteFunc(all.Stores, func(kind secret.Kind) bool {
		return !slices.Contains(about, kind.Name)
	})
	all.Drivers = slices.DeleteFunc(all.Drivers, func(kind driver.Kind) bool {
		return kind.Name != "generate" && kind.Name != "exec"
	})
	return all
}

// TestMessages holds every case in testdata against its golden file. The names say what kind of case it is: valid-…
// loads, warn-… loads with warnings, shape-… is wrong in a way that the JSON Schema sees too, check-… in a way that
// only the checks see, yaml-… is not good YAML.
func TestMessages(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			src := read(t, filepath.Join("testdata", name+".yaml"))
			cfg, warns, err := config.Parse(known(), "sallyport.yaml", src, nil)
			got := report(warns, err)
			if strings.Contains(got, canary) {
				t.Errorf("a value that may be a secret is shown:\n%s", got)
			}
			if wantOK := strings.HasPrefix(name, "valid-") ||
				strings.HasPrefix(name, "warn-"); wantOK != (err == nil) || wantOK != (cfg != nil) {
				t.Errorf("err = %v, configuration %v", err, cfg != nil)
			}
			golden(t, filepath.Join("testdata", name+".golden"), got)
		})
	}
}

func cases(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(filepath.Base(f), ".yaml")
	}
	return names
}

func report(warns config.Warnings, err error) string {
	var b strings.Builder
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	for _, w := range warns {
		b.WriteString("warning: " + w.Error() + "\n")
	}
	return b.String()
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, name)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestEveryErrorHasAPlace(t *testing.T) {
	for _, name := range cases(t) {
		_, _, err := config.Parse(known(), "sallyport.yaml", read(t, filepath.Join("testdata", name+".yaml")), nil)
		if err == nil {
			continue
		}
		var list config.Errors
		if !errors.As(err, &list) || len(list) == 0 {
			t.Fatalf("%s: %T, want config.Errors", name, err)
		}
		for _, e := range list {
			if e.File != "sallyport.yaml" || e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Errorf("%s: %+v has no place", name, *e)
			}
		}
	}
}

func TestExampleLoads(t *testing.T) {
	cfg, warns, err := config.Parse(app.Kinds(), "sallyport.yaml", config.Example(), nil)
	if err != nil || len(warns) > 0 {
		t.Fatalf("%v\n%v", warns, err)
	}
	if got := cfg.ServiceNames(); !cmp.Equal(got, []string{"billing", "crm", "openai"}) {
		t.Errorf("services %q", got)
	}
}

func TestGeneratedPages(t *testing.T) {
	const page = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(page, config.Reference(app.Kinds()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(read(t, page), config.Reference(app.Kinds())) {
		t.Errorf("%s is not what the declaration says: run go test ./internal/config -update", page)
	}
}

// TestDocumentedStores: what docs/ shows of stores loads as it stands there.
func TestDocumentedStores(t *testing.T) {
	pages, err := filepath.Glob("../../docs/stores/*.md")
	if err != nil || len(pages) < 2 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range append(pages, "../../docs/from-the-guide.md", "../../docs/entrypoint.md") {
		for i, block := range strings.Split(string(read(t, page)), "```yaml\n")[1:] {
			src, _, _ := strings.Cut(block, "```")
			if (!strings.HasPrefix(src, "stores:") && !strings.HasPrefix(src, "services:")) ||
				strings.Contains(src, "image:") {
				continue
			}
			_, warns, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte(src), nil)
			for line := range strings.Lines(report(warns, err)) {
				if !strings.Contains(line, "names a store that is not configured") { // it is an excerpt
					t.Errorf("%s, example %d: %s", page, i+1, line)
				}
			}
		}
	}
}

// TestDocumentedCredentials: every example of docs/credentials.md loads as it stands there, without a warning, and
// there is one for each kind and for each way in which a client shows who it is.
func TestDocumentedCredentials(t *testing.T) {
	missing := map[string]bool{
		"tls": true, "proxy": true, "credentials": true, "expired_when": true,
		"service_account": true,
	}
	for _, choice := range credentialChoices() {
		missing[choice] = true
	}
	blocks := strings.Split(string(read(t, "../../docs/credentials.md")), "```yaml\n")[1:]
	for i, block := range blocks {
		src, _, _ := strings.Cut(block, "```")
		c, warns, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte(src), nil)
		if err != nil || len(warns) > 0 {
			t.Errorf("example %d: %v\n%v\n%s", i+1, warns, err, src)
			continue
		}
		for _, s := range c.Services {
			for key, there := range map[string]bool{
				"tls": s.TLS != nil, "proxy": s.Proxy != nil,
				"credentials": len(s.Credentials) > 0,
			} {
				if there {
					delete(missing, key)
				}
			}
			for _, cred := range s.Placements() {
				delete(missing, cred.Kind)
				delete(missing, "auth "+of(cred).Auth)
				if of(cred).ExpiredWhen != nil {
					delete(missing, "expired_when")
				}
				if !of(cred).ServiceAccount.IsZero() {
					delete(missing, "service_account")
				}
			}
		}
	}
	for key := range missing {
		t.Errorf("no example has %s", key)
	}
}

// credentialChoices are the kinds of credential, and the ways of showing who a client is as "auth NAME".
func credentialChoices() (out []string) {
	for _, kind := range app.Kinds().Credentials {
		out = append(out, kind.Name)
	}
	return append(out, "auth basic", "auth post", "auth private_key_jwt", "auth mtls", "auth none")
}
