package gateway_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"sallyport/internal/fault"
)

// echoes are ways in which an API may give a credential back.
func echoes() map[string]string {
	quoted, _ := json.Marshal(canary)
	return map[string]string{
		"raw": canary, "Bearer": "Bearer " + canary, "base64": base64.StdEncoding.EncodeToString([]byte("user:" + canary)), "base64url": base64.URLEncoding.EncodeToString([]byte(canary)),
		"hex": hex.EncodeToString([]byte(canary)), "url": url.QueryEscape(canary), "JSON": string(quoted), "JSON slashes": strings.ReplaceAll(canary, "/", `\/`),
		"JSON all": each(canary, `\u%04x`), "JSON all, upper": each(canary, `\u%04X`), "JavaScript": each(canary, `\x%02x`), "HTML": each(canary, "&#%d;"), "HTML, bare": each(canary, "&#x%04X"),
		"percent": each(canary, "%%%02x"), "percent twice": each(canary, "%%25%02X"), "HTML names": strings.NewReplacer("+", "&plus;", "/", "&sol;", "=", "&equals;").Replace(canary),
		"base64, cut": base64.RawStdEncoding.EncodeToString([]byte("k:" + canary)), "mixed": "&#99;%6e\\u0072" + canary[3:], "quoted-printable": each(canary, "=%02X"),
		"twice": canary + canary, "in JSON": fmt.Sprintf(`{"error":"bad key %s","n":1}`, canary),
	}
}

func each(s, format string) string {
	text := ""
	for _, c := range []byte(s) {
		text += fmt.Sprintf(format, c)
	}
	return text
}

// TestNamesOfHeaders: a name that has the credential in it, in whatever case it comes, is not passed on, in a header or
// a trailer.
func TestNamesOfHeaders(t *testing.T) {
	const secret = "sk-live-51H8xAbCdEfGhIjKl"
	for name, field := range map[string]string{
		"raw": secret, "prefixed": "X-Echo-" + secret, "lower": strings.ToLower(secret), "hex": hex.EncodeToString([]byte(secret)), "base64": base64.RawURLEncoding.EncodeToString([]byte("x" + secret)),
		"percent": each(secret, "%%%02x"),
	} {
		raw := strings.TrimSuffix(byByte("body", 2, "Trailer: "+field, field+": 1", "X-Other: 2"), "\r\n") + field +
			": 1\r\nX-Last: 3\r\n\r\n"
		u := newUpstream(t, reply(raw))
		g := newGate(t, api(u.url), options{secret: secret})
		a := g.do("GET", "/s/api/x")
		a.wantStatus(t, 200)
		if strings.Contains(strings.ToLower(a.raw), strings.ToLower(field)) || a.Header.Get("X-Other") != "2" ||
			a.Trailer.Get("X-Last") != "3" {
			t.Errorf("%s: got %s", name, a.raw)
		}
		if o := g.finished(); o.Scrubbed != 2 {
			t.Errorf("%s: %d places were scrubbed, want 2", name, o.Scrubbed)
		}
	}
}

func withLength(body string, lines ...string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n%s\r\n%s", len(body),
		joined(lines), body)
}

func joined(lines []string) string {
	text := ""
	for _, l := range lines {
		text += l + "\r\n"
	}
	return text
}

// byByte sends a body in chunks of n bytes.
func byByte(body string, n int, lines ...string) string {
	text := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n" + joined(lines) + "\r\n"
	for len(body) > 0 {
		k := min(n, len(body))
		text += fmt.Sprintf("%x\r\n%s\r\n", k, body[:k])
		body = body[k:]
	}
	return text + "0\r\n\r\n"
}

