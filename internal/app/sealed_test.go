package app_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"sallyport/internal/app"
)

// A gate whose store is sealed tells n8n that Sallyport is to blame, says why on /readyz, and goes on by itself.
func TestASealedStartAnswersUntilTheStoreOpens(t *testing.T) {
	gateway, admin := freeAddress(t), freeAddress(t)
	b := newBed(t, func(url string) string {
		return strings.Replace(one("")(url), listen, "listen: {gateway: \""+gateway+"\", admin: \""+admin+"\"}\n", 1)
	})
	key := b.load().Seal.KeyFile
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	type opened struct {
		gate *app.App
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		a, err := app.NewWhenOpen(t.Context(), b.options())
		done <- opened{a, err}
	}()
	url := "http://" + gateway + "/s/crm/x"
	b.until("the sealed gate answers", func() bool { _, err := b.try(url, b.token); return err == nil })
	got := b.get(url)
	got.is(t, http.StatusServiceUnavailable, `"code":"store_unavailable"`)
	got.is(t, http.StatusServiceUnavailable, "Sallyport failed, the API was not called")
	b.get("http://"+admin+"/readyz").is(t, http.StatusServiceUnavailable, `"part":"store","ready":false`)
	if n := b.api.opened(); n != 0 {
		t.Errorf("the API was called %d times", n)
	}

	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	if err := o.gate.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.gate.Stop(context.WithoutCancel(t.Context())) })
	b.get(url).is(t, http.StatusOK, "")
}

// What time cannot mend ends a sealed start too, and so does the one who started it.
func TestASealedStartEnds(t *testing.T) {
	b := newBed(t, one(""))
	key := b.load().Seal.KeyFile
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := app.NewWhenOpen(ctx, b.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

// freeAddress is an address on loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
