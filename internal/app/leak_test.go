package app_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/internal/app"
)

// TestStopLeavesNothing: however far a gate came, of one that has stopped no goroutine is left; and it can be stopped
// again.
func TestStopLeavesNothing(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, b *bed, a *app.App){
		"not started": func(*testing.T, *bed, *app.App) {},
		"started":     func(t *testing.T, _ *bed, a *app.App) { started(t, a) },
		"reloaded": func(t *testing.T, b *bed, a *app.App) {
			started(t, a)
			b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
			b.fetch(a.AdminURL() + "/readyz")
			b.write(one(", limits: {rate: 5/s}")(b.api.URL))
			if err := a.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
		},
		"broken off": func(t *testing.T, b *bed, a *app.App) {
			started(t, a)
			b.lasting(a.GatewayURL(), b.token, "/events", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, func(url string) string { return "drain: 3s\n" + one("")(url) })
			before := goleak.IgnoreCurrent()
			a, err := app.New(t.Context(), b.options())
			if err != nil {
				t.Fatal(err)
			}
			run(t, b, a)
			for range 2 {
				if err := a.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			}
			b.leavesNothing(before)
		})
	}
}

// TestFailureLeavesNothing: a gate that cannot be built, or cannot listen, has closed what there was of it. Stop has
// nothing to do.
func TestFailureLeavesNothing(t *testing.T) {
	b := newBed(t, one(""))
	first, err := app.New(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Stop(context.WithoutCancel(t.Context())) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	other := newBed(t, func(url string) string {
		return strings.Replace(one("")(url), "admin: 127.0.0.1:0", "admin: "+l.Addr().String(), 1)
	})
	before := goleak.IgnoreCurrent()
	same, err := app.New(t.Context(), b.options()) // the audit log is taken
	if err == nil {
		t.Error("two gates have one audit log")
	}
	taken, err := app.New(t.Context(), other.options())
	if err != nil {
		t.Fatal(err)
	}
	if err := taken.Start(t.Context()); err == nil {
		t.Error("two gates listen at one address")
	}
	for _, a := range []*app.App{same, taken} {
		if err := a.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	b.leavesNothing(before)
}

// TestClosers: what was opened last is closed first, each once, also after an error, which says what it is of.
func TestClosers(t *testing.T) {
	var c app.Closers
	var order []string
	for _, name := range []string{"first", "second", "third"} {
		c.Push(name, func(context.Context) error {
			order = append(order, name)
			if name == "second" {
				return errors.New("it is stuck")
			}
			return nil
		})
	}
	if err := c.Close(t.Context()); err == nil || err.Error() != "closing the second: it is stuck" {
		t.Errorf("got %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if want := []string{"third", "second", "first"}; !slices.Equal(order, want) {
		t.Errorf("closed %v, want %v", order, want)
	}
}

// leavesNothing waits until the goroutines are those that were there before.
func (b *bed) leavesNothing(before goleak.Option) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	for {
		left := goleak.Find(before)
		if left == nil {
			return
		}
		if ctx.Err() != nil {
			b.t.Fatal(left)
		}
	}
}

func started(t *testing.T, a *app.App) {
	t.Helper()
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}
