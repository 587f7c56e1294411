package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/audit/sink"
	"sallyport/internal/audit/sink/sinktest"
	"sallyport/internal/config"
)

const sinkToken = "canary-of-the-siem"

// siem is a receiver of lines of JSON, as strict as it can be.
func siem(t testing.TB) (receiver *sinktest.HTTP, url, caFile string) {
	receiver = &sinktest.HTTP{
		Read: func(r *http.Request, body []byte) (taken []sinktest.Taken, err error) {
			if r.Header.Get("Authorization") != "Bearer "+sinkToken {
				return nil, errors.New("it has not the token")
			}
			for line := range strings.Lines(string(body)) {
				var rec struct {
					Seq      int
					Metadata struct{ Sequence int }
				}
				if err := json.Unmarshal([]byte(line), &rec); err != nil {
					return nil, err
				}
				one := sinktest.Taken{Seq: rec.Seq + rec.Metadata.Sequence, Text: strings.TrimSuffix(line, "\n")}
				taken = append(taken, one)
			}
			return taken, nil
		},
		Done: func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
	}
	url, caFile = receiver.Serve(t)
	return receiver, url, caFile
}

// newSinkBed is a bed whose log is shipped to these sinks, written as the keys of each.
func newSinkBed(t testing.TB, sinks map[string]string) *bed {
	b := newBed(t, func(url string) string { return one("")(url) + sinksText(sinks) })
	b.put("siem", sinkToken)
	return b
}

func sinksText(sinks map[string]string) string {
	text := "audit:\n  checkpoint_interval: 1s\n  sinks:\n"
	for name, keys := range sinks {
		text += "    " + name + ": {" + keys + "}\n"
	}
	return text
}

func to(url, caFile string) string {
	return fmt.Sprintf("kind: http, url: %q, ca_file: %q, token: ref+builtin://siem", url, caFile)
}

// status is what `audit sinks` shows of a sink.
func (b *bed) sink(name string) app.SinkStatus {
	b.t.Helper()
	list, err := app.AuditSinks(b.t.Context(), b.load())
	if err != nil {
		b.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(s app.SinkStatus) bool { return s.Sink == name })
	if i < 0 {
		return app.SinkStatus{}
	}
	return list[i]
}

// records are the lines of the log.
func (b *bed) records() []string {
	b.t.Helper()
	content, err := os.ReadFile(b.load().Audit.File)
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

// TestAuditSinks: what is on record arrives, byte by byte or as OCSF, and so do checkpoints; a sink that is changed,
// added or taken out counts with the reload, and goes on where it was.
func TestAuditSinks(t *testing.T) {
	lines, linesURL, ca := siem(t)
	events, eventsURL, eventsCA := siem(t)
	anchors := &sinktest.HTTP{
		Read: func(_ *http.Request, body []byte) (taken []sinktest.Taken, err error) {
			for line := range strings.Lines(string(body)) {
				var c audit.Checkpoint
				if err := json.Unmarshal([]byte(line), &c); err != nil {
					return nil, err
				}
				taken = append(taken, sinktest.Taken{Seq: c.Number, Text: strings.TrimSuffix(line, "\n")})
			}
			return taken, nil
		},
		Done: func(w http.ResponseWriter) { _, _ = io.WriteString(w, "{}") },
	}
	anchorsURL, anchorsCA := anchors.Serve(t)
	sinks := map[string]string{
		"lines":  to(linesURL, ca),
		"events": to(eventsURL, eventsCA) + ", format: ocsf",
	}
	b := newSinkBed(t, sinks)
	gate := b.serve()
	for range 10 {
		b.get(gate.GatewayURL()+"/s/crm/").is(t, 200, "")
	}
	caughtUp := func(name string, r *sinktest.HTTP) {
		t.Helper()
		b.until(name+" has everything", func() bool {
			st := b.sink(name)
			return st.Seq > 20 && st.Behind == 0 && len(r.Got()) >= st.Seq
		})
	}
	caughtUp("lines", lines)
	caughtUp("events", events)
	for i, line := range b.records()[:20] {
		if got := lines.Text(i + 1); got != line {
			t.Fatalf("record %d arrived as %s, and is %s", i+1, got, line)
		}
		var event struct {
			Class int    `json:"class_uid"`
			Raw   string `json:"raw_data"`
		}
		err := json.Unmarshal([]byte(events.Text(i+1)), &event)
		if err != nil || event.Class/1000 != 6 || event.Raw != line {
			t.Fatalf("record %d arrived as the event %s (%v)", i+1, events.Text(i+1), err)
		}
	}
	delete(sinks, "events")
	sinks["lines"] += ", batch: 7"
	sinks["anchors"] = fmt.Sprintf("kind: http, url: %q, ca_file: %q, ship: checkpoints", anchorsURL, anchorsCA)
	b.write(one("")(b.api.URL) + sinksText(sinks))
	if err := gate.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.log.String(), "take effect at the next start") {
		t.Error("a reload that changes sinks says that it does not")
	}
	b.get(gate.GatewayURL()+"/s/crm/").is(t, 200, "")
	caughtUp("lines", lines)
	if got := lines.Got(); !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("records came twice, or not in order: %v", got)
	}
	b.until("a checkpoint is there", func() bool { return len(anchors.Got()) > 0 })
	if st := b.sink("events"); st.Sink != "" {
		t.Errorf("a sink that was taken out is told of: %+v", st)
	}
	if strings.Contains(b.log.String(), sinkToken) {
		t.Error("the log shows the token of a sink")
	}
}