func encode(t testing.TB, coding, body string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip", "x-gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw deflate":
		w, _ = flate.NewWriter(&b, flate.BestSpeed)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	default:
		t.Fatal(coding)
	}
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestNoCredentialComesBack is invariant 1 over the whole gate: whatever form an API gives the credential back in, in
// whatever framing and coding, the caller does not get it. The harness searches what came; here the rest must have come
// whole.
func TestNoCredentialComesBack(t *testing.T) {
	large := strings.Repeat("filler ", 10_000)
	for form, echo := range echoes() {
		body := "before " + echo + " after"
		framings := map[string]string{
			"length": withLength(body), "header": withLength("before  after", "X-Echo: "+echo, "Link: <https://x/?k="+echo+">"), "bytewise": byByte(body, 1), "chunks of 7": byByte(body, 7),
			"to the end": "HTTP/1.0 200 OK\r\n\r\n" + body, "large": withLength(large + body), "large, bytewise end": byByte(large, 4096)[:0] + byByte(body, 3),
			"trailer": strings.TrimSuffix(byByte("before  after", 5, "Trailer: X-Echo"), "\r\n") + "X-Echo: " + echo + "\r\n\r\n",
		}
		for _, coding := range []string{"gzip", "x-gzip", "deflate", "raw deflate", "br", "zstd"} {
			name := strings.TrimPrefix(coding, "raw ")
			framings[coding] = withLength(encode(t, coding, body), "Content-Encoding: "+name)
			framings[coding+" bytewise"] = byByte(encode(t, coding, body), 1, "Content-Encoding: "+name)
		}
		t.Run(form, func(t *testing.T) {
			u := newUpstream(t, func(c net.Conn, r *received) { reply(framings[r.URL.Query().Get("framing")])(c, r) })
			g := newGate(t, api(u.url), options{})
			for framing := range framings {
				a := g.do("GET", "/s/api/x?framing="+url.QueryEscape(framing),
					"Accept-Encoding: gzip, deflate, br, zstd")
				a.wantStatus(t, 200)
				text := string(a.body)
				if a.err != nil || !strings.Contains(text, "before ") || !strings.HasSuffix(text, " after") {
					t.Errorf("%s: got %d bytes, %v: %.200q", framing, len(text), a.err, text)
				}
				if coding := a.Header.Get("Content-Encoding"); coding != "" {
					t.Errorf("%s: got Content-Encoding %q on a decoded body", framing, coding)
				}
				if o := g.finished(); o.Scrubbed == 0 {
					t.Errorf("%s: the outcome does not say that something was taken out", framing)
				}
				if what := leaks(a.raw); what != "" {
					t.Errorf("%s: the caller got %s", framing, what)
				}
			}
		})
	}
}

// TestCodingsThatCannotBeChecked: what the gate can't look into does not pass.
func TestCodingsThatCannotBeChecked(t *testing.T) {
	gz := encode(t, "gzip", "before "+canary)
	for name, raw := range map[string]string{
		"unknown":           withLength("????", "Content-Encoding: exi"),
		"one of two":        withLength(gz, "Content-Encoding: gzip, exi"),
		"three":             withLength(gz, "Content-Encoding: gzip", "Content-Encoding: gzip, gzip"),
		"with a parameter":  withLength(gz, "Content-Encoding: gzip;q=1"),
		"no gzip":           withLength("this is no gzip", "Content-Encoding: gzip"),
		"no gzip, chunked":  byByte("this is no gzip", 3, "Content-Encoding: gzip"),
		"no gzip, to close": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nthis is no gzip",
		"no deflate":        withLength("{\"error\":\"slow down\"}", "Content-Encoding: deflate"),
		"no gzip, short":    withLength("no", "Content-Encoding: gzip"),
		"no br":             withLength("{\"a\":\""+strings.Repeat("b", 500)+"\"}", "Content-Encoding: br"),
		"no zstd":           withLength("<html>429</html>", "Content-Encoding: zstd"),
		"garbage behind it": withLength(gz+"garbage that is longer", "Content-Encoding: gzip"),
		"half of two":       withLength(gz, "Content-Encoding: gzip, gzip"),
		"a part of it":      strings.Replace(withLength(gz, "Content-Encoding: gzip", "Content-Range: bytes 0-9/100"), "200 OK", "206 Partial", 1),
		"transfer coding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(gz), gz),
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, reply(raw))
			g := newGate(t, api(u.url), options{})
			g.do("GET", "/s/api/x", "Accept-Encoding: gzip").wantFault(t, fault.UpstreamMalformed)
		})
	}
	t.Run("cut", func(t *testing.T) {
		u := newUpstream(t, reply(withLength(gz[:len(gz)-3], "Content-Encoding: gzip")))
		newGate(t, api(u.url), options{}).do("GET", "/s/api/x").wantFault(t, fault.UpstreamTruncated)
	})
	t.Run("the API's status is told", func(t *testing.T) {
		u := newUpstream(t,
			reply(strings.Replace(withLength("slow down", "Content-Encoding: gzip"), "200 OK", "429 Too Many", 1)))
		if p := newGate(t, api(u.url), options{}).do("GET",
			"/s/api/x").problem(t); !strings.Contains(p.Message, "429") {
			t.Errorf("got %q", p.Message)
		}
	})
	t.Run("breaks late", func(t *testing.T) {
		u := newUpstream(t,
			reply(withLength(encode(t, "gzip", strings.Repeat(randomHex(), 40_000))+strings.Repeat("garbage", 20),
				"Content-Encoding: gzip")))
		g := newGate(t, api(u.url), options{})
		c := g.dial()
		_, _ = io.WriteString(c, request("GET", "/s/api/x"))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil && resp.StatusCode == 200 {
			t.Error("a broken coding passed for a whole response")
		}
		if list := g.records(); list[1].Code != string(fault.UpstreamMalformed) {
			t.Errorf("got code %q", list[1].Code)
		}
	})
}

