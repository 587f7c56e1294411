package wire_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/boundary/wire"
)

// TestErrorLog: every complaint of net/http is counted, one a minute is a warning, and none quotes what may be secret.
func TestErrorLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		counts := map[string]int{}
		l := wire.ErrorLog(slog.New(slog.NewTextHandler(&out, nil)), "gateway", func(listener, kind string) {
			counts[listener+" "+kind]++
		})
		warned := func(want int, parts ...string) {
			t.Helper()
			if got := strings.Count(out.String(), "since_the_last_warning="); got != want {
				t.Errorf("got %d warnings, want %d:\n%s", got, want, out.String())
			}
			for _, part := range parts {
				if !strings.Contains(out.String(), part) {
					t.Errorf("want %q in:\n%s", part, out.String())
				}
			}
		}
		panicked := "http: panic serving 127.0.0.1:4: the key is hunter2\ngoroutine 9 " +
			"[running]:\nnet/http.(*conn).serve.func1(0x68756e74)\n" +
			"\t/usr/lib/go/src/net/http/server.go:1943 +0xd0\nsallyport/internal/boundary.(*Pipeline).Handle({0x1, " +
			"0x2})\n\t/src/internal/boundary/handle.go:20 +0x1\n"
		l.Print(panicked)
		warned(1, "kind=panic", "http/server.go:1943 < boundary/handle.go:20")
		for range 999 {
			l.Print(panicked)
		}
		warned(1)
		time.Sleep(time.Minute)
		l.Print("http: Accept error: accept4: too many open files; retrying in 5ms")
		l.Print(panicked)
		warned(3, "level=ERROR", "Sallyport cannot accept connections", "too many open files",
			"since_the_last_warning=1000")
		time.Sleep(time.Minute)
		l.Print("something new about hunter2")
		warned(4, "kind=other")
		time.Sleep(time.Minute)
		l.Print("http: TLS handshake error from 127.0.0.1:4: EOF" + strings.Repeat(" and so on", 100))
		warned(5, "kind=tls")
		for range 10 {
			l.Print("http: TLS handshake error from 127.0.0.1:4: EOF")
			l.Print("refusing a request from 127.0.0.1:4: the Host header stands twice")
		}
		warned(6, "kind=refused") // one kind does not hide another
		for kind, want := range map[string]int{"panic": 1001, "accept": 1, "other": 1, "tls": 11, "refused": 10} {
			if got := counts["gateway "+kind]; got != want {
				t.Errorf("kind %s: got %d, want %d", kind, got, want)
			}
		}
		if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), "68756e74") || out.Len() > 3500 {
			t.Errorf("a panic's value or arguments, or too much, is in:\n%s", out.String())
		}
	})
}
