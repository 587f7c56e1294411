package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/testkit"
)

// files are the names of a log's files, and of what lies beside them, but for checkpoints and lock.
func files(t testing.TB, o audit.Options) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(o.Path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); !strings.HasSuffix(name, ".checkpoints") && !strings.HasSuffix(name, ".lock") {
			names = append(names, name)
		}
	}
	return names
}

// holdsOver verifies a log over all its files, and that they are together what one file would be.
func holdsOver(t testing.TB, o audit.Options) audit.Report {
	t.Helper()
	r, err := audit.VerifyFile(context.Background(), o.Path, "", testKeys().Public())
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK {
		t.Fatalf("verify: %s", r.FirstBad)
	}
	if r.Removed == nil {
		if whole := verifyBytes(t, all(t, o), read(t, o.Path+".checkpoints")); !whole.OK {
			t.Fatalf("all files in a row: %s", whole.FirstBad)
		}
	}
	return r
}

// all is what the files hold together.
func all(t testing.TB, o audit.Options) []byte {
	t.Helper()
	f, err := audit.OpenAll(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func rotate(t testing.TB, l *audit.Log) audit.Rotation {
	t.Helper()
	r, err := l.Rotate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func authorise(t testing.TB, l *audit.Log, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := l.Authorise(context.Background(), sample(id)); err != nil {
			t.Fatal(err)
		}
	}
}

// rotatedLog has three files, of which the last is being written.
func rotatedLog(t testing.TB) (audit.Options, []audit.Rotation) {
	t.Helper()
	o := testOptions(t)
	l := open(t, o)
	var all []audit.Rotation
	for i := range 3 {
		authorise(t, l, fmt.Sprintf("%d-a", i), fmt.Sprintf("%d-b", i))
		if i < 2 {
			all = append(all, rotate(t, l))
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return o, all
}

func TestARotationDividesTheLog(t *testing.T) {
	o, rotations := rotatedLog(t)
	if got, want := files(t, o), []string{
		"audit-000000000001-000000000004.log", "audit-000000000005-000000000008.log",
		"audit.log",
	}; !slices.Equal(got, want) {
		t.Errorf("files: got %q, want %q", got, want)
	}
	if got, want := rotations[1], (audit.Rotation{
		File:    filepath.Join(filepath.Dir(o.Path), "audit-000000000005-000000000008.log"),
		Records: audit.Range{From: 5, To: 8}, Bytes: int64(len(read(t, rotations[1].File))),
	}); got != want {
		t.Errorf("rotation: got %+v, want %+v", got, want)
	}
	for path, want := range map[string]string{
		rotations[0].File: "opened authorised authorised checkpoint",
		rotations[1].File: "continued authorised authorised checkpoint",
		o.Path:            "continued authorised authorised closed",
	} {
		if got := kinds(t, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		r, err := audit.VerifyFile(t.Context(), path, o.Path+".checkpoints", testKeys().Public())
		if err != nil || !r.OK {
			t.Errorf("%s by itself: %v %v", path, r.FirstBad, err)
		}
	}
	r := holdsOver(t, o)
	if r.Records != 12 || len(r.Files) != 3 || r.Anchored != (audit.Range{From: 1, To: 12}) ||
		r.Files[1].Records != (audit.Range{From: 5, To: 8}) {
		t.Errorf("report: %+v", r)
	}
	l := open(t, o) // the log is continued
	authorise(t, l, "later")
	rotate(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, o)
	holdsOver(t, o)
}

func TestManyWritersThroughRotations(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 50
	l := open(t, o)
	acknowledged := map[string]bool{}
	var mu sync.Mutex
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 400 {
				id := fmt.Sprintf("%d-%d", w, i)
				if err := l.Authorise(context.Background(), sample(id)); err != nil {
					t.Error(err)
					return
				}
				l.Complete(sample(id))
				mu.Lock()
				acknowledged[id] = true
				mu.Unlock()
			}
		})
	}
	for range 10 {
		rotate(t, l)
		if r, err := audit.VerifyFile(t.Context(), o.Path, "", testKeys().Public()); err != nil || !r.OK {
			t.Errorf("while it runs: %v %v", r.FirstBad, err)
		}
	}
	writers.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	holdsOver(t, o)
	mustHave(t, all(t, o), acknowledged)
}

func mustHave(t testing.TB, log []byte, ids map[string]bool) {
	t.Helper()
	have := map[string]bool{}
	for line := range bytes.Lines(log) {
		rec, err := audit.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Event.Kind == audit.KindAuthorised {
			have[rec.Event.ID] = true
		}
	}
	for id := range ids {
		if !have[id] {
			t.Errorf("record %q was acknowledged and is not there", id)
		}
	}
}

func TestMissingAndForeignFilesAreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(t *testing.T, o audit.Options, r []audit.Rotation)
		missing *audit.Range
	}{
		"the first one removed": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			replace(t, r[0].File, []byte("-"))
		}, &audit.Range{From: 1, To: 4}},
		"the second one removed": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			replace(t, r[1].File, []byte("-"))
		}, &audit.Range{From: 5, To: 8}},
		"both removed": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			replace(t, r[0].File, []byte("-"))
			replace(t, r[1].File, []byte("-"))
		}, &audit.Range{From: 1, To: 8}},
		"the newest removed": {func(t *testing.T, o audit.Options, _ []audit.Rotation) {
			replace(t, o.Path, []byte("-"))
		}, nil},
		"the newest emptied": {func(t *testing.T, o audit.Options, _ []audit.Rotation) {
			replace(t, o.Path, nil)
		}, nil},
		"renumbered": {func(t *testing.T, o audit.Options, r []audit.Rotation) {
			if err := os.Rename(r[1].File,
				filepath.Join(filepath.Dir(o.Path), "audit-000000000005-000000000009.log")); err != nil {
				t.Fatal(err)
			}
		}, nil},
		"the tail of one cut": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			b := read(t, r[0].File)
			replace(t, r[0].File, b[:endOfLine(b, 3)])
		}, nil},
		"one changed": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			replace(t, r[0].File, bytes.Replace(read(t, r[0].File), []byte("openai"), []byte("stripe"), 1))
		}, nil},
		"records twice": {func(t *testing.T, o audit.Options, _ []audit.Rotation) {
			replaceNew(t, filepath.Join(filepath.Dir(o.Path), "audit-000000000003-000000000004.log"), []byte("{}\n"))
		}, nil},
		"one from elsewhere": {func(t *testing.T, _ audit.Options, r []audit.Rotation) {
			_, other := rotatedLog(t)
			replace(t, r[1].File, read(t, other[1].File))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o, rotations := rotatedLog(t)
			tt.change(t, o, rotations)
			r, err := audit.VerifyFile(t.Context(), o.Path, "", testKeys().Public())
			if err != nil || r.OK || r.FirstBad == nil {
				t.Fatalf("got %+v, %v", r, err)
			}
			if tt.missing != nil && (r.Missing == nil || *r.Missing != *tt.missing) {
				t.Errorf("missing: got %v, want %v: %s", r.Missing, tt.missing, r.FirstBad)
			}
		})
	}
}

