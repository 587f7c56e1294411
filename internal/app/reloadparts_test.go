package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/app"
)

// parts is a bed whose services stand in services.d, and its gate.
type parts struct {
	*bed

	gate *app.App
}

func newParts(t *testing.T, main string, files map[string]string) *parts {
	t.Helper()
	p := &parts{bed: newBed(t, func(string) string { return listen + main })}
	for name, text := range files {
		p.set(name, text)
	}
	p.gate = p.serve()
	return p
}

func (p *parts) set(name, text string) {
	p.t.Helper()
	name = filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, "API", p.api.URL)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *parts) again() {
	p.t.Helper()
	if err := p.gate.Reload(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// sends wants a service to be there, and to send a secret.
func (p *parts) sends(name, secret string) {
	p.t.Helper()
	p.get(p.gate.GatewayURL()+"/s/"+name+"/").is(p.t, 200, "")
	if got := p.api.last(); got != "Bearer "+secret {
		p.t.Errorf("%s sent %q, want %q", name, got, secret)
	}
}

const (
	partService = "services: {NAME: {upstream: API, secret: REF, allow_private: [127.0.0.1/32]}}\n"
	partStore   = "stores: {corp: {kind: file, dir: ./DIR}}\n"
)

func part(name, ref string) string {
	return strings.NewReplacer("NAME", name, "REF", ref).Replace(partService)
}

// TestReloadOfParts: a service whose file has not changed lives on over reloads, connection and all, and has what
// changes beside it: its secret, its store, and the file itself when it is gone and put back.
func TestReloadOfParts(t *testing.T) {
	store := func(dir string) string { return strings.ReplaceAll(partStore, "DIR", dir) }
	a, b := part("a", "ref+builtin://crm"), part("b", "ref+corp://key")
	p := newParts(t, store("old"), map[string]string{
		"services.d/a.yaml": a, "services.d/b.yaml": b, "old/key": "corp-canary-old", "new/key": "corp-canary-new",
	})
	p.sends("a", "sk-live-canary-1")
	p.sends("b", "corp-canary-old")
	before := p.api.opened()
	p.again()
	p.sends("a", "sk-live-canary-1")
	if n := p.api.opened(); n != before {
		t.Errorf("the API saw %d connections after the reload, want the %d that were there", n, before)
	}

	p.put("crm", "sk-live-canary-2")
	p.again()
	p.sends("a", "sk-live-canary-2")

	p.write(listen + store("new"))
	p.again()
	p.sends("b", "corp-canary-new")
	p.sends("a", "sk-live-canary-2")

	if err := os.Remove(filepath.Join(p.dir, "services.d", "a.yaml")); err != nil {
		t.Fatal(err)
	}
	p.again()
	p.get(p.gate.GatewayURL()+"/s/a/").is(t, 404, "service_unknown")
	p.set("services.d/a.yaml", a)
	p.again()
	p.sends("a", "sk-live-canary-2")
}

// TestWarningsOfParts: a warning about a service whose file has not changed is told again at each reload, with its
// line.
func TestWarningsOfParts(t *testing.T) {
	p := newParts(t, "",
		map[string]string{
			"services.d/a.yaml": "\nservices: {a: {upstream: http://api.example.com, secret: ref+builtin://crm}}\n",
		})
	for n := range 3 {
		p.again()
		if got := strings.Count(p.log.String(), "a.yaml:2:"); got != n+1 {
			t.Errorf("after %d reloads the log has the warning %d times", n+1, got)
		}
	}
}
