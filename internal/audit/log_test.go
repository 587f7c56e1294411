package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/audit"
)

// testKeys are fixed, so that a failure can be looked at again.
func testKeys() audit.Keys {
	return audit.Keys{
		Chain: bytes.Repeat([]byte{7}, 32),
		Sign:  ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize)),
	}
}

func testOptions(t testing.TB) audit.Options {
	t.Helper()
	return audit.Options{
		Path: filepath.Join(t.TempDir(), "audit.log"),
		Keys: testKeys(),
		Sync: time.Hour, // a checkpoint syncs in any case
	}
}

func open(t testing.TB, o audit.Options) *audit.Log {
	t.Helper()
	l, err := audit.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func verify(t testing.TB, o audit.Options) audit.Report {
	t.Helper()
	return verifyBytes(t, read(t, o.Path), read(t, o.Path+".checkpoints"))
}

func verifyBytes(t testing.TB, log, checkpoints []byte) audit.Report {
	t.Helper()
	report, err := audit.Verify(context.Background(), bytes.NewReader(log), audit.VerifyOptions{
		Keys: testKeys().Public(), Checkpoints: bytes.NewReader(checkpoints),
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func mustHold(t testing.TB, o audit.Options) audit.Report {
	t.Helper()
	report := verify(t, o)
	if !report.OK {
		t.Fatalf("verify: %s", report.FirstBad)
	}
	return report
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// records reads a log back, one record per line.
func records(t testing.TB, path string) []audit.Record {
	t.Helper()
	var all []audit.Record
	for line := range bytes.Lines(read(t, path)) {
		rec, err := audit.Parse(line)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, rec)
	}
	return all
}

func kinds(t testing.TB, path string) string {
	t.Helper()
	var all []string
	for _, rec := range records(t, path) {
		all = append(all, string(rec.Event.Kind))
	}
	return strings.Join(all, " ")
}

func sample(id string) *audit.Event {
	return &audit.Event{
		ID: id, Token: "tok_1", Label: "n8n-production", Generation: 2, Service: "openai", Method: "POST",
		Host: "api.openai.com", Path: "/v1/chat/completions", Source: "10.1.2.3", Workflow: "wf42", Execution: "1017",
		Node: "HTTP Request", Rule: "default", Secrets: []string{"openai@3"},
	}
}

func TestARequestLeavesTwoRecords(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	if err := l.Authorise(t.Context(), sample("req-1")); err != nil {
		t.Fatal(err)
	}
	if got := kinds(t, o.Path); got != "opened authorised" {
		t.Errorf("once Authorise returned, the file holds %q", got)
	}
	done := sample("req-1")
	done.Status, done.Gate, done.Upstream = 200, 310*time.Microsecond, 42*time.Millisecond
	l.Complete(done)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := kinds(t, o.Path), "opened authorised completed closed"; got != want {
		t.Errorf("records: got %q, want %q", got, want)
	}
	report := mustHold(t, o)
	if got, want := report.Anchored, (audit.Range{From: 1, To: 4}); got != want {
		t.Errorf("anchored: got %v, want %v", got, want)
	}
}

func TestManyWritersShareOneChain(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 50
	l := open(t, o)
	const writers, each = 20, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := l.Authorise(context.Background(), sample(fmt.Sprintf("%d-%d", w, i))); err != nil {
					t.Error(err)
				}
				l.Complete(sample(fmt.Sprintf("%d-%d", w, i)))
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, o)
	seen := map[audit.Kind]int{}
	for _, rec := range records(t, o.Path) {
		seen[rec.Event.Kind]++
	}
	if seen[audit.KindAuthorised] != writers*each || seen[audit.KindCompleted] != writers*each {
		t.Errorf("records by kind: %v, want %d authorised and completed", seen, writers*each)
	}
}

func TestALogIsContinued(t *testing.T) {
	o := testOptions(t)
	for range 3 {
		l := open(t, o)
		if err := l.Admin(t.Context(),
			&audit.Event{Actor: "root", Action: "secret.set", Subject: "openai"}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	report := mustHold(t, o)
	if report.Records != 9 || report.Opens != 3 || report.Checkpoints != 6 {
		t.Errorf("report: %+v", report)
	}
}

func TestOnlyOneProcessWrites(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	if _, err := audit.Open(t.Context(), o); !errors.Is(err, audit.ErrLocked) {
		t.Errorf("opening a log in use: got %v, want ErrLocked", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, o)
}

func TestAClosedLogTakesNothing(t *testing.T) {
	l := open(t, testOptions(t))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Authorise(t.Context(), sample("late")); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
