package gateway_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sallyport/internal/fault"
)

// TestStatusThatIsNone: an answer whose status is none is the API's mistake, and is never passed on.
func TestStatusThatIsNone(t *testing.T) {
	for _, status := range []string{"000", "001", "099"} {
		for _, lines := range [][]string{
			nil,
			{
				"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
				"Sec-WebSocket-Version: 13",
			},
		} {
			u := newUpstream(t, reply("HTTP/1.1 "+status+" x\r\nContent-Length: 2\r\n\r\nok"))
			a := newGate(t, api(u.url), options{}).do("GET", "/s/api/x", lines...)
			a.wantFault(t, fault.UpstreamMalformed)
			if got := a.problem(t).Message; !strings.Contains(got, "status") {
				t.Errorf("%s: got %q", status, got)
			}
		}
	}
}

// rawHTTP2 is an API on HTTP/2 that answers every request as it is told to; answer reports whether the connection goes
// on.
func rawHTTP2(t *testing.T, answer func(f *http2.Framer, stream uint32) bool) (url, caFile string) {
	t.Helper()
	s, caFile := http2Upstream(t, nil)
	s.Close()
	return serveTLS(t, s, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if h := frame.Header(); h.Type == http2.FrameHeaders && !answer(f, h.StreamID) {
				return
			}
		}
	}), caFile
}

// TestOddAnswersOverHTTP2: what HTTP/2 carries and HTTP/1.1 cannot is the API's mistake, and does not come to the
// caller.
func TestOddAnswersOverHTTP2(t *testing.T) {
	for _, fields := range []string{
		":status=0", ":status=7", ":status=099", ":status=-5", ":status=1000", ":status=2000000000",
		":status=200 content-length=5 content-length=9", ":status=200 content-length=9 content-length=5", ":status=200 content-length=5 content-length=5",
		":status=200 content-length=-5", ":status=200 content-length=+5", ":status=200 content-length=5,5", ":status=200 content-length=", ":status=200 content-length=0x5",
	} {
		url, caFile := rawHTTP2(t, func(f *http2.Framer, stream uint32) bool {
			var block bytes.Buffer
			encode := hpack.NewEncoder(&block)
			for field := range strings.SplitSeq(fields, " ") {
				name, value, _ := strings.Cut(field, "=")
				_ = encode.WriteField(hpack.HeaderField{Name: name, Value: value})
			}
			_ = f.WriteHeaders(http2.HeadersFrameParam{
				StreamID:      stream,
				BlockFragment: block.Bytes(), EndHeaders: true,
			})
			_ = f.WriteData(stream, true, []byte("hello"))
			return true
		})
		a := newGate(t, api(url, "http2: true", "ca_file: "+caFile), options{}).do("GET", "/s/api/x")
		if p := a.problem(t); p.Code != string(fault.UpstreamMalformed) {
			t.Errorf("%s: got %s", fields, a.raw)
		}
	}
}

// TestEndlessGoAway: an API that ends every connection without a look at the request is given up, and each use is on
// record.
func TestEndlessGoAway(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		var asked atomic.Int64
		url, caFile := rawHTTP2(t, func(f *http2.Framer, _ uint32) bool {
			asked.Add(1)
			_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
			return false
		})
		g := newGate(t, api(url, "http2: true", "ca_file: "+caFile), options{})
		a := g.do(method, "/s/api/second", "Content-Length: 3", "\r\nabc")
		if p := a.problem(t); p.Code != string(fault.UpstreamReset) {
			t.Errorf("%s: got %s", method, a.raw)
		}
		if n := uses(t, g); asked.Load() > 8 || n > 8 || int64(n) < asked.Load() {
			t.Errorf("%s: asked %d times, with %d uses on record, want at most 8", method, asked.Load(), n)
		}
	}
}
