package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// outside is a store elsewhere, in the test's hands.
type outside struct {
	mu     sync.Mutex
	values map[string]string
	err    error
	before func(ctx context.Context) // an answer, if set
}

func (o *outside) do(fn func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fn()
}

func (o *outside) Get(ctx context.Context, path, _ string) (secret.Value, secret.Version, error) {
	if o.before != nil {
		o.before(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	value, ok := o.values[path]
	switch {
	case o.err != nil:
		return secret.Value{}, secret.Version{}, fmt.Errorf("reading secret %q from corp: %w", path, o.err)
	case !ok:
		return secret.Value{}, secret.Version{}, fmt.Errorf("reading secret %q from corp: %w", path, secret.ErrNotFound)
	}
	return secret.NewValue([]byte(value)), secret.Version{ID: "7", Current: true}, nil
}

func (o *outside) adapter(*config.Store) (secret.Store, error) { return o, nil }

// twoStores is a service of the builtin store beside one of a store called corp.
func twoStores(store string) func(url string) string {
	return func(url string) string {
		return one("")(url) +
			fmt.Sprintf("  far: {upstream: %s, credential: {kind: bearer, secret: ref+corp://n8n/far#key}, "+
				"allow_private: [127.0.0.1/32]}\n", url) +
			"stores: {corp: {kind: vault, address: \"http://127.0.0.1:1\", auth: {token_env: NONE}, " + store + "}}\n"
	}
}

func (b *bed) serveWith(o *outside) *app.App {
	b.t.Helper()
	a, err := app.New(b.t.Context(), b.options().WithAdapter(o.adapter))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := a.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = a.Stop(context.WithoutCancel(b.t.Context())) })
	return a
}

// TestChangeElsewhere: what changes in a store elsewhere is used, by polling or at once when a command says so, and the
// audit log names store, path and version.
func TestChangeElsewhere(t *testing.T) {
	corp := &outside{values: map[string]string{"n8n/far": `{"key":"far-canary-1"}`}}
	b := newBed(t, twoStores("refresh: 1s"))
	a := b.serveWith(corp)
	sent := func() string {
		b.get(a.GatewayURL()+"/s/far/").is(t, 200, "the API's answer")
		return b.api.last()
	}
	if got := sent(); got != "Bearer far-canary-1" {
		t.Errorf("the API received %q", got)
	}
	corp.do(func() { corp.values["n8n/far"] = `{"key":"far-canary-2"}` })
	b.until("the new value is used", func() bool { return sent() == "Bearer far-canary-2" })
	corp.do(func() { corp.values["n8n/far"] = `{"key":"far-canary-3"}` })
	if err := b.state.StoreChanged(t.Context(), "corp"); err != nil {
		t.Fatal(err)
	}
	if got := sent(); got != "Bearer far-canary-3" {
		t.Errorf("after a command's change the API received %q", got)
	}
	corp.do(func() { corp.values["n8n/far"] = `{"other":"x"}` })
	b.until("the field is missed", func() bool { return b.get(a.GatewayURL()+"/s/far/").status == 503 })
	b.get(a.GatewayURL()+"/s/far/").is(t, 503, string(fault.CredentialMissing))
	b.get(a.AdminURL()+"/readyz").is(t, 200, `{"part":"store corp","ready":true}`)
	log, err := os.ReadFile(b.load().Audit.File)
	if err != nil || !strings.Contains(string(log), "corp://n8n/far@7") {
		t.Errorf("the audit log does not name the version: %v", err)
	}
	if strings.Contains(b.log.String()+string(log), "far-canary") {
		t.Error("a value is in a log")
	}
}

// TestOutageElsewhere: the last known good stays active until max_stale, the builtin store's services are not touched,
// and everything is back when the store is.
func TestOutageElsewhere(t *testing.T) {
	corp := &outside{values: map[string]string{"n8n/far": `{"key":"far-canary-1"}`}}
	b := newBed(t, twoStores("refresh: 1s, max_stale: 4s"))
	a := b.serveWith(corp)
	far := func() answer { return b.get(a.GatewayURL() + "/s/far/") }
	metrics := func(text string) bool { return strings.Contains(b.get(a.AdminURL()+"/metrics").body, text) }
	far().is(t, 200, "")
	if !metrics(`sallyport_store_up{store="corp"} 1`) || !metrics(`sallyport_secret_stale_seconds{store="corp"} 0`) ||
		!metrics(`sallyport_store_last_success_timestamp_seconds{store="corp"} 1.`) {
		t.Error("the metrics do not say that the store is up")
	}
	corp.do(func() { corp.err = secret.ErrUnavailable })
	b.until("the metrics say that it is down", func() bool { return metrics(`sallyport_store_up{store="corp"} 0`) })
	ready := b.get(a.AdminURL() + "/readyz")
	ready.is(t, 200, "active from memory")
	ready.is(t, 200, "the store is unavailable")
	b.until("the last known good ends", func() bool { return far().status == 503 })
	far().is(t, 503, string(fault.StoreUnavailable))
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "the API's answer")
	b.get(a.AdminURL()+"/readyz").is(t, 200, `"ready":true`)
	if !strings.Contains(b.log.String(), "a secret store does not answer") {
		t.Error("no word of it in the log")
	}
	corp.do(func() { corp.err = nil })
	b.until("it is back", func() bool { return far().status == 200 })
	if !metrics(`sallyport_store_up{store="corp"} 1`) {
		t.Error("the metrics do not say that it is back")
	}
}

