package app_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// serveOptions is serve with other options.
func (b *bed) serveOptions(o app.Options) *app.App {
	b.t.Helper()
	a, err := app.New(b.t.Context(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := a.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = a.Stop(b.t.Context()) })
	return a
}

// TestPanicInReload: the old configuration serves on, it shows, nobody waits for ever, and the next reload is as ever.
func TestPanicInReload(t *testing.T) {
	b := newBed(t, one(""))
	o := b.options()
	var buggy atomic.Bool
	reread := o.Reread
	o.Reread = func() (*config.Config, config.Warnings, error) {
		if buggy.Load() {
			panic("hunter2")
		}
		return reread()
	}
	a := b.serveOptions(o)
	for range 2 {
		buggy.Store(true)
		err := a.Reload(t.Context())
		if why, ok := errors.AsType[*fault.Panic](err); !ok || strings.Contains(err.Error(), "hunter2") {
			t.Fatalf("got %v, %v", err, why)
		}
		b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
		b.get(a.AdminURL()+"/metrics").is(t, 200, "\nsallyport_config_last_reload_successful 0\n")
		buggy.Store(false)
		b.write(strings.Replace(one("")(b.api.URL), "crm:", "erp:", 1))
		if err := a.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.get(a.GatewayURL()+"/s/erp/").is(t, 200, "")
		b.write(one("")(b.api.URL))
		if err := a.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.get(a.AdminURL()+"/metrics").is(t, 200, "\nsallyport_panics_total 2\n")
}

// TestPanicInAdapter: a store with a bug keeps its own services from their credential, and nobody else from anything.
func TestPanicInAdapter(t *testing.T) {
	b := newBed(t, func(api string) string {
		return one("")(api) + fmt.Sprintf(strings.ReplaceAll(service, "ref+builtin://", "ref+corp://"), "other", api,
			"") + fmt.Sprintf(corpStore, 1)
	})
	o := b.options().WithAdapter(func(*config.Store) (secret.Store, error) { panic("hunter2") })
	a := b.serveOptions(o)
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
	b.get(a.GatewayURL()+"/s/other/").is(t, 503, string(fault.StoreUnavailable))
}

// TestPanicInHandler: the gate's own pages answer with a 500 that quotes nothing, or break off what has begun.
func TestPanicInHandler(t *testing.T) {
	b := newBed(t, one(""))
	a := b.serve()
	server := httptest.NewServer(a.Guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			_, _ = io.WriteString(w, strings.Repeat("half an answer", 1000))
		}
		panic("hunter2")
	})))
	defer server.Close()
	b.get(server.URL+"/").is(t, 500, "panic while answering on the admin listener")
	resp, err := http.Get(server.URL + "/begun")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("half an answer looked whole")
	}
	b.get(a.AdminURL()+"/metrics").is(t, 200, "\nsallyport_panics_total 2\n")
}