// TestNamesOfNoCoding: what is in Content-Encoding and names no coding has no part in the body, which is searched as it
// is.
func TestNamesOfNoCoding(t *testing.T) {
	for _, name := range []string{
		"UTF-8", "utf8", "ISO-8859-1", "windows-1252", "none", "null", "binary", "8bit", "aws-chunked", "identity", "", ",", " , ,", "identity, identity", "application/json", "base64", "*", "chunked", "de-DE",
		"aws-chunked,", "none, utf-8",
	} {
		for _, status := range []string{"200 OK", "206 Partial"} {
			body := `{"ok":true,"echo":"` + canary + `"}`
			u := newUpstream(t,
				reply(strings.Replace(withLength(body, "Content-Encoding: "+name), "200 OK", status, 1)))
			a := newGate(t, api(u.url), options{}).do("GET", "/s/api/x")
			if want := strings.ReplaceAll(body, canary, strings.Repeat("*", len(canary))); a.StatusCode > 206 ||
				string(a.body) != want {
				t.Errorf("%q: got %s, want %q", name, a.raw, want)
			}
		}
	}
	gz := encode(t, "gzip", "before "+canary)
	for name, raw := range map[string]string{
		"double": withLength(encode(t, "gzip", gz), "Content-Encoding: gzip, gzip"), "two headers": withLength(encode(t, "br", gz), "Content-Encoding: gzip", "Content-Encoding: br"),
		"identity and gzip": withLength(gz, "Content-Encoding: identity", "Content-Encoding: gzip"), "empty and gzip": withLength(gz, "Content-Encoding:", "Content-Encoding: gzip"),
		"identity, gzip": withLength(gz, "Content-Encoding: identity, gzip"), "gzip, aws-chunked": withLength(gz, "Content-Encoding: gzip,aws-chunked"), "utf-8, gzip": withLength(gz, "Content-Encoding: utf-8, X-GZIP"),
		"chunked": byByte(gz, 5, "Content-Encoding: gzip,"),
	} {
		u := newUpstream(t, reply(raw))
		a := newGate(t, api(u.url), options{}).do("GET", "/s/api/x")
		if want := "before " + strings.Repeat("*", len(canary)); a.StatusCode != 200 || string(a.body) != want ||
			a.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: got %s", name, a.raw)
		}
	}
}