// TestSinkIsAway: the gate serves, /readyz and the metrics say what is wrong, and after a restart of the gate with a
// receiver that is back, everything arrives.
func TestSinkIsAway(t *testing.T) {
	receiver, url, ca := siem(t)
	receiver.Stop()
	b := newSinkBed(t, map[string]string{"siem": to(url, ca)})
	gate, err := app.New(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	if err := gate.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(gate.GatewayURL()+"/s/crm/").is(t, 200, "")
	b.until("it is told", func() bool { return b.sink("siem").Why != "" })
	b.get(gate.AdminURL()+"/readyz").is(t, 200, "audit sink siem")
	page := b.scrape(gate)
	for _, want := range []string{
		`sallyport_degraded{part="audit sink siem"} 1`, `sallyport_audit_sink_shipped_total{sink="siem"} 0`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics do not have %s", want)
		}
	}
	if err := gate.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	receiver.Start()
	gate = b.serve()
	b.get(gate.GatewayURL()+"/s/crm/").is(t, 200, "")
	b.until("all is there", func() bool {
		st := b.sink("siem")
		return st.Seq > 0 && st.Behind == 0 && st.Why == ""
	})
	records := b.records()
	for seq := 1; seq <= b.sink("siem").Seq; seq++ {
		if receiver.Text(seq) != records[seq-1] {
			t.Errorf("record %d arrived as %q", seq, receiver.Text(seq))
		}
	}
}

// TestSinkBlocks: whatever a receiver does, each request is served and on record, and the gate stops in its time.
func TestSinkBlocks(t *testing.T) {
	for name, mode := range map[string]sinktest.Mode{
		"blocks": sinktest.Block, "one byte after another": sinktest.Slow, "breaks off": sinktest.Break,
	} {
		t.Run(name, func(t *testing.T) {
			receiver, url, ca := siem(t)
			receiver.Be(mode)
			b := newSinkBed(t, map[string]string{"siem": to(url, ca)})
			gate, err := app.New(t.Context(), b.options())
			if err != nil {
				t.Fatal(err)
			}
			if err := gate.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			const requests = 40
			for range requests {
				b.get(gate.GatewayURL()+"/s/crm/").is(t, 200, "")
			}
			if err := gate.Stop(t.Context()); err != nil {
				t.Errorf("stopping: %v", err)
			}
			count := map[audit.Kind]int{}
			for _, line := range b.records() {
				rec, err := audit.Parse([]byte(line))
				if err != nil {
					t.Fatal(err)
				}
				count[rec.Event.Kind]++
			}
			if count[audit.KindAuthorised] != requests || count[audit.KindCompleted] != requests {
				t.Errorf("of %d requests on record are %v", requests, count)
			}
			if got := receiver.Got(); len(got) > 0 {
				t.Errorf("it has taken %v", got)
			}
		})
	}
}

