package boundary_test

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/fault"
)

// buggyHeader panics at the first look-up, which is before anything of the request is on record.
type buggyHeader struct{}

func (buggyHeader) Values(string) []string           { panic("hunter2") }
func (buggyHeader) All() iter.Seq2[string, []string] { panic("hunter2") }

// ledger keeps what is recorded and counted.
type ledger struct {
	refused                     []audit.Event
	started, finished, panicked int
	code                        fault.Code
}

func (l *ledger) Authorise(context.Context, *audit.Event) error { return nil }
func (l *ledger) Complete(*audit.Event)                         {}
func (l *ledger) Refuse(ev *audit.Event)                        { l.refused = append(l.refused, *ev) }
func (l *ledger) Started(string)                                { l.started++ }
func (l *ledger) Finished(o *boundary.Outcome)                  { l.finished++; l.code = o.Code }
func (l *ledger) Panicked()                                     { l.panicked++ }

// TestPanicAtTheBeginning: a request that ends in a panic before anything of it was put down is on record, answered and
// counted like any other.
func TestPanicAtTheBeginning(t *testing.T) {
	l, logs := new(ledger), new(strings.Builder)
	p := boundary.New(boundary.Options{
		Audit: l, Observer: l,
		Log: slog.New(slog.NewTextHandler(logs, nil)), Now: time.Now,
	})
	w := httptest.NewRecorder()
	p.Handle(w, httptest.NewRequest(http.MethodGet, "/", nil), &boundary.View{
		Method: "GET", Service: "api", Path: "/x", Header: buggyHeader{}, Source: netip.MustParseAddr("192.0.2.7"),
	})
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"code":"internal"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if len(l.refused) != 1 || l.refused[0].Code != string(fault.Internal) || l.refused[0].ID == "" ||
		l.refused[0].Source != "192.0.2.7" {
		t.Errorf("on record: %+v", l.refused)
	}
	if l.started != 1 || l.finished != 1 || l.panicked != 1 || l.code != fault.Internal || p.InFlight() != 0 {
		t.Errorf("%+v, %d in flight", l, p.InFlight())
	}
	if strings.Contains(logs.String()+w.Body.String(), "hunter2") ||
		!strings.Contains(logs.String(), "a request ended in a panic") {
		t.Errorf("logged: %s", logs)
	}
}