// TestAcceptEncoding: the API is asked for nothing that could not be looked into.
func TestAcceptEncoding(t *testing.T) {
	for accept, want := range map[string]string{
		"": "identity", "gzip": "gzip", "gzip, deflate, br, zstd": "gzip, deflate, br, zstd", "exi": "identity", "gzip;q=0.5, compress": "gzip;q=0.5", "dcb, gzip": "gzip",
	} {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url), options{})
		g.do("GET", "/s/api/x", "Accept-Encoding: "+accept).wantStatus(t, 200)
		g.do("GET", "/s/api/x", "Accept-Encoding: "+accept, "Range: bytes=0-4").wantStatus(t, 200)
		got := u.got()
		if a := got[0].Header.Get("Accept-Encoding"); a != want {
			t.Errorf("%q: got %q, want %q", accept, a, want)
		}
		if a := got[1].Header.Get("Accept-Encoding"); a != "identity" {
			t.Errorf("%q with a Range: got %q, want identity", accept, a)
		}
	}
}

func TestNoBody(t *testing.T) {
	for _, c := range []struct{ method, raw string }{
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Encoding: gzip\r\nX-Echo: " + canary + "\r\n\r\n"},
		{"GET", "HTTP/1.1 204 No Content\r\nX-Echo: " + canary + "\r\n\r\n"},
		{"GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nX-Echo: " + canary + "\r\n\r\n"},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Echo: " + canary + "\r\n\r\n"},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\nX-Echo: " + canary + "\r\n\r\n"},
	} {
		u := newUpstream(t, reply(c.raw))
		g := newGate(t, api(u.url), options{})
		a := g.do(c.method, "/s/api/x")
		if a.StatusCode >= 400 || len(a.body) != 0 || a.err != nil || a.Header.Get("X-Echo") == "" {
			t.Errorf("%s %q: got %q, %v", c.method, c.raw, a.raw, a.err)
		}
		if c.method == "HEAD" && a.Header.Get("Content-Length") != "1000" {
			t.Errorf("HEAD lost its Content-Length: %v", a.Header)
		}
	}
}

// TestEventsArriveAtOnce reads each event before the API sends the next, some of them ending in what may begin a
// secret.
func TestEventsArriveAtOnce(t *testing.T) {
	for name, send := range map[string]func(c net.Conn, event string){
		"chunked":    func(c net.Conn, event string) { _, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", len(event), event) },
		"to the end": func(c net.Conn, event string) { _, _ = io.WriteString(c, event) },
	} {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			events := []string{
				"data: one\n\n", ": " + canary + "\n\n",
				"data: ends like " + canary[:5] + "\n\n", "data: two\n\n",
			}
			u := newUpstream(t, func(c net.Conn, _ *received) {
				head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				if name == "chunked" {
					head += "Transfer-Encoding: chunked\r\n"
				}
				_, _ = io.WriteString(c, head+"\r\n")
				for _, e := range events {
					if _, ok := <-next; !ok {
						return
					}
					send(c, e)
				}
				<-next
				if name == "chunked" {
					_, _ = io.WriteString(c, "0\r\n\r\n")
				}
			})
			g := newGate(t, api(u.url), options{})
			c := g.dial()
			_, _ = io.WriteString(c, request("GET", "/s/api/x"))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil) // the head comes before any event
			if err != nil {
				t.Fatal(err)
			}
			defer close(next)
			for _, e := range events {
				next <- struct{}{}
				buf := make([]byte, len(e))
				if _, err := io.ReadFull(resp.Body, buf); err != nil {
					t.Fatalf("reading %q: %v", e, err)
				}
				if want := strings.ReplaceAll(e, canary, strings.Repeat("*", len(canary))); string(buf) != want {
					t.Errorf("got event %q, want %q", buf, want)
				}
			}
			next <- struct{}{}
			if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
				t.Errorf("got %q, %v at the end", rest, err)
			}
		})
	}
}