// TestSinkMissesRemovedFiles: retention does not wait for a sink; what is gone is on record with its numbers.
func TestSinkMissesRemovedFiles(t *testing.T) {
	receiver, url, ca := siem(t)
	b := newSinkBed(t, map[string]string{"siem": to(url, ca)})
	gate := b.serve()
	b.get(gate.GatewayURL()+"/s/crm/").is(t, 200, "")
	b.until("it has something", func() bool { return len(receiver.Got()) > 0 })
	receiver.Be(sinktest.Refuse)
	b.until("it takes nothing more", func() bool { return b.sink("siem").Why != "" || b.sink("siem").Behind == 0 })
	shipped := b.sink("siem").Seq
	for range 3 {
		b.get(gate.GatewayURL()+"/s/crm/").is(t, 200, "")
	}
	rotated, err := b.state.RotateAudit(t.Context(), &audit.Event{Actor: "test", Action: "audit.rotate"})
	if err != nil {
		t.Fatal(err)
	}
	shipped = max(shipped, b.sink("siem").Seq)
	if err := os.Remove(rotated.File); err != nil {
		t.Fatal(err)
	}
	receiver.Be(sinktest.Fine)
	b.until("the rest is there", func() bool { return b.sink("siem").Skipped > 0 && b.sink("siem").Behind == 0 })
	want := fmt.Sprintf("numbers %d to %d of log", shipped+1, rotated.Records.To)
	found := slices.ContainsFunc(b.records(), func(line string) bool {
		return strings.Contains(line, `"action":"audit.sink.gap","subject":"siem"`) && strings.Contains(line, want)
	})
	if !found {
		t.Errorf("no record says %q:\n%s", want, strings.Join(b.records(), "\n"))
	}
	gone := fmt.Sprint(rotated.Records.To - shipped)
	if !strings.Contains(b.scrape(gate), `sallyport_audit_sink_gap_records{sink="siem"} `+gone) {
		t.Error("the metrics do not tell of the gap")
	}
}

// TestSinkKindsAreComplete: each kind of sink has its page, its configurations and its run of the conformance suite.
func TestSinkKindsAreComplete(t *testing.T) {
	for _, lacking := range sinktest.Complete(app.Kinds().Sinks, os.DirFS("../audit/sink")) {
		t.Error(lacking)
	}
	reference := string(config.Reference(app.Kinds()))
	for _, kind := range app.Kinds().Sinks {
		if !strings.Contains(reference, "## `audit.sinks.NAME` of kind "+kind.Name) {
			t.Errorf("kind %s is not in the reference", kind.Name)
		}
	}
	lacking := strings.Join(sinktest.Complete([]sink.Kind{{Name: "heap"}, {Name: "heap"}}, os.DirFS(t.TempDir())), "\n")
	for _, want := range []string{
		"no summary", "no page", "no settings", "no configuration that opens", "no configuration that is refused",
		"does not test its configurations", "is not held to the contract", `is called "heap", or two are`,
	} {
		if !strings.Contains(lacking, want) {
			t.Errorf("nothing says %q:\n%s", want, lacking)
		}
	}
}

// TestSinksOpen: what opens.txtar of each kind has is opened.
func TestSinksOpen(t *testing.T) {
	for _, kind := range app.Kinds().Sinks {
		c, _, err := config.Load(app.Kinds(), unpacked(t, "../audit/sink/"+kind.Name+"/testdata/config/opens.txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for name, one := range c.Audit.Sinks {
			s, err := one.Settings.Open(t.Context(), sink.Host{Now: time.Now})
			if err != nil {
				t.Errorf("opening sink %s of kind %s: %v", name, kind.Name, err)
				continue
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// BenchmarkBlockingSink compares requests through a gate without a sink and through one whose sink blocks, in turn: the
// ratio of their 99th percentiles is p99-ratio.
func BenchmarkBlockingSink(b *testing.B) {
	receiver, url, ca := siem(b)
	receiver.Be(sinktest.Block)
	plain, blocked := newBed(b, one("")), newSinkBed(b, map[string]string{"siem": to(url, ca)})
	beds := []*bed{plain, blocked}
	urls := []string{plain.serve().GatewayURL(), blocked.serve().GatewayURL()}
	took := make([][]time.Duration, len(beds))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2}}
	n := 0
	for b.Loop() {
		n++
		for i := range beds {
			at := (i + n) % 2 // each is first half of the time
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, urls[at]+"/s/crm/", nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("X-Sallyport-Token", beds[at].token)
			began := time.Now()
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			took[at] = append(took[at], time.Since(began))
		}
	}
	p99 := func(i int) float64 {
		slices.Sort(took[i])
		return float64(took[i][len(took[i])*99/100])
	}
	b.ReportMetric(p99(1)/p99(0), "p99-ratio")
	b.ReportMetric(p99(0)/1e3, "p99-µs")
}
