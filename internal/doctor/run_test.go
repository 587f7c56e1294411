package doctor_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
)

// looking is a check with what it sees.
func looking(id string, look func(ctx context.Context) ([]doctor.Seen, error)) doctor.Check {
	return doctor.Check{
		ID: id, Title: "All is well with " + id, Severity: doctor.High, Asks: "Is it?",
		Look: func(ctx context.Context, _ *site.Site) ([]doctor.Seen, error) { return look(ctx) },
	}
}

func saying(id string, seen ...doctor.Seen) doctor.Check {
	return looking(id, func(context.Context) ([]doctor.Seen, error) { return seen, nil })
}

func run(t *testing.T, checks ...doctor.Check) doctor.Report {
	t.Helper()
	r, err := doctor.Run(t.Context(), checks, new(site.Site), doctor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNeverGreen: whatever keeps a check from looking, it is not OK, and neither is the run.
func TestNeverGreen(t *testing.T) {
	for name, c := range map[string]doctor.Check{
		"nothing to look at": saying("a"),
		"an error": looking("a", func(context.Context) ([]doctor.Seen, error) {
			return nil, fault.WithHint(errors.New("the door is shut"), "open it")
		}),
		"an error beside what is well": looking("a", func(context.Context) ([]doctor.Seen, error) {
			return []doctor.Seen{doctor.Good("one", "well")}, errors.New("the rest is dark")
		}),
		"a panic":               looking("a", func(context.Context) ([]doctor.Seen, error) { panic("no") }),
		"one of two":            saying("a", doctor.Good("one", "well"), doctor.Dark("two", "dark", "light")),
		"a status nobody knows": saying("a", doctor.Seen{Subject: "one", Status: "fine"}),
		"no status":             saying("a", doctor.Seen{Subject: "one"}),
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, c, saying("b", doctor.Good("b", "well")))
			if r.Results[0].Status != doctor.Unseen || r.Results[1].Status != doctor.OK {
				t.Errorf("got %q and %q", r.Results[0].Status, r.Results[1].Status)
			}
			if r.Counts != (doctor.Counts{Unseen: 1, OK: 1}) || fault.ExitOf(r.Fault()) != fault.ExitError {
				t.Errorf("got %+v, exit %d", r.Counts, fault.ExitOf(r.Fault()))
			}
		})
	}
}

func TestExit(t *testing.T) {
	bad, doubtful := doctor.Bad("x", "broken", "mend it"), doctor.Doubtful("x", "old", "renew it")
	dark, well := doctor.Dark("x", "dark", ""), doctor.Good("x", "well")
	for _, c := range []struct {
		seen []doctor.Seen
		want fault.Exit
	}{
		{[]doctor.Seen{well}, fault.ExitOK},
		{[]doctor.Seen{well, dark}, fault.ExitError},
		{[]doctor.Seen{dark, doubtful, well}, fault.ExitFindings},
		{[]doctor.Seen{dark, bad}, fault.ExitFindings},
	} {
		r := run(t, saying("a", c.seen...))
		if got := fault.ExitOf(r.Fault()); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.seen, got, c.want)
		}
	}
}

// TestHangs: checks that never return take no longer than their time, and keep nobody else from being run.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		deaf := looking("deaf", func(context.Context) ([]doctor.Seen, error) { <-forever; return nil, nil })
		slow := looking("slow", func(ctx context.Context) ([]doctor.Seen, error) {
			<-ctx.Done()
			return nil,
				ctx.Err()
		})
		slow.Timeout = time.Minute
		began := time.Now()
		r, err := doctor.Run(t.Context(), []doctor.Check{deaf, deaf, slow, saying("well", doctor.Good("x", "well"))},
			new(site.Site), doctor.Options{Timeout: 10 * time.Second, Parallel: 2})
		if err != nil || r.Counts != (doctor.Counts{Unseen: 3, OK: 1}) {
			t.Errorf("got %v, %+v", err, r.Counts)
		}
		if took := time.Since(began); took > 75*time.Second {
			t.Errorf("it took %s", took)
		}
		if got := r.Results[0].Seen[0].Evidence; !strings.Contains(got, "no response within 10s") {
			t.Errorf("got %q", got)
		}
		close(forever)
	})
}

