package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"sallyport/internal/boundary/spool"
	"sallyport/internal/fault"
)

// text is n bytes that differ from place to place.
func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}

func open(t *testing.T, r io.Reader, o spool.Options) *spool.Body {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	b := spool.New(io.NopCloser(r), o)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func rewind(t *testing.T, b *spool.Body) io.ReadCloser {
	t.Helper()
	r, err := b.Rewind()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func all(t *testing.T, r io.Reader) string {
	t.Helper()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// TestSizes reads bodies of every size around the limits, streamed, again, and whole.
func TestSizes(t *testing.T) {
	o := spool.Options{Memory: 100, Total: 1000}
	for _, n := range []int{0, 1, 99, 100, 101, 999, 1000, 1001, 5000, 100000} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole reads": func(r io.Reader) io.Reader {
				return r
			}, "byte by byte": iotest.OneByteReader, "end with data": iotest.DataErrReader, "half": iotest.HalfReader,
		} {
			t.Run(fmt.Sprintf("%d, %s", n, name), func(t *testing.T) {
				want := text(n)
				b := open(t, wrap(strings.NewReader(want)), o)
				if got := all(t, rewind(t, b)); got != want {
					t.Errorf("first sending: got %d bytes", len(got))
				}
				checkAgain(t, b, want, n <= 1000)

				declared := o
				declared.Length = int64(n)
				if n > int(o.Total) { // it would not be read at all
					declared.Length = -1
				}
				b = open(t, wrap(strings.NewReader(want)), declared)
				checkWhole(t, b, want, n <= 1000)
				if got := all(t, rewind(t, b)); got != want { // also where it was too large for Whole
					t.Errorf("sending after Whole: got %d bytes", len(got))
				}
			})
		}
	}
}

func checkAgain(t *testing.T, b *spool.Body, want string, fits bool) {
	t.Helper()
	again, err := b.Rewind()
	switch {
	case !fits:
		if !errors.Is(err, spool.ErrBodyTooLarge) {
			t.Errorf("again: got %v", err)
		}
	case err != nil:
		t.Errorf("again: %v", err)
	default:
		if got := all(t, again); got != want {
			t.Errorf("again: got %d bytes, want %d", len(got), len(want))
		}
	}
	checkWhole(t, b, want, fits)
}