func replaceNew(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestADamagedLogOfSeveralFilesIsNotContinued: what Open must not take for the crash of a rotation.
func TestADamagedLogOfSeveralFilesIsNotContinued(t *testing.T) {
	for name, damage := range map[string]func(o audit.Options, r []audit.Rotation){
		"emptied": func(o audit.Options, _ []audit.Rotation) { replace(t, o.Path, nil) },
		"removed": func(o audit.Options, _ []audit.Rotation) { replace(t, o.Path, []byte("-")) },
		"checkpoints removed": func(o audit.Options, _ []audit.Rotation) {
			replace(t, o.Path+".checkpoints", []byte("-"))
		},
		"log and checkpoints removed": func(o audit.Options, _ []audit.Rotation) {
			replace(t, o.Path, []byte("-"))
			replace(t, o.Path+".checkpoints", []byte("-"))
		},
		"checkpoints cut": func(o audit.Options, _ []audit.Rotation) {
			b := read(t, o.Path+".checkpoints")
			replace(t, o.Path+".checkpoints", b[:endOfLine(b, 2)])
		},
		"the file before in its place": func(o audit.Options, r []audit.Rotation) {
			replace(t, o.Path, read(t, r[1].File))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, rotations := rotatedLog(t)
			damage(o, rotations)
			_, err := audit.Open(t.Context(), o)
			if _, ok := errors.AsType[*audit.DamageError](err); !ok {
				t.Fatalf("got %v, want a DamageError", err)
			}
			o.AcceptDamage = true
			l := open(t, o)
			authorise(t, l, "after")
			rotate(t, l)
			if r := holdsOver(t, o); r.Anchored.From != 1 || len(r.Files) != 2 {
				t.Errorf("the new log: %+v", r)
			}
		})
	}
}

