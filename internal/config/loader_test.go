package config_test

import (
	"encoding/pem"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

// edited is a configuration on disk that is edited again and again.
type edited struct {
	t    *testing.T
	dir  string
	path string
}

func newEdited(t *testing.T, files map[string]string) *edited {
	t.Helper()
	e := &edited{t: t, dir: t.TempDir()}
	e.path = filepath.Join(e.dir, "sallyport.yaml")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		e.set(name, files[name])
	}
	return e
}

// set writes a file, or removes it with "".
func (e *edited) set(name, text string) {
	e.t.Helper()
	name = filepath.Join(e.dir, name)
	if text == "" {
		if err := os.RemoveAll(name); err != nil {
			e.t.Fatal(err)
		}
		return
	}
	put(e.t, name, text)
}

// same wants that a Loader returns what Load does.
func (e *edited) same(l *config.Loader) *config.Config {
	e.t.Helper()
	want, wantWarns, wantErr := config.Load(app.Kinds(), e.path)
	got, gotWarns, gotErr := l.Load()
	if diff := cmp.Diff(fmt.Sprint(wantErr), fmt.Sprint(gotErr)); diff != "" {
		e.t.Fatalf("error (-Load +Loader):\n%s", diff)
	}
	if diff := cmp.Diff(wantWarns.String(), gotWarns.String()); diff != "" {
		e.t.Fatalf("warnings (-Load +Loader):\n%s", diff)
	}
	if wantErr != nil {
		return nil
	}
	if diff := cmp.Diff(config.Origins(want), config.Origins(got)); diff != "" {
		e.t.Fatalf("values and where they come from (-Load +Loader):\n%s", diff)
	}
	if diff := cmp.Diff(want.Files(), got.Files()); diff != "" {
		e.t.Fatalf("files (-Load +Loader):\n%s", diff)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		w, g := reflect.ValueOf(want).Elem().FieldByIndex(field.Index),
			reflect.ValueOf(got).Elem().FieldByIndex(field.Index)
		if field.IsExported() && !reflect.DeepEqual(w.Interface(), g.Interface()) {
			e.t.Fatalf("%s: Loader has %+v, Load %+v", field.Name, g, w)
		}
	}
	return got
}

