package audit_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/audit"
)

// readOn reads all that is there behind a mark, bit by bit, and returns the records' numbers and the gaps.
func readOn(t *testing.T, path string, at audit.Mark, records int) (seqs []int, gaps []audit.Range, to audit.Mark) {
	t.Helper()
	for {
		run, err := audit.ReadAfter(path, at, audit.Bound{Upto: math.MaxInt, Records: records, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if run.Gap != (audit.Range{}) {
			gaps = append(gaps, run.Gap)
		}
		if len(run.Lines) == 0 {
			return seqs, gaps, run.At
		}
		for _, line := range run.Lines {
			rec, err := audit.Parse(line.Text)
			if err != nil || rec.Seq != line.Seq || rec.Event.Time.IsZero() || !rec.Event.Time.Equal(line.Time) {
				t.Fatalf("line %d: %s (%v)", line.Seq, line.Text, err)
			}
			seqs = append(seqs, line.Seq)
		}
		at = run.At
	}
}

// inRow fails unless these are the numbers from..to, each once and in order.
func inRow(t *testing.T, seqs []int, from, to int) {
	t.Helper()
	for i, seq := range seqs {
		if seq != from+i {
			t.Fatalf("record %d where %d belongs", seq, from+i)
		}
	}
	if len(seqs) != to-from+1 {
		t.Fatalf("%d records, want %d to %d", len(seqs), from, to)
	}
}

// several writes a log of three files, and returns its newest record.
func several(t *testing.T, o audit.Options) (newest int) {
	t.Helper()
	l := open(t, o)
	for file := range 3 {
		for i := range 20 {
			if err := l.Authorise(t.Context(), &audit.Event{ID: fmt.Sprint(file, "-", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if file < 2 {
			if _, err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Stats().Seq
}

// TestReadAfter: however the log is divided, and wherever reading stops and goes on, each record comes once.
func TestReadAfter(t *testing.T) {
	o := testOptions(t)
	newest := several(t, o)
	for _, records := range []int{1, 7, 1000} {
		seqs, gaps, at := readOn(t, o.Path, audit.Mark{}, records)
		inRow(t, seqs, 1, newest)
		if len(gaps) > 0 {
			t.Errorf("gaps %v", gaps)
		}
		if last, err := audit.Newest(o.Path); err != nil || last != at {
			t.Errorf("the newest is %+v, reading ended at %+v (%v)", last, at, err)
		}
	}
	run, err := audit.ReadAfter(o.Path, audit.Mark{}, audit.Bound{Upto: 5, Records: 100, Bytes: 1 << 20})
	if err != nil || run.At.Seq != 5 {
		t.Errorf("up to 5: ended at %d (%v)", run.At.Seq, err)
	}
	run, err = audit.ReadAfter(o.Path, audit.Mark{}, audit.Bound{Upto: 50, Records: 100, Bytes: 1})
	if err != nil || len(run.Lines) != 1 {
		t.Errorf("of one byte: %d records (%v)", len(run.Lines), err)
	}
}

// TestReadAfterGap: what was removed before it was read is named, and reading goes on behind it.
func TestReadAfterGap(t *testing.T) {
	o := testOptions(t)
	newest := several(t, o)
	run, err := audit.ReadAfter(o.Path, audit.Mark{}, audit.Bound{Upto: math.MaxInt, Records: 5, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ended, err := filepath.Glob(filepath.Join(filepath.Dir(o.Path), "*-0*"))
	if err != nil || len(ended) != 2 {
		t.Fatalf("ended files: %q (%v)", ended, err)
	}
	for _, one := range ended {
		if err := os.Remove(one); err != nil {
			t.Fatal(err)
		}
	}
	seqs, gaps, _ := readOn(t, o.Path, run.At, 10)
	if len(gaps) != 1 || gaps[0].From != 6 || len(seqs) == 0 || gaps[0].To != seqs[0]-1 {
		t.Fatalf("gaps %v, then %v", gaps, seqs)
	}
	inRow(t, seqs, gaps[0].To+1, newest)
	if _, gaps, _ := readOn(t, o.Path, audit.Mark{}, 10); len(gaps) > 0 {
		t.Errorf("for who has read nothing yet there are gaps: %v", gaps)
	}
}

// TestReadAfterAnotherLog: a log that does not go on from a mark says so, and why.
func TestReadAfterAnotherLog(t *testing.T) {
	o := testOptions(t)
	several(t, o)
	bound := audit.Bound{Upto: math.MaxInt, Records: 1000, Bytes: 1 << 20}
	at, err := audit.Newest(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	lost := at
	lost.Seq, lost.MAC = at.Seq+3, strings.Repeat("A", len(at.MAC))
	if _, err := audit.ReadAfter(o.Path, lost, bound); !errors.Is(err, audit.ErrNoMark) {
		t.Errorf("behind a record that was lost: %v", err)
	}
	changed := at
	changed.MAC = strings.Repeat("A", len(at.MAC))
	if _, err := audit.ReadAfter(o.Path, changed, bound); !errors.Is(err, audit.ErrNoMark) {
		t.Errorf("behind a record that was written again: %v", err)
	}
	other := testOptions(t)
	several(t, other)
	if _, err := audit.ReadAfter(other.Path, at, bound); !errors.Is(err, audit.ErrOtherLog) {
		t.Errorf("in another log: %v", err)
	}
	if _, err := audit.ReadCheckpointsAfter(t.Context(), other.Path+".checkpoints",
		audit.Mark{Log: at.Log, Seq: 1, MAC: "A"}, bound); !errors.Is(err, audit.ErrOtherLog) {
		t.Errorf("in another log's checkpoints: %v", err)
	}
}

// TestReadAfterTampering: reading stops where the file is no log any more, after all that comes before.
func TestReadAfterTampering(t *testing.T) {
	o := testOptions(t)
	several(t, o)
	log := read(t, o.Path)
	if err := os.WriteFile(o.Path, append(log, "what is no record\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	at := audit.Mark{}
	for {
		run, err := audit.ReadAfter(o.Path, at, audit.Bound{Upto: math.MaxInt, Records: 9, Bytes: 1 << 20})
		if err != nil {
			if !strings.Contains(err.Error(), fmt.Sprint("after record ", at.Seq)) {
				t.Errorf("it ends with %v", err)
			}
			return
		}
		if len(run.Lines) == 0 {
			t.Fatal("the line that is no record is passed over")
		}
		at = run.At
	}
}

// TestReadCheckpointsAfter: checkpoints are read in the same way.
func TestReadCheckpointsAfter(t *testing.T) {
	o := testOptions(t)
	several(t, o)
	var at audit.Mark
	for n := 1; ; n++ {
		run, err := audit.ReadCheckpointsAfter(t.Context(), o.Path+".checkpoints", at,
			audit.Bound{Upto: math.MaxInt, Records: 1, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if len(run.Lines) == 0 {
			if n < 4 {
				t.Errorf("only %d checkpoints", n-1)
			}
			break
		}
		if run.Lines[0].Seq != n || run.At.Seq != n {
			t.Fatalf("checkpoint %d where %d belongs", run.Lines[0].Seq, n)
		}
		at = run.At
	}
	at.MAC = "-" + at.MAC
	if _, err := audit.ReadCheckpointsAfter(t.Context(), o.Path+".checkpoints", at,
		audit.Bound{Upto: math.MaxInt}); !errors.Is(err, audit.ErrNoMark) {
		t.Errorf("behind a checkpoint that is another: %v", err)
	}
}