// TestStartWithoutAStore: the services of other stores are served, the rest when their store answers.
func TestStartWithoutAStore(t *testing.T) {
	corp := &outside{values: map[string]string{"n8n/far": `{"key":"far-canary-1"}`}, err: secret.ErrUnavailable}
	b := newBed(t, twoStores("refresh: 1s"))
	a := b.serveWith(corp)
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "the API's answer")
	b.get(a.GatewayURL()+"/s/far/").is(t, 503, string(fault.StoreUnavailable))
	b.get(a.AdminURL()+"/readyz").is(t, 503, `{"part":"store corp","ready":false`)
	corp.do(func() { corp.err = nil })
	b.until("it is there", func() bool { return b.get(a.GatewayURL()+"/s/far/").status == 200 })
	b.get(a.AdminURL()+"/readyz").is(t, 200, `"ready":true`)
}

// TestReloadWithAStore that the old configuration did not have, and that is then set up differently.
func TestReloadWithAStore(t *testing.T) {
	corp := &outside{values: map[string]string{"n8n/far": `{"key":"far-canary-1"}`}}
	b := newBed(t, one(""))
	a := b.serveWith(corp)
	b.write(twoStores("refresh: 1h")(b.api.URL))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(a.GatewayURL()+"/s/far/").is(t, 200, "")
	corp.do(func() { corp.values["n8n/far"] = `{"key":"far-canary-2"}` })
	b.write(twoStores("refresh: 2h")(b.api.URL))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.until("the store is read again", func() bool {
		b.get(a.GatewayURL() + "/s/far/")
		return b.api.last() == "Bearer far-canary-2"
	})
}

// TestStoreFilesAreWatched: a certificate that is replaced reaches the store that has read it.
func TestStoreFilesAreWatched(t *testing.T) {
	t.Parallel()
	corp := &outside{values: map[string]string{"n8n/far": `{"key":"far-canary-1"}`}}
	dir := t.TempDir()
	authority := filepath.Join(dir, "ca.pem")
	certificate := func() {
		_, certFile, _ := issuedBy(t, "vault.internal")
		if err := os.Rename(certFile, authority); err != nil {
			t.Fatal(err)
		}
	}
	certificate()
	b := newBedIn(t, dir, twoStores("ca_file: ca.pem"))
	var opened atomic.Int64
	a, err := app.New(t.Context(), b.options().WithAdapter(func(c *config.Store) (secret.Store, error) {
		if len(c.Settings.Files()) > 0 && c.Settings.Files()[0] != "" {
			opened.Add(1)
		}
		return corp, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.WithoutCancel(t.Context())) })
	if err := a.Reload(t.Context()); err != nil || opened.Load() != 1 {
		t.Errorf("opened %d times, %v", opened.Load(), err)
	}
	certificate()
	b.until("the store is opened again", func() bool { return opened.Load() == 2 })
	b.get(a.GatewayURL()+"/s/far/").is(t, 200, "the API's answer")
}

// TestTokensDoNotWaitForStores: while a reload waits for a store that does not answer, a new token is good at once.
func TestTokensDoNotWaitForStores(t *testing.T) {
	b := newBed(t, one(""))
	asked, mend := make(chan struct{}, 8), make(chan struct{})
	a := b.serveWith(&outside{
		values: map[string]string{"n8n/far": `{"key":"far-canary-1"}`},
		before: func(ctx context.Context) {
			asked <- struct{}{}
			select {
			case <-mend:
			case <-ctx.Done():
			}
		},
	})
	b.write(twoStores("refresh: 1h")(b.api.URL))
	reloaded := make(chan error, 1)
	go func() { reloaded <- a.Reload(t.Context()) }()
	<-asked
	b.token = b.issue("another")
	if err := b.state.Changed(t.Context(), "tokens"); err != nil {
		t.Error(err)
	}
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "the API's answer")
	select {
	case err := <-reloaded:
		t.Errorf("the reload was waited for: %v", err)
		close(mend)
	default:
		close(mend)
		if err := <-reloaded; err != nil {
			t.Error(err)
		}
	}
}

