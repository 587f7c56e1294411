package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// TestNewerReloadDoesNotWait: while what one configuration names is still loaded from a store that does not answer, a
// newer one takes its place, whether a signal or the watcher of the files asks for it.
func TestNewerReloadDoesNotWait(t *testing.T) {
	for name, ask := range map[string]func(*bed, *app.App){
		"signal":  func(b *bed, a *app.App) { a.RequestReload(b.t.Context()) },
		"watcher": func(*bed, *app.App) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			corp := newStuck(map[string]string{"n8n/far": "far-canary"})
			b := newBed(t, one(""))
			crm := bearer("ref+builtin://crm")
			b.write(b.whole(map[string]string{"crm": crm}, ""))
			a := b.serveWith(&corp.outside)
			corp.blocked.Store(true)
			b.write(b.whole(map[string]string{"crm": crm, "far": bearer("ref+corp://n8n/far")},
				fmt.Sprintf(corpStore, 1)))
			ask(b, a)
			<-corp.arrived
			b.write(b.whole(map[string]string{"crm": crm + ", allow: [\"GET /fine\"]"}, ""))
			ask(b, a)
			const active, replaced = "configuration active", "took the place of one that was being loaded"
			b.until("the newer one is active", func() bool {
				return strings.Contains(b.log.String(), active) && strings.Contains(b.log.String(), replaced)
			})
			for path, want := range map[string]string{
				"crm/fine":  "200",
				"crm/other": string(fault.RequestDenied), "far/": "404",
			} {
				if got := b.code("GET", a.GatewayURL()+"/s/"+path); got != want {
					t.Errorf("%s: got %s, want %s", path, got, want)
				}
			}
			if n := strings.Count(b.log.String(), active); n != 1 {
				t.Errorf("%d configurations became active, want the newer one alone:\n%s", n, b.log)
			}
		})
	}
}

// TestStopWhileLoading: a stop breaks a reload off, and that is no error: neither of a store, nor of the configuration.
func TestStopWhileLoading(t *testing.T) {
	for name, reload := range map[string]func(context.Context, *app.App, *stuck){
		"while a store is read": func(ctx context.Context, a *app.App, s *stuck) { a.RequestReload(ctx); <-s.arrived },
		"while files are read":  func(ctx context.Context, a *app.App, _ *stuck) { a.RequestReload(ctx) },
		"told by a command": func(_ context.Context, a *app.App, s *stuck) {
			go func() { _ = a.Reload(context.Background()) }()
			<-s.arrived
		},
	} {
		t.Run(name, func(t *testing.T) {
			corp := newStuck(map[string]string{"n8n/far": "far-canary"})
			b := newBed(t, one(""))
			a := b.serveWith(&corp.outside)
			corp.blocked.Store(true)
			b.write(b.whole(map[string]string{"far": bearer("ref+corp://n8n/far")}, fmt.Sprintf(corpStore, 1)))
			ctx, stop := context.WithCancel(t.Context())
			reload(ctx, a, corp)
			stop() // as SIGTERM does
			if err := a.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(b.log.String()) {
				if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") {
					t.Errorf("logged: %s", line)
				}
			}
		})
	}
}

var fixedTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// configMap is a folder as a kubelet makes it of a ConfigMap: each name is a link into ..data, which is a link to the
// folder of one version, and is replaced at once by a rename.
type configMap struct {
	t       *testing.T
	dir     string
	version int
}

func (m *configMap) publish(files map[string]string) {
	m.t.Helper()
	m.version++
	folder := fmt.Sprintf("..2026_%d", m.version)
	must := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(m.dir, folder), 0o755))
	for name, text := range files {
		must(os.WriteFile(filepath.Join(m.dir, folder, name), []byte(text), 0o600))
		at := filepath.Join(m.dir, folder, name)
		must(os.Chtimes(at, fixedTime, fixedTime)) // a version is told by its content, whatever its time
	}
	must(os.Symlink(folder, filepath.Join(m.dir, "..data_tmp")))
	must(os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")))
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name),
			filepath.Join(m.dir, name)); err != nil && !os.IsExist(err) {
			m.t.Fatal(err)
		}
	}
	if m.version > 1 {
		must(os.RemoveAll(filepath.Join(m.dir, fmt.Sprintf("..2026_%d", m.version-1))))
	}
}

