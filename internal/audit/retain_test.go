package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/audit"
)

// aged writes three files, an hour apart, and leaves the log closed. It runs in a bubble.
func aged(t *testing.T, o audit.Options) []audit.Rotation {
	t.Helper()
	l := open(t, o)
	var all []audit.Rotation
	for i := range 3 {
		authorise(t, l, fmt.Sprintf("%d-a", i))
		all = append(all, rotate(t, l))
		time.Sleep(time.Hour)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// kept opens the log, gives retention its time, and closes it.
func kept(t *testing.T, o audit.Options) {
	t.Helper()
	l := open(t, o)
	time.Sleep(time.Second)
	synctest.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRetention(t *testing.T) {
	for name, tt := range map[string]struct {
		age   time.Duration
		files int // whose size together is kept, with the newest; 0: no bound
		gone  int
	}{
		"no bound":          {0, 0, 0},
		"young":             {24 * time.Hour, 0, 0},
		"one too old":       {150 * time.Minute, 0, 1},
		"all too old":       {time.Minute, 0, 3},
		"room for all":      {0, 4, 0},
		"room for two":      {0, 3, 1},
		"room for none":     {0, 1, 3},
		"either is a bound": {150 * time.Minute, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			synctest.Test(t, func(t *testing.T) {
				rotations := aged(t, o)
				o.KeepAge = tt.age
				for _, path := range []string{
					o.Path, rotations[2].File, rotations[1].File,
					rotations[0].File,
				}[:tt.files] {
					o.KeepSize += int64(len(read(t, path)))
				}
				if o.KeepSize > 0 {
					o.KeepSize += 300 // for the next opened record
				}
				var told []audit.Range
				o.OnRemove = func(r audit.Range, err error) {
					if err != nil {
						t.Error(err)
					}
					told = append(told, r)
				}
				kept(t, o)
				for i, r := range rotations {
					if _, err := os.Lstat(r.File); os.IsNotExist(err) != (i < tt.gone) {
						t.Errorf("file %d: %v", i, err)
					}
				}
				r := holdsOver(t, o)
				if tt.gone == 0 {
					if len(told) != 0 || r.Removed != nil {
						t.Errorf("told %v, report %v", told, r.Removed)
					}
					return
				}
				want := audit.Range{From: 1, To: rotations[tt.gone-1].Records.To}
				if len(told) != 1 || told[0] != want || r.Removed == nil || *r.Removed != want {
					t.Errorf("told %v, report %v, want %v", told, r.Removed, want)
				}
			})
		})
	}
}

// TestRetentionOfManyFiles: they are opened and removed some at a time, each time on record, so that they take no
// descriptors from the gate.
func TestRetentionOfManyFiles(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		for range 70 {
			authorise(t, l, "x")
			rotate(t, l)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		o.KeepAge = time.Minute
		kept(t, o)
	})
	if got := files(t, o); len(got) != 1 {
		t.Errorf("%d files are left", len(got)-1)
	}
	removed := strings.Count(kinds(t, o.Path), string(audit.KindRemoved))
	if r := holdsOver(t, o); removed != 3 || r.Removed == nil {
		t.Errorf("%d removals are on record, and the report says %v", removed, r.Removed)
	}
}

// TestRetentionClearsNothingAway: a file that someone has changed, and the gap that someone has made, stay to be found.
func TestRetentionClearsNothingAway(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, o audit.Options, r []audit.Rotation)
		why    string
	}{
		"a record changed": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			replace(t, r[1].File, bytes.Replace(read(t, r[1].File), []byte("openai"), []byte("stripe"), 1))
		}, "evidence"},
		"a tail cut": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			b := read(t, r[0].File)
			replace(t, r[0].File, b[:endOfLine(b, 1)])
		}, "evidence"},
		"the first file removed": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			replace(t, r[0].File, []byte("-"))
		}, "no record says"},
		"one between removed": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			replace(t, r[1].File, []byte("-"))
		}, "evidence"},
		"a checkpoint changed": {func(t *testing.T, o audit.Options, _ []audit.Rotation) {
			b := read(t, o.Path+".checkpoints")
			b[30] ^= 1
			replace(t, o.Path+".checkpoints", b)
		}, "evidence"},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			synctest.Test(t, func(t *testing.T) {
				rotations := aged(t, o)
				tt.change(t, o, rotations)
				before := files(t, o)
				o.KeepSize = 1
				l := open(t, o)
				time.Sleep(time.Second)
				synctest.Wait()
				if err := l.Stats().Retention; err == nil || !strings.Contains(err.Error(), tt.why) {
					t.Errorf("got %v, want %q", err, tt.why)
				}
				if err := l.Health(); err != nil {
					t.Errorf("the log itself is healthy: %v", err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				if got := files(t, o); len(got) != len(before) {
					t.Errorf("files: got %q, want %q", got, before)
				}
				if r, err := audit.VerifyFile(t.Context(), o.Path, "", testKeys().Public()); err != nil || r.OK {
					t.Errorf("what was done is not found: %+v %v", r, err)
				}
			})
		})
	}
}

// TestWhatIsGoneBeyondTheRecordIsFound: the record of a removal covers what it names, and nothing that someone removes
// later.
func TestWhatIsGoneBeyondTheRecordIsFound(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		rotations := aged(t, o)
		o.KeepAge = 150 * time.Minute
		kept(t, o)
		again := o
		again.KeepAge = 0
		holdsOver(t, again)
		b := read(t, rotations[1].File)
		replace(t, rotations[1].File, []byte("-"))
		r, err := audit.VerifyFile(t.Context(), o.Path, "", testKeys().Public())
		if err != nil || r.OK || r.Missing == nil || *r.Missing != (audit.Range{From: 1, To: rotations[1].Records.To}) {
			t.Errorf("got %+v, %v", r, err)
		}
		replaceNew(t, rotations[1].File, b)
		// The next removal follows the one on record, in another process and over a rotation.
		l := open(t, again)
		rotate(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		o.KeepAge = 90 * time.Minute
		kept(t, o)
		if r := holdsOver(t, o); r.Removed == nil || r.Removed.To != rotations[1].Records.To {
			t.Errorf("got %+v", r)
		}
		if _, err := os.Lstat(filepath.Clean(rotations[1].File)); !os.IsNotExist(err) {
			t.Errorf("the second file: %v", err)
		}
	})
}
