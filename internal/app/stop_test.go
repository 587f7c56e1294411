package app_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/tokenserver"
)

// TestStopTakesNoLongerThanDrain, whatever holds it up: a request that does not end, a caller that has sent half a
// head, one that takes no answer, an open WebSocket or stream, and a token that is being minted. What is broken off is
// Sallyport's doing, on record, and in the answer where there can be one.
func TestStopTakesNoLongerThanDrain(t *testing.T) {
	for name, c := range map[string]struct {
		hold   func(t *testing.T, b *bed, a *app.App) (told <-chan answer) // nil: nobody can be told
		record int                                                         // exchanges that are on record as draining
	}{
		"half a head": {func(t *testing.T, _ *bed, a *app.App) <-chan answer {
			send(t, a, "GET /s/crm/ HTTP/1.1\r\nHost: x\r\n")
			return nil
		}, 0},
		"an API that does not answer": {func(_ *testing.T, b *bed, a *app.App) <-chan answer {
			told := b.ask(a, "/s/crm/held")
			<-b.api.arrived
			return told
		}, 1},
		"an answer that nobody takes": {func(_ *testing.T, b *bed, a *app.App) <-chan answer {
			b.lasting(a.GatewayURL(), b.token, "/download", "")
			return nil
		}, 1},
		"an open WebSocket": {func(_ *testing.T, b *bed, a *app.App) <-chan answer {
			b.lasting(a.GatewayURL(), b.token, "/socket", wsHead)
			return nil
		}, 1},
		"an event stream": {func(_ *testing.T, b *bed, a *app.App) <-chan answer {
			b.lasting(a.GatewayURL(), b.token, "/events", "")
			return nil
		}, 1},
		"all of it": {func(t *testing.T, b *bed, a *app.App) <-chan answer {
			send(t, a, "GET /s/crm/ HTTP/1.1\r\nHost: x\r\n")
			b.lasting(a.GatewayURL(), b.token, "/download", "")
			b.lasting(a.GatewayURL(), b.token, "/socket", wsHead)
			b.lasting(a.GatewayURL(), b.token, "/events", "")
			told := b.ask(a, "/s/crm/held")
			<-b.api.arrived
			return told
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, func(url string) string { return "drain: 2s\n" + one("")(url) })
			a := b.serve()
			t.Cleanup(func() { close(b.api.release) })
			told := c.hold(t, b, a)
			b.stopsInTime(a)
			if told != nil {
				(<-told).is(t, 503, string(fault.Draining))
			}
			if got := b.completedAs(fault.Draining); got != c.record {
				t.Errorf("%d are on record as draining, want %d", got, c.record)
			}
		})
	}
}

// TestStopWhileMinting: a token endpoint that does not answer holds a stop up no longer than anything else, and the
// caller that waits for the token is told that it is Sallyport that stops.
func TestStopWhileMinting(t *testing.T) {
	for name, how := range map[string]tokenserver.Misbehaviour{
		"it hangs":            tokenserver.Hang,
		"it answers too late": tokenserver.Slow,
	} {
		t.Run(name, func(t *testing.T) {
			b := newDerivedBed(t, "drain: 2s\n", atServer("crm", refreshing(", refresh_token: ref+builtin://refresh")))
			b.put("refresh", b.tokens.Grant("basic"))
			b.tokens.Delay = time.Hour
			b.tokens.Misbehave(how, how, how)
			t.Cleanup(b.tokens.HangUp)
			a := b.serve()
			told := b.ask(a, "/s/crm/api")
			b.until("the token endpoint is called", func() bool { return b.tokens.Record().Calls > 0 })
			b.stopsInTime(a)
			if got := <-told; got.status != 503 || !strings.Contains(got.body, `"blame":"sallyport"`) {
				t.Errorf("the caller is told %d %s", got.status, got.body)
			}
		})
	}
}

// stopsInTime stops a gate whose drain time is two seconds.
func (b *bed) stopsInTime(a *app.App) {
	b.t.Helper()
	const drain = 2 * time.Second
	began := time.Now()
	if err := a.Stop(b.t.Context()); err != nil {
		b.t.Error(err)
	}
	if took := time.Since(began); took > drain+drain/10 {
		b.t.Errorf("it took %s", took)
	}
}

// ask is try in the background.
func (b *bed) ask(a *app.App, path string) <-chan answer {
	told, url := make(chan answer, 1), a.GatewayURL()+path
	go func() {
		got, err := b.try(url, b.token)
		if err != nil {
			b.t.Error(err)
		}
		told <- got
	}()
	return told
}

// send leaves a connection open on which text was sent.
func send(t *testing.T, a *app.App, text string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(a.GatewayURL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}
