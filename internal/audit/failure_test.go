package audit_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sallyport/internal/audit"
	"sallyport/internal/testkit"
)

// TestMain lets the tests run themselves as the process that is killed or limited.
func TestMain(m *testing.M) {
	switch os.Getenv("AUDIT_TEST_CHILD") {
	case "write":
		childWrites(os.Getenv("AUDIT_TEST_LOG"))
	case "rotate":
		childRotates(os.Getenv("AUDIT_TEST_LOG"), os.Getenv("AUDIT_TEST_STEP"))
	case "limited":
		childFillsUp(os.Getenv("AUDIT_TEST_LOG"))
	default:
		os.Exit(m.Run())
	}
}

func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "AUDIT_TEST_CHILD="+role, "AUDIT_TEST_LOG="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

func childOptions(path string) audit.Options {
	return audit.Options{Path: path, Keys: testKeys(), Sync: 1 << 40, CheckpointEvery: 500}
}

// fillUp writes until the log refuses, and returns the ids that were acknowledged.
func fillUp(l *audit.Log, writers int) map[string]bool {
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", w, i)
				if l.Authorise(context.Background(), sample(id)) != nil {
					return
				}
				mu.Lock()
				acknowledged[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return acknowledged
}

func mustHoldAll(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	for _, rec := range records(t, path) {
		if rec.Event.Kind == audit.KindAuthorised {
			delete(acknowledged, rec.Event.ID)
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged records are not in the log", len(acknowledged))
	}
}

func TestAFullDiskRefusesAndHealsWithRoom(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		testkit.RequireTool(t, "a small file system", false,
			err.Error()+" (mounting wants root; TestAFileSizeLimitRefuses covers most of it)")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	o := audit.Options{Path: filepath.Join(dir, "audit.log"), Keys: testKeys()}
	l := open(t, o)
	acknowledged := fillUp(l, 4)
	if len(acknowledged) == 0 {
		t.Fatal("nothing fitted on the disk")
	}
	if l.Health() == nil {
		t.Error("Health is good on a full disk")
	}
	l.Complete(sample("kept")) // has happened: must come out once there is room
	if l.Authorise(t.Context(), sample("refused")) == nil {
		t.Fatal("a full disk took a record")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := l.Authorise(t.Context(), sample("again")); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := l.Health(); err != nil {
		t.Errorf("Health with room again: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	mustHold(t, o)
	acknowledged["again"] = true
	mustHoldAll(t, o.Path, acknowledged)
	log := string(read(t, o.Path))
	if !strings.Contains(log, `"kept"`) {
		t.Error("the completed record was lost")
	}
	if strings.Contains(log, `"refused"`) {
		t.Error("a record that its caller was told is not written came out later")
	}
}

// TestAFileSizeLimitRefuses has the kernel cut writes short without any privilege.
func TestAFileSizeLimitRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	out, err := child(t, "limited", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	for id := range strings.FieldsSeq(string(out)) {
		acknowledged[id] = true
	}
	if len(acknowledged) == 0 {
		t.Fatalf("acknowledged %d records", len(acknowledged))
	}
	log := read(t, path)
	if log[len(log)-1] != '\n' {
		t.Error("half a line was left behind")
	}
	mustHold(t, childOptions(path))
	mustHoldAll(t, path, acknowledged)
}

func childFillsUp(path string) {
	const limit = 20_011 // no multiple of a record
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		panic(err)
	}
	l, err := audit.Open(context.Background(), childOptions(path))
	if err != nil {
		panic(err)
	}
	for id := range fillUp(l, 64) {
		fmt.Println(id)
	}
	if l.Health() == nil {
		panic("Health is good behind the file size limit")
	}
}

func TestAReadOnlyLogIsRefused(t *testing.T) {
	o := written(t)
	if err := os.Chmod(o.Path, 0o400); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // to whom modes mean nothing
		dir := filepath.Dir(o.Path)
		if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
			testkit.RequireTool(t, "a read-only mount", false, err.Error())
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			testkit.RequireTool(t, "a read-only mount", false, err.Error())
		}
	}
	if l, err := audit.Open(t.Context(), o); err == nil {
		l.Close()
		t.Error("a read-only log was opened for writing")
	}
}

func TestALogThatIsTakenAwayRefuses(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 10) },
		"emptied":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			l := open(t, o)
			if err := l.Authorise(t.Context(), sample("before")); err != nil {
				t.Fatal(err)
			}
			if err := take(o.Path); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := l.Authorise(t.Context(), sample("after")); err == nil {
					t.Error("a record was acknowledged that no file holds")
				}
			}
			if l.Health() == nil {
				t.Error("Health is good")
			}
			if l.Close() == nil {
				t.Error("Close saw nothing wrong")
			}
		})
	}
}

func TestForeignBytesAreNotBuiltUpon(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	appendTo(t, o.Path, "{}\n")
	if err := l.Authorise(t.Context(), sample("one")); err == nil {
		t.Error("a record behind foreign bytes was acknowledged")
	}
	if err := l.Authorise(t.Context(), sample("two")); err != nil {
		t.Errorf("once they are cut off: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, o)
}
