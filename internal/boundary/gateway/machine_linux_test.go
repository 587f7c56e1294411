package gateway_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/testkit"
)

// smallDisk is a folder with so much room, such as "64k".
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		testkit.RequireTool(t, "a small file system", false, err.Error()+" (mounting wants root)")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestTemporaryFolder: a folder that does not take a body that has to be signed is Sallyport's own failure. It was told
// as a credential that is missing.
func TestTemporaryFolder(t *testing.T) {
	body := strings.Repeat("x", 300<<10)
	for name, c := range map[string]struct {
		dir     func(t *testing.T) string
		details string
	}{
		"full": {func(t *testing.T) string { return smallDisk(t, "64k") }, "disk full"},
		"gone": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "gone") }, "temporary folder"},
		"a file": {func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, "temporary folder"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.dir(t)
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url, hmacLine, "replay: {memory: 16KiB, total: 1MiB}"), signing(hmacSigner(t)))
			t.Setenv("TMPDIR", dir)
			a := g.do("POST", "/s/api/x", "Content-Length: "+strconv.Itoa(len(body)), "\r\n"+body)
			a.wantFault(t, fault.SystemRefused)
			if p := a.problem(t); !strings.Contains(p.Message, dir) ||
				!strings.HasPrefix(p.Message, "Sallyport failed") || p.Blame != string(fault.BlameSallyport) {
				t.Errorf("says %q, blames %s", p.Message, p.Blame)
			}
			if got := a.Header.Get("Proxy-Status"); !strings.Contains(got, c.details) {
				t.Errorf("got Proxy-Status %q, want %q in it", got, c.details)
			}
			u.untouched(t)
			if logged := g.logs.String(); !strings.Contains(logged, "system_refused") {
				t.Errorf("it is not in the log: %s", logged)
			}
		})
	}
}

// TestNoDescriptorToAccept: while the process has no descriptor left, new connections wait. That is Sallyport's own
// failure: it is logged and counted, those that are open go on, and when there are descriptors again so do the others.
func TestNoDescriptorToAccept(t *testing.T) {
	u := hear(t, func(c net.Conn) { answerAll(c) })
	g := newGate(t, api(u), options{})
	g.complain = true
	good := keep(t, g)
	good.ask(t)

	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	low := before
	low.Cur = 128
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var fill []*os.File
	free := func() {
		for _, f := range fill {
			_ = f.Close()
		}
		fill = nil
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	}
	defer free()
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		fill = append(fill, f)
	}
	if len(fill) == 0 {
		t.Fatal("no descriptor was free")
	}
	_ = fill[len(fill)-1].Close() // for the caller's end
	fill = fill[:len(fill)-1]
	late := keep(t, g)
	g.complained(t, "accept", 2)
	good.ask(t)
	free()
	late.ask(t)
	if text := g.logs.String(); !strings.Contains(text, "Sallyport cannot accept connections") ||
		!strings.Contains(text, "too many open files") {
		t.Errorf("not in the log: %s", text)
	}
}