// TestConfigMap: a swap of ..data is seen by the watcher, in the main file and in services.d, though names, sizes and
// times are as before; and so is a name that is new.
func TestConfigMap(t *testing.T) {
	t.Parallel()
	b := newBed(t, one(""))
	dropIn := func(name string) string {
		return "services:\n  " + name + ": {upstream: " + b.api.URL + ", allow_private: [127.0.0.1/32], " +
			bearer("ref+builtin://crm") + "}\n"
	}
	folder := filepath.Join(b.dir, "mounted")
	main := &configMap{t: t, dir: folder}
	beside := &configMap{t: t, dir: filepath.Join(folder, "services.d")}
	head := listen + "data: " + b.load().Data + "\n"
	main.publish(map[string]string{"sallyport.yaml": head + dropIn("one1")})
	beside.publish(map[string]string{"a.yaml": dropIn("beside1")})
	b.path = filepath.Join(folder, "sallyport.yaml")
	a := b.serve()
	is := func(want map[string]int) func() bool {
		return func() bool {
			for name, status := range want {
				if b.get(a.GatewayURL()+"/s/"+name+"/").status != status {
					return false
				}
			}
			return true
		}
	}
	b.until("all is there", is(map[string]int{"one1": 200, "beside1": 200}))
	main.publish(map[string]string{"sallyport.yaml": head + dropIn("one2")})
	b.until("the main file was swapped", is(map[string]int{"one1": 404, "one2": 200, "beside1": 200}))
	beside.publish(map[string]string{"a.yaml": dropIn("beside2")})
	b.until("a drop-in was swapped", is(map[string]int{"one2": 200, "beside1": 404, "beside2": 200}))
	beside.publish(map[string]string{"a.yaml": dropIn("beside2"), "b.yaml": dropIn("third")})
	b.until("a drop-in came", is(map[string]int{"beside2": 200, "third": 200}))
	if strings.Contains(b.log.String(), "has errors") {
		t.Errorf("a swap was read half:\n%s", b.log)
	}
}

// TestMendedInPlace: a drop-in that came with a mistake is read again when the mistake is mended, though the folder is
// as it was.
func TestMendedInPlace(t *testing.T) {
	t.Parallel()
	b := newBed(t, one(""))
	if err := os.Mkdir(filepath.Join(b.dir, "services.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := b.serve()
	mend := func(key string) {
		text := "services: {late: {" + key + ": " + b.api.URL + ", allow_private: [127.0.0.1/32], " +
			bearer("ref+builtin://crm") + "}}\n"
		if err := os.WriteFile(filepath.Join(b.dir, "services.d", "late.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mend("upsteram")
	b.until("the mistake is told", func() bool {
		return strings.Contains(b.log.String(), "keeping the old configuration")
	})
	mend("upstream")
	b.until("the service is there", func() bool { return b.get(a.GatewayURL()+"/s/late/").status == 200 })
}

// TestReloadPanic: what breaks while files are read is an error of this reload, told, and the next one reads again.
func TestReloadPanic(t *testing.T) {
	b := newBed(t, one(""))
	o := b.options()
	broken := true
	o.Reread = func() (*config.Config, config.Warnings, error) {
		if broken {
			panic("a mistake")
		}
		return config.Load(app.Kinds(), b.path)
	}
	a, err := app.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Stop(context.WithoutCancel(t.Context())) }()
	if err := a.Reload(t.Context()); err == nil {
		t.Error("a reload that broke has no error")
	}
	broken = false
	if err := a.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(b.log.String(), "a background task ended in a panic") {
		t.Error("it was not told")
	}
}