func TestARotationThatFailsGoesOnInTheOldFile(t *testing.T) {
	for name, tt := range map[string]struct{ make, clear func(dir string) error }{
		"the next file cannot be made": {
			func(dir string) error { return os.MkdirAll(filepath.Join(dir, "audit.log.next", "full"), 0o700) },
			func(dir string) error { return os.RemoveAll(filepath.Join(dir, "audit.log.next")) },
		},
		"the file's name is taken": {
			func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "audit-000000000001-000000000003.log"),
					[]byte("precious"), 0o600)
			},
			func(dir string) error { return os.Remove(filepath.Join(dir, "audit-000000000001-000000000003.log")) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			dir := filepath.Dir(o.Path)
			var told error
			o.OnRotate = func(_ audit.Rotation, err error) { told = err }
			l := open(t, o)
			authorise(t, l, "before")
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Rotate(t.Context()); err == nil || told == nil || l.Stats().Rotation == nil {
				t.Errorf("got %v, told %v, Stats %v", err, told, l.Stats().Rotation)
			}
			if err := l.Health(); err != nil {
				t.Errorf("the log itself is healthy: %v", err)
			}
			authorise(t, l, "after")
			if got, want := kinds(t, o.Path), "opened authorised checkpoint authorised"; got != want {
				t.Errorf("records: got %q, want %q", got, want)
			}
			if err := tt.clear(dir); err != nil {
				t.Fatal(err)
			}
			rotate(t, l)
			if l.Stats().Rotation != nil {
				t.Error("the error stays")
			}
			holdsOver(t, o)
			if got := len(files(t, o)); got != 2 {
				t.Errorf("files: %q", files(t, o))
			}
		})
	}
}