// TestInterrupted: after Ctrl-C the report is there at once, and says what was not looked at.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	waits := looking("waits", func(ctx context.Context) ([]doctor.Seen, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	r, err := doctor.Run(ctx, []doctor.Check{waits, waits, waits}, new(site.Site), doctor.Options{Parallel: 1})
	if !errors.Is(err, context.Canceled) || r.Counts != (doctor.Counts{Unseen: 3}) {
		t.Errorf("got %v, %+v", err, r.Counts)
	}
	for _, one := range r.Results {
		if one.ID != "waits" || !strings.Contains(one.Seen[0].Evidence, "interrupted") {
			t.Errorf("got %+v", one)
		}
	}
}

func TestParallel(t *testing.T) {
	var now, most atomic.Int32
	var checks []doctor.Check
	for range 40 {
		checks = append(checks, looking("a", func(context.Context) ([]doctor.Seen, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			return []doctor.Seen{doctor.Good("x", "well")}, nil
		}))
	}
	told := 0
	_, err := doctor.Run(t.Context(), checks, new(site.Site), doctor.Options{
		Parallel: 3, Told: func(_, _ int, running []string) { told = max(told, len(running)) },
	})
	if err != nil || most.Load() > 3 || told > 3 {
		t.Errorf("got %v, %d at once, told of %d", err, most.Load(), told)
	}
}

// TestBounded: what a check has seen is cut, and what is cut is never worse than what is left.
func TestBounded(t *testing.T) {
	var seen []doctor.Seen
	for range 10_000 {
		seen = append(seen, doctor.Good(strings.Repeat("n", 10_000), strings.Repeat("\x1b[2J\n", 10_000)))
	}
	r := run(t, saying("a", append(seen, doctor.Bad("last", "broken", "mend it"))...)).Results[0]
	if r.Status != doctor.Failed || r.Seen[0].Subject != "last" || len(r.Seen)+r.More != 10_001 {
		t.Errorf("got %s, %q, %d and %d", r.Status, r.Seen[0].Subject, len(r.Seen), r.More)
	}
	for _, s := range r.Seen {
		if len(s.Subject) > 1000 || len(s.Evidence) > 3000 || strings.ContainsAny(s.Subject+s.Evidence, "\x1b\n") {
			t.Fatalf("got %d and %d bytes: %.40q", len(s.Subject), len(s.Evidence), s.Evidence)
		}
	}
}

func TestFix(t *testing.T) {
	broken := true
	c := looking("a", func(context.Context) ([]doctor.Seen, error) {
		if broken {
			return []doctor.Seen{doctor.Bad("x", "open", "shut it")}, nil
		}
		return []doctor.Seen{doctor.Good("x", "shut")}, nil
	})
	c.Fix = func(context.Context, *site.Site, []doctor.Seen) ([]string, error) {
		broken = false
		return []string{"shut x"}, nil
	}
	r := run(t, c)
	if r.Results[0].Status != doctor.Failed || !broken {
		t.Errorf("without --fix it repairs: %+v", r.Results[0])
	}
	r, err := doctor.Run(t.Context(), []doctor.Check{c}, new(site.Site), doctor.Options{Fix: true})
	if err != nil || r.Results[0].Status != doctor.OK || len(r.Results[0].Fixed) != 1 {
		t.Errorf("got %v, %+v", err, r.Results[0])
	}
}

func TestChoose(t *testing.T) {
	all := []doctor.Check{saying("key-files"), saying("key-git"), saying("tls")}
	for _, c := range []struct {
		only, skip []string
		want       string
		left       int
	}{
		{nil, nil, "key-files key-git tls", 0},
		{[]string{"key-*"}, nil, "key-files key-git", 1},
		{[]string{"key-*", "tls"}, []string{"key-git"}, "key-files tls", 1},
		{nil, []string{"tls"}, "key-files key-git", 1},
	} {
		chosen, left, err := doctor.Choose(all, c.only, c.skip)
		var ids []string
		for _, one := range chosen {
			ids = append(ids, one.ID)
		}
		if err != nil || strings.Join(ids, " ") != c.want || len(left) != c.left {
			t.Errorf("%v, %v: got %v, %v, %v", c.only, c.skip, ids, left, err)
		}
	}
	for _, wrong := range []string{"key", "", "x*", "tls "} {
		if _, _, err := doctor.Choose(all, []string{wrong}, nil); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