// TestStoresWithoutState: other stores' references need neither database nor seal key; a builtin one does.
func TestStoresWithoutState(t *testing.T) {
	corp := &outside{values: map[string]string{"n8n/far": `{"key":"far-canary-1"}`}}
	b := newBed(t, twoStores("refresh: 1s"))
	c := b.load()
	c.Data = t.TempDir() + "/none"
	c.Seal.KeyFile = c.Data + "/seal.key"
	stores := app.OpenStoresWith(c, corp.adapter)
	refs := []secret.Ref{
		{Store: "corp", Path: "n8n/far", Field: "key"},
		{Store: "corp", Path: "gone"},
		{Store: "nowhere", Path: "x"},
	}
	results, err := stores.Resolve(t.Context(), refs)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(results[0].Value.Reveal()); got != "far-canary-1" ||
		!errors.Is(results[1].Err, secret.ErrNotFound) || !errors.Is(results[2].Err, resolve.ErrNoStore) {
		t.Errorf("got %q, %v, %v", got, results[1].Err, results[2].Err)
	}
	if _, err := os.Stat(c.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a data directory was made: %v", err)
	}
	if err := stores.Watch(t.Context(), refs, func() {}); !errors.Is(err, resolve.ErrNoStore) {
		t.Errorf("watching a store that is not there: %v", err)
	}
	results, err = stores.Resolve(t.Context(), []secret.Ref{{Store: "builtin", Path: "crm"}})
	if err != nil || !errors.Is(results[0].Err, secret.ErrUnavailable) || fault.HintOf(results[0].Err) == "" {
		t.Errorf("builtin without a seal key: %v %v", results[0].Err, err)
	}
	if err := stores.Close(); err != nil {
		t.Error(err)
	}
}

// slow is a store that takes its time, such as one that starts a command for each secret.
type slow struct{ *outside }

func (s slow) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	select {
	case <-ctx.Done():
		return secret.Value{}, secret.Version{}, ctx.Err()
	case <-time.After(25 * time.Second):
	}
	return s.outside.Get(ctx, path, version)
}

// TestStoresPatience: whoever resolves says how long, and nobody else.
func TestStoresPatience(t *testing.T) {
	c := newBed(t, twoStores("refresh: 1s")).load()
	synctest.Test(t, func(t *testing.T) {
		stores := app.OpenStoresWith(c, func(*config.Store) (secret.Store, error) {
			return slow{&outside{values: map[string]string{"n8n/far": "one"}}}, nil
		})
		refs := []secret.Ref{{Store: "corp", Path: "n8n/far"}}
		for _, want := range []error{secret.ErrUnavailable, nil} {
			limit := time.Minute
			if want != nil {
				limit = 20 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			results, _ := stores.Resolve(ctx, refs)
			cancel()
			if !errors.Is(results[0].Err, want) {
				t.Errorf("with %v to wait: %v", limit, results[0].Err)
			}
		}
		if err := stores.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestStoresWatch tells of other values, once each, and opens the database when it is asked for a builtin secret.
func TestStoresWatch(t *testing.T) {
	corp := &outside{values: map[string]string{"n8n/far": "one"}}
	b := newBed(t, twoStores("refresh: 1s"))
	stores := app.OpenStoresWith(b.load(), corp.adapter)
	refs := []secret.Ref{{Store: "corp", Path: "n8n/far"}, {Store: "builtin", Path: "crm"}}
	read := func() string {
		results, err := stores.Resolve(t.Context(), refs)
		if err != nil || results[0].Err != nil || results[1].Err != nil {
			t.Fatal(err, results)
		}
		return string(results[0].Value.Reveal()) + " " + string(results[1].Value.Reveal())
	}
	if got := read(); got != "one sk-live-canary-1" {
		t.Errorf("got %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed, ended := make(chan struct{}, 8), make(chan error, 1)
	go func() { ended <- stores.Watch(ctx, refs, func() { changed <- struct{}{} }) }()
	corp.do(func() { corp.values["n8n/far"] = "two" })
	<-changed
	if got := read(); got != "two sk-live-canary-1" {
		t.Errorf("got %q", got)
	}
	cancel()
	if err := <-ended; err != nil || len(changed) > 0 {
		t.Errorf("it ended with %v and told %d times more", err, len(changed))
	}
	if err := stores.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.state.Builtin.Put(t.Context(), "after", secret.NewValue([]byte("still open"))); err != nil {
		t.Error(err)
	}
}
