package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/audit"
)

func TestTailShowsTheLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprintf("%d %s\n", i, strings.Repeat("x", i)))
	}
	for _, torn := range []string{"", "half a li"} {
		if err := os.WriteFile(path, []byte(strings.Join(all, "")+torn), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 2, 500, 1000, 2000} {
			var got []string
			if err := audit.Tail(t.Context(), path, audit.View{Lines: n}, collect(&got)); err != nil {
				t.Fatal(err)
			}
			if want := all[len(all)-min(n, len(all)):]; strings.Join(got, "") != strings.Join(want, "") {
				t.Errorf("the last %d: got %d lines", n, len(got))
			}
		}
	}
}

// TestFilter: what a filter takes, for tail and export alike, from the end of a log that is much longer than what is
// looked for.
func TestFilter(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	begin := time.Now()
	for i := range 600 {
		ev := audit.Event{
			Service: "openai", Token: "id1", Label: "n8n", Workflow: fmt.Sprint("w", i%3),
			Path: strings.Repeat("/x", 200),
		}
		if i == 7 {
			ev.Service, ev.Label, ev.Token = "crm", "ci", "id2"
		}
		if err := l.Authorise(t.Context(), &ev); err != nil {
			t.Fatal(err)
		}
	}
	l.Refuse(&audit.Event{Service: "openai", Label: "n8n", Code: "rule_denied"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		which audit.Filter
		want  int
	}{
		{"service", audit.Filter{Service: "crm"}, 1},
		{"token by name", audit.Filter{Token: "ci"}, 1},
		{"token by id", audit.Filter{Token: "id2"}, 1},
		{"workflow", audit.Filter{Workflow: "w1"}, 200},
		{"refused", audit.Filter{Refused: true}, 1},
		{"two of them", audit.Filter{Service: "crm", Workflow: "w0"}, 0},
		{"quiet", audit.Filter{Quiet: true}, 601},
		{"later", audit.Filter{Since: begin.Add(24 * time.Hour)}, 0},
		{"since", audit.Filter{Since: begin.Add(-time.Hour), Quiet: true}, 601},
	} {
		var lines []string
		if err := audit.Tail(t.Context(), o.Path, audit.View{Lines: 10000, Filter: tt.which},
			collect(&lines)); err != nil || len(lines) != tt.want {
			t.Errorf("%s: tail takes %d (%v), want %d", tt.name, len(lines), err, tt.want)
		}
		n, err := audit.Export(t.Context(), bytes.NewReader(read(t, o.Path)), tt.which, io.Discard)
		if err != nil || n != tt.want {
			t.Errorf("%s: export takes %d (%v), want %d", tt.name, n, err, tt.want)
		}
		var last []string
		if err := audit.Tail(t.Context(), o.Path, audit.View{Lines: 1, Filter: tt.which}, collect(&last)); err != nil ||
			len(last) != min(1, tt.want) {
			t.Errorf("%s: the last one: %d (%v)", tt.name, len(last), err)
		} else if len(last) == 1 && last[0] != lines[len(lines)-1] {
			t.Errorf("%s: the last one is another than the last of all", tt.name)
		}
	}
}

// TestFilterByWhatWasSaid: a name from outside is found by what the caller sent, however it had to be written.
func TestFilterByWhatWasSaid(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	said := []string{
		"\x1b[31mred", "a\u202eb", "a\xff\xfeb", "\xff", "a\nb", "quote\"back\\slash", "\u0000", strings.Repeat("w", 200), strings.Repeat("w", 201),
		strings.Repeat("ü", 150), strings.Repeat("\xff", 300), "…",
	}
	for _, name := range said {
		if err := l.Authorise(t.Context(), &audit.Event{Workflow: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range said {
		if n, err := audit.Export(t.Context(), bytes.NewReader(read(t, o.Path)), audit.Filter{Workflow: name},
			io.Discard); n != 1 || err != nil {
			t.Errorf("%.20q: export takes %d (%v)", name, n, err)
		}
	}
}

func TestTailFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	replaceWith := func(path, text string) {
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	replaceWith(path, "one\ntwo\n")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error)
		go func() { ended <- audit.Tail(ctx, path, audit.View{Lines: 1, Follow: true}, collect(&got)) }()
		step := func(want string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			if s := strings.Join(got, ""); s != want {
				t.Errorf("got %q, want %q", s, want)
			}
			got = nil
		}
		step("two\n")
		appendTo(t, path, "three\nfo")
		step("three\n")
		appendTo(t, path, "ur\n")
		step("four\n")
		replaceWith(path, "another\n")
		step("another\n")
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		appendTo(t, path, "again\n")
		step("again\n")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func collect(lines *[]string) func([]byte) error {
	return func(line []byte) error {
		*lines = append(*lines, string(line)+"\n")
		_ = append(line, "overwritten"...) // must not reach the next line
		return nil
	}
}

func TestTailPassesOnTheErrorOfItsCaller(t *testing.T) {
	o := written(t)
	err := audit.Tail(t.Context(), o.Path, audit.View{Lines: 3, Follow: true}, func([]byte) error {
		return io.ErrClosedPipe
	})
	if err == nil || !strings.Contains(err.Error(), "closed pipe") {
		t.Errorf("got %v", err)
	}
}

func TestExportBeginsAtAnInstant(t *testing.T) {
	o := testOptions(t)
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o.Now = func() time.Time { return begin }
	l := open(t, o)
	for i := range 5 {
		ev := sample(fmt.Sprintf("r%d", i))
		ev.Time = begin.Add(time.Duration(i) * time.Hour)
		if err := l.Authorise(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		since time.Time
		want  int
	}{
		{time.Time{}, 6},
		{begin.Add(time.Hour), 4},
		{begin.Add(time.Hour + time.Microsecond).In(time.FixedZone("", 7200)), 3},
		{begin.Add(24 * time.Hour), 0},
	} {
		var out bytes.Buffer
		n, err := audit.Export(t.Context(), bytes.NewReader(read(t, o.Path)), audit.Filter{Since: tt.since}, &out)
		if err != nil || n != tt.want || bytes.Count(out.Bytes(), []byte("\n")) != tt.want {
			t.Errorf("since %s: got %d, %v, want %d", tt.since, n, err, tt.want)
		}
	}
	if _, err := audit.Export(t.Context(), strings.NewReader("{}\n"), audit.Filter{Since: begin},
		io.Discard); err == nil {
		t.Error("a line that is no record was passed over")
	}
}

func TestVerifyFileJudgesALogInUse(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 20
	l := open(t, o)
	var writing atomic.Bool
	writing.Store(true)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer writing.Store(false)
		for range 1000 {
			if err := l.Authorise(context.Background(), sample("r")); err != nil {
				t.Error(err)
			}
			l.Complete(sample("r"))
		}
	}()
	for writing.Load() {
		r, err := audit.VerifyFile(t.Context(), o.Path, "", testKeys().Public())
		if err != nil || !r.OK {
			t.Fatalf("while it is written: %v, %+v, %v", err, r, r.FirstBad)
		}
	}
	<-ended
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	appendTo(t, o.Path, "torn")
	if r, err := audit.VerifyFile(t.Context(), o.Path, "", testKeys().Public()); err != nil || r.OK || r.Torn != 4 {
		t.Errorf("torn, and nobody is writing: %v, %+v", err, r)
	}
	replace(t, o.Path+".checkpoints", []byte("-"))
	if r, err := audit.VerifyFile(t.Context(), o.Path, "", testKeys().Public()); err != nil || r.OK {
		t.Errorf("without its checkpoints: %v, %+v", err, r)
	}
}
