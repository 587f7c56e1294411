package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/audit"
)

// stranger is what a request without a valid token leaves, with fields as long as anybody can make them.
func stranger(id, source string) *audit.Event {
	long := strings.Repeat("\x01<", 5000)
	return &audit.Event{
		ID: id, Source: source, Service: long, Method: long, Path: "/" + long, Workflow: long,
		Execution: long, Node: long,
		Status: 407, Code: "token_missing", Blame: "caller", Detail: long,
	}
}

// TestStrangersCannotFillTheDisk: a flood without a token stays within a budget of bytes, from one source and from
// many, nothing of it vanishes uncounted, and it takes no record from anybody else.
func TestStrangersCannotFillTheDisk(t *testing.T) {
	const flood = 20_000
	for name, c := range map[string]struct {
		source func(n int) string
		most   int64 // bytes of the log
	}{
		"one source":    {func(int) string { return "192.0.2.1" }, 150 << 10},
		"one IPv6 host": {func(n int) string { return fmt.Sprintf("2001:db8::%x", n) }, 150 << 10},
		"mapped and not": {func(n int) string {
			return [2]string{"192.0.2.1", "::ffff:192.0.2.1"}[n%2]
		}, 150 << 10},
		"every time another": {func(n int) string { return fmt.Sprintf("2001:db8:0:%x::1", n) }, 600 << 10},
		"what is no address": {func(n int) string { return fmt.Sprint("x", n) }, 150 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := audit.Options{Path: filepath.Join(t.TempDir(), "audit.log"), Keys: testKeys()}
				l := open(t, o)
				for n := range flood {
					l.Refuse(stranger("flood", c.source(n)))
				}
				l.Refuse(stranger("another", "198.51.100.7"))
				l.Refuse(sample("known")) // with a valid token
				time.Sleep(2 * time.Minute)
				stats := l.Stats()
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(o.Path)
				if err != nil {
					t.Fatal(err)
				}
				if info.Size() > c.most {
					t.Errorf("%d requests wrote %d bytes, want at most %d", flood, info.Size(), c.most)
				}
				written, told, known, another := 0, 0, false, false
				for _, r := range records(t, o.Path) {
					switch r.Event.ID {
					case "flood":
						written++
						if len(r.Event.Path) > 210 {
							t.Fatalf("the path has %d bytes", len(r.Event.Path))
						}
					case "another":
						another = true
					case "known":
						known = true
					case "":
						if told += r.Event.Suppressed; r.Event.Suppressed > 0 &&
							!strings.Contains(r.Event.Detail, "token_missing") {
							t.Errorf("the summary says %q", r.Event.Detail)
						}
					}
				}
				if !another {
					told-- // where all budgets are used up it is counted with the others
				}
				if written+told != flood || stats.Summarised == 0 || written == 0 {
					t.Errorf("%d records and %d told of %d requests, %d in the stats", written, told,
						flood, stats.Summarised)
				}
				if !known || !another && name != "every time another" {
					t.Errorf("the record of a valid token is there: %v, that of another source: %v", known, another)
				}
			})
		})
	}
}

// TestTokensCannotFillTheDisk: neither can a flood with a valid token. The first records of a token are whole, another
// token's too, and nothing vanishes uncounted.
func TestTokensCannotFillTheDisk(t *testing.T) {
	const seconds, each = 60, 200
	for name, c := range map[string]struct {
		label func(n int) string
		most  int64 // bytes of the log
	}{
		"one token":    {func(int) string { return "wild" }, 256<<10 + seconds*(4<<10)},
		"twenty":       {func(n int) string { return fmt.Sprint("wild-", n%20) }, 1<<20 + seconds*(16<<10)},
		"very many":    {func(n int) string { return fmt.Sprint("wild-", n) }, 1<<20 + seconds*(16<<10)},
		"now and then": {func(n int) string { return fmt.Sprint("wild-", n/each/30) }, 10*(256<<10) + seconds*(4<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := audit.Options{Path: filepath.Join(t.TempDir(), "audit.log"), Keys: testKeys()}
				l := open(t, o)
				for n := range seconds * each {
					ev := stranger("flood", "192.0.2.1")
					ev.Token, ev.Label, ev.Code = "abc", c.label(n), "request_denied"
					l.Refuse(ev)
					if n%each == each-1 {
						time.Sleep(time.Second)
					}
				}
				l.Refuse(sample("another"))
				time.Sleep(2 * time.Minute)
				stats := l.Stats()
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(o.Path)
				if err != nil {
					t.Fatal(err)
				}
				if most := c.most + 32<<10; info.Size() > most {
					t.Errorf("%d requests wrote %d bytes, want at most %d", seconds*each, info.Size(), most)
				}
				written, told, whole, another := 0, 0, 0, false
				for _, r := range records(t, o.Path) {
					told += r.Event.Suppressed
					switch {
					case r.Event.ID == "another":
						another = r.Event.Service == sample("").Service
					case r.Event.ID == "flood":
						if written++; len(r.Event.Path) > 1000 {
							whole++
						}
					case r.Event.Suppressed > 0 && r.Event.Detail != "" &&
						(r.Event.Label == "" && name != "very many" || !strings.Contains(r.Event.Detail,
							"request_denied ")):
						t.Errorf("the summary says %q of %q", r.Event.Detail, r.Event.Label)
					}
				}
				if written+told != seconds*each || stats.Summarised == 0 {
					t.Errorf("%d records and %d told of %d requests", written, told, seconds*each)
				}
				if whole < 5 || !another && name != "very many" {
					t.Errorf("%d whole records; that of another token is there: %v", whole, another)
				}
			})
		})
	}
}
