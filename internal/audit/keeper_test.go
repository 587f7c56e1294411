package audit_test

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/audit"
)

func TestWhatNobodyWaitsForGoesOutByItself(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		defer l.Close()
		l.Complete(sample("alone"))
		if got := l.Stats().Pending; got != 1 {
			t.Errorf("pending: got %d, want 1", got)
		}
		time.Sleep(10 * time.Millisecond)
		if got := kinds(t, o.Path); got != "opened completed" {
			t.Errorf("10 ms later the file holds %q", got)
		}
	})
}

func TestRefusalsAreBounded(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		defer l.Close()
		for range 250 {
			l.Refuse(sample("flood"))
		}
		time.Sleep(time.Second)
		if got := l.Stats().Suppressed; got != 150 {
			t.Errorf("suppressed: got %d, want 150", got)
		}
		l.Refuse(sample("later"))
		time.Sleep(time.Second)
		all := records(t, o.Path)
		if got := len(all); got != 1+100+1 {
			t.Errorf("records: got %d, want 102", got)
		}
		if got := all[len(all)-1].Event; got.ID != "later" || got.Suppressed != 150 {
			t.Errorf("the next refused record: %+v", got)
		}
	})
}

func TestSuppressedRefusalsAreToldWithTheCheckpoint(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		for range 101 {
			l.Refuse(sample("flood"))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		all := records(t, o.Path)
		if got := all[len(all)-2].Event; got.Kind != audit.KindRefused || got.Suppressed != 1 {
			t.Errorf("before the closed record: %+v", got)
		}
	})
	mustHold(t, o)
}

func TestCheckpointsComeByCountAndByTime(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 10
	var seen []audit.Checkpoint
	o.OnCheckpoint = func(c audit.Checkpoint) { seen = append(seen, c) }
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		authorise := func(n int) {
			for range n {
				if err := l.Authorise(t.Context(), sample("r")); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		for _, step := range []struct {
			name    string
			records int
			wait    time.Duration
			want    int
		}{
			{"opened", 0, 0, 1},
			{"too few", 9, 0, 1},
			{"enough", 1, 0, 2},
			{"nothing new", 0, 5 * time.Minute, 2},
			{"one, and a minute", 1, time.Minute, 3},
		} {
			authorise(step.records)
			time.Sleep(step.wait)
			synctest.Wait()
			if len(seen) != step.want {
				t.Errorf("%s: %d checkpoints, want %d", step.name, len(seen), step.want)
			}
		}
		if got := l.Stats().Checkpoint; got != seen[len(seen)-1] {
			t.Errorf("Stats has checkpoint %+v", got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if r := mustHold(t, o); r.Checkpoints != 4 || r.Unanchored != (audit.Range{}) {
		t.Errorf("report: %+v", r)
	}
}

func TestALogMovedAwayIsNoticedWithinASecond(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		defer l.Close()
		if err := os.Rename(o.Path, o.Path+".1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		if l.Health() == nil {
			t.Error("Health is good")
		}
		if err := l.Authorise(t.Context(), sample("r")); err == nil {
			t.Error("a record was acknowledged")
		}
		if err := os.Rename(o.Path+".1", o.Path); err != nil {
			t.Fatal(err)
		}
		if err := l.Authorise(t.Context(), sample("r")); err != nil {
			t.Errorf("back in its place: %v", err)
		}
		if err := l.Health(); err != nil {
			t.Errorf("Health back in its place: %v", err)
		}
	})
}

func TestALostCheckpointFileShowsInHealth(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 10
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		if err := os.Remove(o.Path + ".checkpoints"); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if err := l.Authorise(t.Context(), sample("r")); err != nil {
				t.Errorf("the chain itself goes on: %v", err)
			}
			synctest.Wait()
		}
		if n := strings.Count(kinds(t, o.Path), "checkpoint"); n > 10 {
			t.Errorf("%d vain attempts for 100 records", n)
		}
		time.Sleep(2 * time.Minute)
		if err := l.Health(); err == nil || !strings.Contains(err.Error(), "checkpoint") {
			t.Errorf("Health: %v", err)
		}
		if l.Close() == nil {
			t.Error("Close saw nothing wrong")
		}
	})
}

func TestACompletedFloodWhileTheLogIsGoneIsBounded(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		if err := os.Rename(o.Path, o.Path+".1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		big := &audit.Event{Detail: strings.Repeat("x", 1000)}
		for range 6000 {
			l.Complete(big)
		}
		lost := l.Stats().Lost
		if lost == 0 || lost > 3000 {
			t.Errorf("lost: got %d", lost)
		}
		if err := os.Rename(o.Path+".1", o.Path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if r := mustHold(t, o); r.Recovered != 1 {
		t.Errorf("the loss is told in %d records, want 1", r.Recovered)
	}
}