// TestLoaderIsLoad: whatever is edited between two loads, and whatever of it is wrong, a Loader returns what Load does.
func TestLoaderIsLoad(t *testing.T) {
	texts := []string{
		"",
		"services: {a: {preset: openai, secret: ref+builtin://a}}\n",
		"\n\nservices: {a: {preset: openai, secret: ref+builtin://a}}\n",
		"services: {a: {preset: github, secret: ref+builtin://a, limits: {rate: 7/s}}}\n",
		"services: {b: {upstream: http://api.example.com, secret: ref+vault://b}}\ntokens: {t: {services: [b]}}\n",
		"services: {b: {upstream: https://b.example.com, secret: ref+corp://b}, c: {upstream: http://localhost:8470, secret: ref+builtin://c}}\n",
		"services: {d: {upstream: https://d.example.com, secret: ref+builtin://d, ca_file: ../ca.pem}}\ntokens: {u: {services: ['*']}}\n",
		"services: {e: {upstream: https://e.example.com, secret: ref+builtin://e, ca_file: <data>/ca.pem}}\n",
		"services: {f: {preset: openai, credential: {inputs: {x: y}, secret: ref+builtin://f}}}\n",
		"services: {g: {upstrem: x}}\ntokens: {t: {services: [g, nobody]}}\n",
		"tokens: {t: {services: [a], rotate: {every: 24h}}, v: {services: [a, b]}}\n",
		"tokens: {t: {services: [a]}}\nlisten: {gateway: \":1\"}\n",
		"services: [\n", "- a\n", "# nothing\n", "services:\n", "services: {}\n", "tokens: {a: }\n",
		"x: &x {preset: openai, secret: ref+builtin://x}\nservices: {h: *x}\n",
	}
	heads := []string{
		"listen: {gateway: \"127.0.0.1:8470\"}\n", "listen: {gateway: \"127.0.0.1:8471\"}\n", "data: ./elsewhere\n",
		"stores: {corp: {kind: file, dir: /s}, vault: {kind: vault, address: https://v, auth: {token_env: T}}}\n",
		"stores: {corp: {kind: file, dir: /other}}\n", "stores: {corp: {knid: file}}\n", "stores: {Corp: {kind: file}}\n",
		"services: {a: {preset: openai, secret: ref+builtin://main}}\n", "services: {}\n", "lisen: {}\n", "[\n",
		"tokens: {t: {services: [b]}}\n",
	}
	names := []string{
		"services.d/1.yaml", "services.d/2.yaml", "services.d/3.yaml", "services.d/4.yml",
		"services.d/.5.yaml",
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same edits each time
	e := newEdited(t, map[string]string{"sallyport.yaml": heads[0], "services.d/1.yaml": texts[1]})
	l := config.NewLoader(app.Kinds(), e.path)
	good := 0
	for range 600 {
		for range 1 + random.IntN(3) {
			switch random.IntN(8) {
			case 0, 1:
				e.set("sallyport.yaml", heads[random.IntN(len(heads))])
			case 2:
				e.set([]string{"ca.pem", "elsewhere/ca.pem"}[random.IntN(2)], []string{"", "no PEM\n"}[random.IntN(2)])
			default:
				e.set(names[random.IntN(len(names))], texts[random.IntN(len(texts))])
			}
		}
		if e.same(l) != nil {
			good++
		}
		if t.Failed() {
			return
		}
	}
	if good < 20 {
		t.Errorf("of 600 configurations %d are good: too few to show anything", good)
	}
}

// TestLoaderKeepsServices: what is in an unchanged file are the same values, whatever changes around it.
func TestLoaderKeepsServices(t *testing.T) {
	const a, b = "services: {a: {preset: openai, secret: ref+builtin://a}}\ntokens: {t: {services: [a]}}\n",
		"services: {b: {upstream: https://b.example.com, secret: ref+builtin://b, limits: {rate: 7/s}}}\n"
	e := newEdited(t, map[string]string{
		"sallyport.yaml": "data: ./d\n", "services.d/a.yaml": a,
		"services.d/b.yaml": b,
	})
	l := config.NewLoader(app.Kinds(), e.path)
	first := e.same(l)
	for _, step := range []struct {
		what, file, text string
		a, b             bool // are kept
	}{
		{what: "nothing", a: true, b: true},
		{what: "the other file", file: "services.d/b.yaml", text: strings.ReplaceAll(b, "7/s", "8/s"), a: true},
		{what: "the main file", file: "sallyport.yaml", text: "data: ./other\nstores: {corp: {kind: file, dir: /s}}\n", a: true, b: true},
		{what: "its lines alone", file: "services.d/a.yaml", text: "\n" + a, b: true},
		{what: "a file that is removed", file: "services.d/a.yaml", b: true},
		{what: "and put back", file: "services.d/a.yaml", text: "\n" + a, b: true},
	} {
		if step.file != "" {
			e.set(step.file, step.text)
		}
		next := e.same(l)
		if kept := first.Services["a"] == next.Services["a"] &&
			first.Tokens["t"] == next.Tokens["t"]; next.Services["a"] != nil && kept != step.a {
			t.Errorf("%s: service a and its token kept: %t, want %t", step.what, kept, step.a)
		}
		if kept := first.Services["b"] == next.Services["b"]; kept != step.b {
			t.Errorf("%s: service b kept: %t, want %t", step.what, kept, step.b)
		}
		first = next
	}
}

// TestLoaderChecksAgain: a service that was good is held against what a configuration has beside it, and against files
// that it names, as they are now.
func TestLoaderChecksAgain(t *testing.T) {
	const corp = "services: {a: {upstream: https://a.example.com, secret: ref+corp://a}}\n"
	for name, c := range map[string]struct{ dropIn, before, after, file, err, warning string }{
		"a store that is taken away":      {dropIn: corp, before: "stores: {corp: {kind: file, dir: /s}}\n", after: "data: ./d\n", err: "names a store"},
		"a listener that moves":           {dropIn: "services: {a: {upstream: \"http://127.0.0.1:9000\", secret: ref+builtin://a, allow_private: [127.0.0.1/32]}}\n", before: "data: ./d\n", after: "listen: {gateway: \"127.0.0.1:9000\"}\n", warning: "is the gateway listener"},
		"a file that is spoilt":           {dropIn: "services: {a: {upstream: https://a.example.com, secret: ref+builtin://a, ca_file: ../ca.pem}}\n", before: "data: ./d\n", after: "data: ./d\n", file: "no PEM\n", err: "holds no PEM"},
		"a file below the data directory": {dropIn: "services: {a: {upstream: https://a.example.com, secret: ref+builtin://a, ca_file: <data>/ca.pem}}\n", before: "data: .\n", after: "data: ./other\n", err: "other/ca.pem"},
		"a warning as it was":             {dropIn: "\nservices: {a: {upstream: http://a.example.com, secret: ref+builtin://a}}\n", before: "data: ./d\n", after: "data: ./d\n", warning: "a.yaml:2:"},
		"a token whose service goes":      {dropIn: "tokens: {t: {services: [main]}}\n", before: "services: {main: {preset: openai, secret: ref+builtin://m}}\n", after: "data: ./d\n", err: "not configured"},
		"a name that the main file takes": {dropIn: "services: {a: {preset: openai, secret: ref+builtin://a}}\n", before: "data: ./d\n", after: "services: {a: {preset: openai, secret: ref+builtin://m}}\n", err: "is defined already at"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEdited(t, map[string]string{
				"sallyport.yaml": c.before, "services.d/a.yaml": c.dropIn,
				"ca.pem": someCA(t),
			})
			l := config.NewLoader(app.Kinds(), e.path)
			e.same(l)
			e.same(l)
			e.set("sallyport.yaml", c.after)
			if c.file != "" {
				e.set("ca.pem", c.file)
			}
			_, warns, err := l.Load()
			if got := fmt.Sprint(err); c.err == "" && err != nil || !strings.Contains(got, c.err) {
				t.Errorf("got error %v, want %q", err, c.err)
			}
			if !strings.Contains(warns.String(), c.warning) {
				t.Errorf("got warnings %v, want %q", warns, c.warning)
			}
			e.same(l)
		})
	}
}

// TestLoaderLeavesWhatItReturned: a load, of whatever data directory, changes nothing of the configuration that serves.
func TestLoaderLeavesWhatItReturned(t *testing.T) {
	e := newEdited(t, map[string]string{
		"sallyport.yaml": "data: .\n", "ca.pem": someCA(t), "other/ca.pem": someCA(t),
		"services.d/a.yaml": "services: {a: {upstream: https://a.example.com, secret: ref+builtin://a, ca_file: <data>/ca.pem}}\n",
	})
	l := config.NewLoader(app.Kinds(), e.path)
	serving := e.same(l)
	want := serving.Services["a"].CAFile
	e.set("sallyport.yaml", "data: ./other\n")
	if next := e.same(l).Services["a"].CAFile; next == want {
		t.Errorf("ca_file is still %q", next)
	}
	if got := serving.Services["a"].CAFile; got != want {
		t.Errorf("ca_file of the configuration before is %q, want %q", got, want)
	}
}

// someCA is a certificate as PEM.
func someCA(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}