// smallDisk is a file system with room for so many pages, and fill leaves so many of them.
func smallDisk(t *testing.T, pages int) (dir string, fill func(left int)) {
	t.Helper()
	dir = t.TempDir()
	page := os.Getpagesize()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", pages*page)); err != nil {
		testkit.RequireTool(t, "a small file system", false, err.Error()+" (mounting wants root)")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast, err := os.OpenFile(filepath.Join(dir, "ballast"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ballast.Close() })
	return dir, func(left int) {
		var fs syscall.Statfs_t
		if err := syscall.Fstatfs(int(ballast.Fd()), &fs); err != nil {
			t.Fatal(err)
		}
		info, err := ballast.Stat()
		if err != nil {
			t.Fatal(err)
		}
		size := info.Size() + (int64(fs.Bavail)-int64(left))*int64(page)
		if err := ballast.Truncate(min(size, info.Size())); err != nil {
			t.Fatal(err)
		}
		if _, err := ballast.WriteAt(make([]byte, max(0, size-info.Size())), info.Size()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestARotationOnAFullDiskLosesNothing: with room for nothing, for a page, for two … each step of a rotation is the one
// that finds none. The log goes on in the file it had, or in the next one; with room again it rotates, and another
// process goes on with it.
func TestARotationOnAFullDiskLosesNothing(t *testing.T) {
	const pages = 64
	failed := 0
	for left := range 8 {
		dir, fill := smallDisk(t, pages)
		o := audit.Options{Path: filepath.Join(dir, "audit.log"), Keys: testKeys()}
		l := open(t, o)
		acknowledged := map[string]bool{}
		try := func(id string) error {
			err := l.Authorise(context.Background(), sample(id))
			if err == nil {
				acknowledged[id] = true
			}
			return err
		}
		for i := range 40 { // the file's last page is nearly full at another record each time
			if err := try(fmt.Sprintf("%d-%d", left, i)); err != nil {
				t.Fatal(err)
			}
		}
		fill(left)
		_, err := l.Rotate(t.Context())
		if err != nil {
			failed++
		}
		if got := l.Stats().Rotation; (got == nil) != (err == nil) {
			t.Errorf("with %d pages: Rotate says %v, and Stats %v", left, err, got)
		}
		for i := range 40 {
			_ = try(fmt.Sprintf("full-%d", i))
		}
		_, again := l.Rotate(t.Context())
		fill(pages / 2)
		if err := try("room"); err != nil {
			t.Errorf("with %d pages, and room again: %v", left, err)
		}
		rotate(t, l)
		if err := try("after"); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("with %d pages (rotations said %v, %v): %v", left, err, again, err)
		}
		open(t, o)
		holdsOver(t, o)
		mustHave(t, all(t, o), acknowledged)
		if _, err := os.Stat(filepath.Join(dir, "audit.log.next")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("with %d pages: a file is left that was prepared: %v", left, err)
		}
	}
	if failed == 0 || failed == 8 {
		t.Errorf("%d of 8 rotations failed: the disk was never full, or always", failed)
	}
}

// TestARotationThatFillsTheDiskIsResumed: the process ends while the disk is full, and the next one begins with it
// full, and with room.
func TestARotationThatFillsTheDiskIsResumed(t *testing.T) {
	const pages = 64
	for left := range 8 {
		dir, fill := smallDisk(t, pages)
		o := audit.Options{Path: filepath.Join(dir, "audit.log"), Keys: testKeys()}
		l := open(t, o)
		authorise(t, l, "a", "b")
		fill(left)
		_, _ = l.Rotate(t.Context())
		_ = l.Close() // it cannot be written, most likely
		if full, err := audit.Open(t.Context(), o); err == nil {
			_ = full.Close()
		} else if errors.As(err, new(*audit.DamageError)) {
			t.Errorf("with %d pages: a full disk is taken for damage: %v", left, err)
		}
		fill(pages / 2)
		l = open(t, o)
		authorise(t, l, "c")
		rotate(t, l)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		holdsOver(t, o)
		mustHave(t, all(t, o), map[string]bool{"a": true, "b": true, "c": true})
	}
}

func TestAMovedFileIsEndedWhereItIs(t *testing.T) {
	for name, tt := range map[string]struct {
		to   func(dir string) string
		make string // what logrotate puts in its place: "-" nothing
		left bool   // under the name it was given
	}{
		"renamed":               {func(dir string) string { return filepath.Join(dir, "audit.log.1") }, "-", false},
		"renamed, and made new": {func(dir string) string { return filepath.Join(dir, "audit.log.1") }, "", false},
		"to another folder": {func(dir string) string {
			return filepath.Join(dir, "old", "audit.log.1")
		}, "-", true},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			dir := filepath.Dir(o.Path)
			l := open(t, o)
			authorise(t, l, "before")
			if _, moved, err := l.Resettle(t.Context()); moved || err != nil {
				t.Fatalf("in its place: %v %v", moved, err)
			}
			to := tt.to(dir)
			if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(o.Path, to)); err != nil {
				t.Fatal(err)
			}
			if tt.make != "-" {
				replaceNew(t, o.Path, []byte(tt.make))
			}
			authorise(t, l, "moved") // on the same open file, as long as nobody has looked
			r, moved, err := l.Resettle(t.Context())
			if !moved || err != nil {
				t.Fatalf("got %v %v", moved, err)
			}
			authorise(t, l, "after")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if got, want := kinds(t, o.Path), "continued authorised closed"; got != want {
				t.Errorf("the new file: got %q, want %q", got, want)
			}
			if tt.left {
				if report, err := audit.VerifyFile(t.Context(), o.Path, "",
					testKeys().Public()); err != nil || report.OK {
					t.Errorf("without the file: %+v %v", report, err)
				}
				if err := os.Rename(to, r.File); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(filepath.Dir(to)); err != nil {
					t.Fatal(err)
				}
			}
			holdsOver(t, o)
			if got := files(t, o); len(got) != 2 {
				t.Errorf("files: %q", got)
			}
		})
	}
}