// TestWebSocket talks through the gate with a real client and server, in both directions, and closes from either end.
func TestWebSocket(t *testing.T) {
	for _, closer := range []string{"caller", "api", "gate"} {
		t.Run(closer, func(t *testing.T) {
			seen := make(chan http.Header, 1)
			ended := make(chan error, 1)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen <- r.Header.Clone()
				c, err := websocket.Accept(w, r,
					&websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
				if err != nil {
					ended <- err
					return
				}
				ended <- serveWebSocket(r.Context(), c)
			}))
			defer s.Close()
			g := newGate(t, api(s.URL, "limits: {concurrency: 1}"), options{})
			header := http.Header{"X-Sallyport-Token": {tokens.value["good"]}}
			c, resp, err := websocket.Dial(t.Context(), "ws://"+g.addr+"/s/api/socket",
				&websocket.DialOptions{HTTPHeader: header, CompressionMode: websocket.CompressionContextTakeover})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if h := <-seen; h.Get("Authorization") != "Bearer "+canary || h.Get("Sec-Websocket-Extensions") != "" {
				t.Errorf("the API got %v", h)
			}
			if resp.Header.Get("Proxy-Status") != "sallyport; received-status=101" {
				t.Errorf("got %v", resp.Header)
			}
			for _, text := range []string{
				"hello", "echo the key " + canary + " please", "it ends in " + canary[:1],
				strings.Repeat("long ", 20_000),
			} {
				if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
					t.Fatal(err)
				}
				c.SetReadLimit(1 << 20)
				_, got, err := c.Read(t.Context())
				if want := strings.ReplaceAll(text, canary, strings.Repeat("*", len(canary))); err != nil ||
					string(got) != want {
					t.Fatalf("got %q, %v; want %q", got, err, want)
				}
				_, _ = g.seen.Write(got)
			}
			switch closer {
			case "caller":
				_ = c.Close(websocket.StatusNormalClosure, "")
			case "api":
				_ = c.Write(t.Context(), websocket.MessageText, []byte("bye"))
				if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
					t.Errorf("got %v, want the API's close", err)
				}
			case "gate":
				g.pipeline.CloseUpgraded()
				if _, _, err := c.Read(t.Context()); err == nil {
					t.Error("the connection goes on")
				}
			}
			<-ended
			_ = c.CloseNow()
			if o := g.finished(); o.Status != 101 || o.BytesIn == 0 || o.BytesOut == 0 || o.Scrubbed != 1 {
				t.Errorf("got outcome %+v", o)
			}
			if n := g.service("api").Limits.Active(); n != 0 {
				t.Errorf("%d places are still held", n)
			}
		})
	}
}

func serveWebSocket(ctx context.Context, c *websocket.Conn) error {
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for {
		kind, data, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if string(data) == "bye" {
			return c.Close(websocket.StatusGoingAway, "")
		}
		if err := c.Write(ctx, kind, data); err != nil {
			return err
		}
	}
}

// TestSwitchUnasked: an API can't turn a caller's connection into something that nobody asked for.
func TestSwitchUnasked(t *testing.T) {
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " +
		"%s\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\nanything"
	u := newUpstream(t, reply(fmt.Sprintf(switching, "websocket")))
	g := newGate(t, api(u.url), options{})
	g.do("GET", "/s/api/x").wantFault(t, fault.UpstreamMalformed)
	other := newUpstream(t, reply(fmt.Sprintf(switching, "raw")))
	g = newGate(t, api(other.url), options{})
	answers, _ := g.send("GET /s/api/x HTTP/1.1\r\nHost: gate\r\nConnection: Upgrade, close\r\nUpgrade: " +
		"websocket\r\nX-Sallyport-Token: " + tokens.value["good"] + "\r\n\r\n")
	answers[0].wantFault(t, fault.UpstreamMalformed)
	forced := newUpstream(t, reply(fmt.Sprintf(switching, "websocket")))
	g = newGate(t, api(forced.url), options{})
	answers, _ = g.send("GET /s/api/x HTTP/1.1\r\nHost: gate\r\nConnection: close, Upgrade\r\nUpgrade: " +
		"websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX-Sallyport-Token: " +
		tokens.value["good"] + "\r\n\r\n")
	if a := answers[0]; a.StatusCode != 101 || a.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("got %s; a compressed stream could not be scrubbed", a.raw)
	}
}
