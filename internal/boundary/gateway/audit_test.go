package gateway_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/fault"
)

// full is an audit log whose disk is full.
type full struct{ boundary.Audit }

func (full) Authorise(context.Context, *audit.Event) error {
	return errors.New("writing: no space left on device")
}
func (full) Complete(*audit.Event) {}
func (full) Refuse(*audit.Event)   {}

// TestAuditBeforeUse is invariant 4: a use that can't be put on record does not happen.
func TestAuditBeforeUse(t *testing.T) {
	t.Run("disk full", func(t *testing.T) {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url), options{audit: full{}})
		a := g.do("POST", "/s/api/x", "Content-Length: 2", "\r\nhi")
		a.wantFault(t, fault.AuditUnavailable)
		if a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		u.untouched(t)
	})
	t.Run("closed", func(t *testing.T) {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url), options{})
		if err := g.log.Close(); err != nil {
			t.Fatal(err)
		}
		g.do("GET", "/s/api/x").wantFault(t, fault.AuditUnavailable)
		g.do("GET", "/s/api/x", "-").wantFault(t, fault.TokenMissing)
		u.untouched(t)
		if n := g.service("api").Limits.Active(); n != 0 {
			t.Errorf("%d places are held", n)
		}
	})
}

// order notes when the record is written.
type order struct {
	*audit.Log
	written chan struct{}
}

func (o order) Authorise(ctx context.Context, ev *audit.Event) error {
	err := o.Log.Authorise(ctx, ev)
	close(o.written)
	return err
}

func TestRecordIsThereWhenTheAPIIsCalled(t *testing.T) {
	written := make(chan struct{})
	u := newUpstream(t, nil)
	u.onBody = func(error) {
		select {
		case <-written:
		default:
			t.Error("the API was called before the record was written")
		}
	}
	log := openAudit(t, t.TempDir()+"/audit.jsonl")
	g := newGate(t, api(u.url), options{audit: order{log, written}})
	g.do("GET", "/s/api/x").wantStatus(t, 200)
	g.stop()
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

// TestEveryRequestIsOnRecordOnce sends all sorts of requests at once: each leaves one authorised and one completed
// record, or one refused one, and at the end no place is held.
func TestEveryRequestIsOnRecordOnce(t *testing.T) {
	u := newUpstream(t, nil)
	failing := newUpstream(t, reply("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nshort"))
	yaml := api(u.url, "limits: {concurrency: 3, body: 5}", `allow: ["GET /v1/**", "POST /v1/**"]`)
	yaml += strings.Replace(api(failing.url, "limits: {concurrency: 2, rate: 1000/s}"), "  api:", "  failing:", 1)
	g := newGate(t, yaml, options{})
	kinds := []string{
		request("GET", "/s/api/v1/x"), request("GET", "/s/api/v1/x", "-"), request("GET", "/s/api/v2/x"),
		request("GET", "/s/api/../x"), request("GET", "/s/none/x"),
		request("GET", "/s/failing/x"), request("POST", "/s/api/v1/x", "Content-Length: 10", "\r\n0123456789"),
		request("POST", "/s/api/v1/x", "Transfer-Encoding: chunked", "\r\n6\r\n012345\r\n0\r\n\r\n"),
		request("POST", "/s/api/v1/x", "Content-Length: 3", "\r\nabc"), "GET / HTTP/3.0\r\n\r\n",
		request("POST", "/s/api/v1/x", "Transfer-Encoding: chunked", "\r\nzz\r\n"),
	}
	const total = 80
	var wg sync.WaitGroup
	work := make(chan string)
	for range 8 {
		wg.Go(func() {
			for raw := range work {
				c := g.dial()
				_, _ = io.WriteString(c, raw)
				_, _ = io.ReadAll(c)
				_ = c.Close()
			}
		})
	}
	for range total {
		work <- kinds[rand.IntN(len(kinds))]
	}
	close(work)
	wg.Wait()
	wantBalanced(t, g.records(), total)
	if g.pipeline.InFlight() != 0 || g.service("api").Limits.Active() != 0 ||
		g.service("failing").Limits.Active() != 0 {
		t.Error("places are still held")
	}
}

func wantBalanced(t *testing.T, list []record, total int) {
	t.Helper()
	byID := make(map[string]string)
	for _, r := range list {
		byID[r.ID] += r.Event + " "
	}
	for id, events := range byID {
		if events != "authorised completed " && events != "refused " {
			t.Errorf("request %s left: %s", id, events)
		}
	}
	if len(byID) != total {
		t.Errorf("%d requests are on record, want %d", len(byID), total)
	}
}