func checkWhole(t *testing.T, b *spool.Body, want string, fits bool) {
	t.Helper()
	r, size, err := b.Whole(t.Context())
	if !fits {
		f, ok := errors.AsType[*fault.Fault](err)
		if !ok || f.Code != fault.BodyTooLarge || !errors.Is(err, spool.ErrBodyTooLarge) {
			t.Errorf("whole: got %v", err)
		}
		return
	}
	if err != nil || size != int64(len(want)) {
		t.Fatalf("whole: got size %d, %v", size, err)
	}
	for range 2 {
		if got := all(t, r); got != want {
			t.Errorf("whole: got %d bytes, want %d", len(got), len(want))
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStreams: what the caller has sent goes on before the rest is there.
func TestStreams(t *testing.T) {
	pr, pw := io.Pipe()
	b := open(t, pr, spool.Options{Memory: 4})
	r := rewind(t, b)
	go func() { _, _ = pw.Write([]byte("first")) }()
	got := make([]byte, 5)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "first" {
		t.Fatalf("got %q, %v", got, err)
	}
	second := rewind(t, b)
	go func() { _, _ = pw.Write([]byte(" second")); _ = pw.Close() }()
	if got := all(t, second); got != "first second" {
		t.Errorf("again in the middle: got %q", got)
	}
	if _, err := r.Read(got); !errors.Is(err, spool.ErrSuperseded) {
		t.Errorf("the first reader: got %v", err)
	}
}

// TestOldReaderInTheCaller: the transport of an earlier sending is inside a Read of the caller when the later one
// begins. What that Read brings belongs to the later one, whatever the limits are.
func TestOldReaderInTheCaller(t *testing.T) {
	for _, o := range []spool.Options{{}, {Memory: 2, Total: 100}, {Memory: 2, Total: 3}} {
		pr, pw := io.Pipe()
		entered := make(chan struct{}, 8)
		b := open(t, readerFunc(func(p []byte) (int, error) { entered <- struct{}{}; return pr.Read(p) }), o)
		old := rewind(t, b)
		result := make(chan error, 1)
		go func() {
			_, err := old.Read(make([]byte, 100))
			result <- err
		}()
		<-entered
		later := rewind(t, b)
		_ = old.Close()
		go func() { _, _ = pw.Write([]byte("all of it")); _ = pw.Close() }()
		if got := all(t, later); got != "all of it" {
			t.Errorf("%+v: got %q", o, got)
		}
		if err := <-result; err == nil {
			t.Errorf("%+v: the closed reader got bytes", o)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestCallerEndsShort(t *testing.T) {
	broken := errors.New("connection reset")
	known := fault.New(fault.BodyTooLarge, "larger than the service allows")
	for name, c := range map[string]struct {
		reader io.Reader
		length int64
		want   error
		code   fault.Code
	}{
		"an error":       {io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), 0, broken, fault.RequestMalformed},
		"unexpected EOF": {io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)), 0, io.ErrUnexpectedEOF, fault.RequestMalformed},
		"less than said": {strings.NewReader("half"), 8, io.ErrUnexpectedEOF, fault.RequestMalformed},
		"its own limit":  {io.MultiReader(strings.NewReader("half"), iotest.ErrReader(known)), 0, known, fault.BodyTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, c.reader, spool.Options{Length: c.length})
			_, _, err := b.Whole(t.Context())
			f, ok := errors.AsType[*fault.Fault](err)
			if !ok || f.Code != c.code || !errors.Is(err, c.want) {
				t.Errorf("whole: got %v", err)
			}
			got, err := io.ReadAll(rewind(t, b))
			if string(got) != "half" || !errors.Is(err, c.want) {
				t.Errorf("read: got %q, %v", got, err)
			}
			if _, callers := errors.AsType[*spool.CallerError](err); callers == (c.code == fault.BodyTooLarge) {
				t.Errorf("whose error: got %T", err)
			}
		})
	}
}

// TestDeclaredTooLarge: nothing is read, so nothing has to be kept.
func TestDeclaredTooLarge(t *testing.T) {
	b := open(t, readerFunc(func([]byte) (int, error) {
		t.Error("read")
		return 0, io.EOF
	}), spool.Options{Total: 2 << 20, Length: 3 << 20})
	if _, _, err := b.Whole(t.Context()); !errors.Is(err, spool.ErrBodyTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := open(t, readerFunc(func(p []byte) (int, error) { cancel(); return copy(p, "x"), nil }), spool.Options{})
	if _, _, err := b.Whole(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFileHasNoName(t *testing.T) {
	dir := t.TempDir()
	b := open(t, strings.NewReader(text(1000)), spool.Options{Memory: 10, Dir: dir})
	if _, _, err := b.Whole(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if n := openFiles(t, dir); n != 1 {
		t.Errorf("%d files are open, want 1", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d files are open after Close", n)
	}
	if _, _, err := b.Whole(t.Context()); !errors.Is(err, spool.ErrBodyClosed) {
		t.Errorf("whole after Close: got %v", err)
	}
	if _, err := b.Rewind(); !errors.Is(err, spool.ErrBodyClosed) {
		t.Errorf("rewind after Close: got %v", err)
	}
}

func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(target, dir) {
			n++
			if info, err := os.Stat("/proc/self/fd/" + fd.Name()); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		}
	}
	return n
}

// TestDiskFailure: a body that needs to be whole fails with what a person can do; one that only streams does not
// notice.
func TestDiskFailure(t *testing.T) {
	dirs := map[string]string{"no directory": t.TempDir() + "/none"}
	if f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		_ = f.Close()
		dirs["full"] = "full"
	}
	want := text(100000)
	for name, dir := range dirs {
		t.Run(name, func(t *testing.T) {
			o := spool.Options{Memory: 10, Dir: dir}
			make1 := func() *spool.Body { return open(t, strings.NewReader(want), o) }
			if dir == "full" {
				o.Dir = t.TempDir()
				make1 = func() *spool.Body { b := open(t, strings.NewReader(want), o); spool.FillDisk(b); return b }
			}
			b := make1()
			_, _, err := b.Whole(t.Context())
			if err == nil || fault.HintOf(err) == "" || !strings.Contains(err.Error(), o.Dir) {
				t.Errorf("whole: got %v, hint %q", err, fault.HintOf(err))
			}
			if got := all(t, rewind(t, b)); got != want {
				t.Errorf("after Whole failed: got %d bytes", len(got))
			}
			b = make1()
			if got := all(t, rewind(t, b)); got != want {
				t.Errorf("streaming: got %d bytes", len(got))
			}
			if _, err := b.Rewind(); err == nil || fault.HintOf(err) == "" {
				t.Errorf("rewind: got %v", err)
			}
		})
	}
}

// TestThroughATransport sends a body to a server that answers before it has read it, and sends it again while the
// transport may still be reading for the first.
func TestThroughATransport(t *testing.T) {
	var calls int
	var mu sync.Mutex
	got := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		calls++
		early := calls%2 == 1
		mu.Unlock()
		if early {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	defer server.Close()
	client := server.Client()
	for range 20 {
		want := text(1000 + rand.IntN(300000))
		b := open(t, iotest.HalfReader(strings.NewReader(want)), spool.Options{Memory: 5000})
		for range 2 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, rewind(t, b))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		if body := <-got; body != want {
			t.Fatalf("got %d bytes, want %d", len(body), len(want))
		}
	}
}

func BenchmarkBody(b *testing.B) {
	for _, size := range []int{1 << 10, 256 << 10, 4 << 20} {
		want := bytes.Repeat([]byte("x"), size)
		dir := b.TempDir()
		b.Run(fmt.Sprintf("stream/%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				body := spool.New(io.NopCloser(bytes.NewReader(want)), spool.Options{Dir: dir, Length: int64(size)})
				r, _ := body.Rewind()
				_, _ = io.Copy(io.Discard, struct{ io.Reader }{r})
				_ = body.Close()
			}
		})
		b.Run(fmt.Sprintf("whole/%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				body := spool.New(io.NopCloser(bytes.NewReader(want)), spool.Options{Dir: dir, Length: int64(size)})
				_, _, _ = body.Whole(b.Context())
				_ = body.Close()
			}
		})
	}
}

// TestBudget: however many bodies there are at one time, what is kept of them is bounded. None of them is lost on its
// way: those that find no room are read once.
func TestBudget(t *testing.T) {
	const bodies, memory, disk = 300, 1 << 20, 4 << 20
	budget, dir, want := spool.NewBudget(memory, disk), t.TempDir(), text(64<<10)
	var open []*spool.Body
	kept := 0
	for range bodies {
		b := spool.New(io.NopCloser(strings.NewReader(want)),
			spool.Options{Memory: 16 << 10, Dir: dir, Length: int64(len(want)), Budget: budget})
		open = append(open, b)
		if got := all(t, rewind(t, b)); got != want {
			t.Fatalf("got %d bytes", len(got))
		}
		if m, d := budget.InUse(); m > memory || d > disk {
			t.Fatalf("%d bytes are kept in memory and %d on disk", m, d)
		}
		switch _, err := b.Rewind(); {
		case err == nil:
			kept++
		case !errors.Is(err, spool.ErrNoRoom):
			t.Fatal(err)
		}
	}
	if kept < 60 || kept > 80 {
		t.Errorf("%d bodies are kept", kept)
	}
	b := spool.New(io.NopCloser(strings.NewReader(want)), spool.Options{Memory: 16 << 10, Dir: dir, Budget: budget})
	_, _, err := b.Whole(t.Context())
	if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != fault.Overloaded {
		t.Errorf("whole: got %v", err)
	}
	if f := b.Room(memory); f == nil || f.Code != fault.Overloaded {
		t.Errorf("room: got %v", f)
	}
	for _, b := range append(open, b) {
		_ = b.Close()
		_ = b.Close()
	}
	if m, d := budget.InUse(); m != 0 || d != 0 {
		t.Errorf("%d bytes in memory and %d on disk were not given back", m, d)
	}
	if b.Room(1) == nil {
		t.Error("a closed body takes room")
	}
}

// TestRoom: asking again takes only what is more.
func TestRoom(t *testing.T) {
	budget := spool.NewBudget(100, 100)
	b := spool.New(io.NopCloser(strings.NewReader("")), spool.Options{Budget: budget})
	for _, n := range []int64{30, 30, 60, 10} {
		if f := b.Room(n); f != nil {
			t.Fatal(f)
		}
	}
	if m, _ := budget.InUse(); m != 60 {
		t.Errorf("%d bytes are taken", m)
	}
	_ = b.Close()
	if m, _ := budget.InUse(); m != 0 {
		t.Errorf("%d bytes are taken after Close", m)
	}
}