func TestALogThatWasReplacedByAnotherIsNotContinued(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	if err := os.Rename(o.Path, o.Path+".1"); err != nil {
		t.Fatal(err)
	}
	replaceNew(t, o.Path, []byte("{}\n"))
	if _, _, err := l.Resettle(t.Context()); err == nil {
		t.Error("a foreign file was taken for the log's place")
	}
	if got := string(read(t, o.Path)); got != "{}\n" {
		t.Errorf("the foreign file now holds %q", got)
	}
}

func TestARemovedLogIsNotContinued(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	if err := os.Remove(o.Path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Resettle(t.Context()); err == nil {
		t.Error("a removed file was ended")
	}
	if err := l.Authorise(t.Context(), sample("r")); err == nil {
		t.Error("a record was acknowledged that no file holds")
	}
}

func TestRotationBySizeAndAge(t *testing.T) {
	o := testOptions(t)
	o.RotateSize, o.RotateEvery = 4<<10, time.Hour
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		for _, step := range []struct {
			name    string
			records int
			wait    time.Duration
			want    int
		}{
			{"small and new", 3, 2 * time.Second, 1},
			{"large", 10, 2 * time.Second, 2},
			{"nothing in it", 0, 3 * time.Hour, 2},
			{"old", 1, 2 * time.Second, 3},
			{"new again", 1, 30 * time.Minute, 3},
		} {
			for range step.records {
				authorise(t, l, "r")
			}
			time.Sleep(step.wait)
			synctest.Wait()
			if got := len(files(t, o)); got != step.want {
				t.Errorf("%s: %d files, want %d", step.name, got, step.want)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		l = open(t, o) // which knows how old the file is
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if got := len(files(t, o)); got != 4 {
			t.Errorf("after a restart: %d files, want 4", got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	holdsOver(t, o)
}

// TestRotationAfterAClockThatWasAhead: a file that was begun in the year 2036, by a clock that was set back since, is
// ended like any other.
func TestRotationAfterAClockThatWasAhead(t *testing.T) {
	o := testOptions(t)
	o.RotateEvery = time.Hour
	synctest.Test(t, func(t *testing.T) {
		var ahead time.Duration
		o.Now = func() time.Time { return time.Now().Add(ahead) }
		ahead = 10 * 365 * 24 * time.Hour
		l := open(t, o)
		authorise(t, l, "ahead")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		ahead = 0
		l = open(t, o)
		authorise(t, l, "right")
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if got := len(files(t, o)); got != 2 {
			t.Errorf("%d files, want 2", got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	holdsOver(t, o)
}

// TestKillAtEveryStep ends the process with SIGKILL behind each step of a rotation and of a retention.
func TestKillAtEveryStep(t *testing.T) {
	for _, step := range audit.Steps() {
		t.Run(step, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			cmd := child(t, "rotate", path)
			cmd.Env = append(cmd.Env, "AUDIT_TEST_STEP="+step)
			out, err := cmd.Output()
			if err == nil || cmd.ProcessState.ExitCode() != -1 {
				t.Fatalf("it ended by itself: %v", err)
			}
			acknowledged := map[string]bool{}
			for id := range strings.FieldsSeq(string(out)) {
				acknowledged[id] = true
			}
			o := childOptions(path)
			resumed(t, o, acknowledged)
		})
	}
}

// resumed verifies what a crash left, goes on with it, and verifies that.
func resumed(t *testing.T, o audit.Options, acknowledged map[string]bool) {
	t.Helper()
	holdsOver(t, o)
	for range 2 {
		l, err := audit.Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		authorise(t, l, "resumed")
		rotate(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		r := holdsOver(t, o)
		if r.Removed == nil {
			mustHave(t, all(t, o), acknowledged)
		}
		for _, name := range files(t, o) {
			if strings.HasSuffix(name, ".next") {
				t.Errorf("%s is left", name)
			}
		}
	}
}

func childRotates(path, at string) {
	o := childOptions(path)
	o.KeepSize = 5000
	rotations := 0
	o.AtStep(func(step string) {
		if step == at && (rotations > 0 || step == "recorded" || step == "unlinked") {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	l, err := audit.Open(context.Background(), o)
	if err != nil {
		panic(err)
	}
	for i := range 1000 {
		id := fmt.Sprint(i)
		if err := l.Authorise(context.Background(), sample(id)); err != nil {
			panic(err)
		}
		os.Stdout.WriteString(id + "\n")
		if i%5 == 4 {
			if _, err := l.Rotate(context.Background()); err != nil {
				panic(err)
			}
			rotations++
		}
	}
}

// snapshot copies a folder as it is: what the kernel has of it is what is left when the process is killed here.
func snapshot(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := errors.Join(err, os.WriteFile(filepath.Join(to, e.Name()), b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestRandomRotationsAndCrashes: whatever is done to a log by its own means, at every step of it, what is there
// verifies, can be continued, and has what was acknowledged.
func TestRandomRotationsAndCrashes(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			o := testOptions(t)
			o.CheckpointEvery = 1 + random.IntN(10)
			if random.IntN(2) == 0 {
				o.KeepSize = int64(2000 + random.IntN(6000))
			}
			var mu sync.Mutex
			acknowledged := map[string]bool{}
			var crashes []func()
			var busy sync.Mutex // a snapshot is of one moment: retention works beside the others
			o.AtStep(func(step string) {
				if step == "recorded" || step == "unlinked" {
					if !busy.TryLock() {
						return
					}
					defer busy.Unlock()
				}
				mu.Lock()
				defer mu.Unlock()
				if len(crashes) >= 8 {
					return
				}
				dir, known := snapshot(t, filepath.Dir(o.Path)), maps.Clone(acknowledged)
				crashes = append(crashes, func() {
					left := o
					left.Path = filepath.Join(dir, filepath.Base(o.Path))
					left.AtStep(func(string) {})
					resumed(t, left, known)
				})
			})
			l := open(t, o)
			for i := range 60 {
				busy.Lock()
				switch random.IntN(12) {
				case 0, 1:
					rotate(t, l)
				case 2:
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					holdsOver(t, o)
					l = open(t, o)
				default:
					id := fmt.Sprint(i)
					authorise(t, l, id)
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
				}
				busy.Unlock()
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			r := holdsOver(t, o)
			if r.Removed == nil {
				mustHave(t, all(t, o), acknowledged)
			}
			for _, crash := range crashes {
				crash()
			}
		})
	}
}

func TestTailAndExportReadOverFiles(t *testing.T) {
	o, _ := rotatedLog(t)
	lines := slices.Collect(bytes.Lines(all(t, o)))
	if len(lines) != 12 {
		t.Fatalf("%d lines", len(lines))
	}
	for n := range 14 {
		var got []string
		if err := audit.Tail(t.Context(), o.Path, audit.View{Lines: n}, collect(&got)); err != nil {
			t.Fatal(err)
		}
		if want := string(bytes.Join(lines[12-min(n, 12):], nil)); strings.Join(got, "") != want {
			t.Errorf("the last %d: got %d", n, len(got))
		}
	}
	var got []string
	if err := audit.Tail(t.Context(), o.Path, audit.View{Lines: 5, Filter: audit.Filter{Quiet: true}},
		collect(&got)); err != nil || len(got) != 5 || !strings.Contains(got[0], `"0-b"`) {
		t.Errorf("the last 5 of callers: %q %v", got, err)
	}
}

func TestTailFollowsThroughRotations(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		l := open(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error)
		go func() {
			ended <- audit.Tail(ctx, o.Path, audit.View{Follow: true, Filter: audit.Filter{Quiet: true}}, collect(&got))
		}()
		synctest.Wait()
		var want []string
		for round := range 4 { // between two looks: none, one, two and three rotations
			for i := range round + 1 {
				id := fmt.Sprintf("%d-%d", round, i)
				authorise(t, l, id)
				want = append(want, id)
				if i < round {
					rotate(t, l)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			var ids []string
			for _, line := range got {
				rec, err := audit.Parse([]byte(line))
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, rec.Event.ID)
			}
			if !slices.Equal(ids, want) {
				t.Errorf("round %d: got %q, want %q", round, ids, want)
			}
		}
		cancel()
		if err := errors.Join(<-ended, l.Close()); err != nil {
			t.Error(err)
		}
	})
}
