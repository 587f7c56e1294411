package gateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/internal/fault"
)

// spellings are ways in which a caller may write its token where it does not belong.
func spellings(v string) map[string]string {
	percent := func(s string) string {
		text := ""
		for _, c := range []byte(s) {
			text += fmt.Sprintf("%%%02x", c)
		}
		return text
	}
	return map[string]string{
		"raw": v, "quoted": "<" + v + ">", "percent": percent(v), "one percent": "%73" + v[1:], "percent twice": url.QueryEscape(percent(v)), "JSON": `\u0073\u0070` + v[2:], "HTML": "&#115;&#x70;" + v[2:],
		"base64 twice": base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(v)))),
		"base64":       base64.StdEncoding.EncodeToString([]byte(v)),
		"Basic user":   basic(v, ""), "Basic password": basic("api", v), "base64, cut": base64.RawURLEncoding.EncodeToString([]byte("xy" + v)),
		"hex": hex.EncodeToString([]byte(v)), "hex, upper": strings.ToUpper(hex.EncodeToString([]byte(v))),
	}
}

// capturing is an API that keeps all that it receives, whole or not.
func capturing(t *testing.T) (address string, got func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all output
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(&all, c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String(), func() string { _ = l.Close(); open.Wait(); return all.String() }
}

// TestTokenStaysInHead puts the token, in any spelling, into each part of a head that travels on.
func TestTokenStaysInHead(t *testing.T) {
	v := tokens.value["good"]
	for name, spelled := range spellings(v) {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url, "cookies: pass"), options{})
		for _, c := range []struct {
			target string
			lines  []string
		}{
			{"/s/api/x/" + url.PathEscape(spelled), nil},
			{"/s/api/x?a=" + url.QueryEscape(spelled), nil},
			{"/s/api/x", []string{"X-Copy: " + spelled}},
			{"/s/api/x", []string{"Cookie: a=" + spelled}},
			{"/s/api/x", []string{"Referer: https://n8n.example/?t=" + spelled}},
		} {
			a := g.do("GET", c.target, c.lines...)
			a.wantFault(t, fault.RequestMalformed)
			if hint := a.problem(t).Hint; !strings.HasPrefix(c.target, "/s/api/x/") &&
				!strings.Contains(hint, "X-Sallyport-Token") {
				t.Errorf("%s: got hint %q", name, hint)
			}
		}
		u.untouched(t)
		g.stop()
	}
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	g.do(v, "/s/api/x").wantFault(t, fault.RequestMalformed)
	g.do("GET", "/s/api/x", v+": 1").wantFault(t, fault.RequestMalformed)
	u.untouched(t)
}

// TestTokenStaysInBody sends it in bodies of every kind: one that is read whole is refused before anything is dialled,
// one that streams is broken off before the API has all of it.
func TestTokenStaysInBody(t *testing.T) {
	v := tokens.value["good"]
	fill := strings.Repeat("filler ", 8_000)
	for name, spelled := range spellings(v) {
		for _, credential := range []string{
			"credential: {kind: body, pointer: /key, as: json, secret: ref+builtin://canary}", hmacLine,
		} {
			u := newUpstream(t, nil)
			o := options{}
			if credential == hmacLine {
				o = signing(hmacSigner(t))
			}
			g := newGate(t, api(u.url, credential), o)
			body := `{"a":"` + spelled + `"}`
			a := g.do("POST", "/s/api/x", fmt.Sprintf("Content-Length: %d", len(body)), "\r\n"+body)
			a.wantFault(t, fault.RequestMalformed)
			u.untouched(t)
		}
		for framing, raw := range map[string]string{
			"length":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(fill+spelled+fill), fill+spelled+fill),
			"at end":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(fill+spelled), fill+spelled),
			"chunked": "Transfer-Encoding: chunked\r\n\r\n" + chunks(fill+spelled, 1000),
			"small":   fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(spelled), spelled),
			"bytes":   "Transfer-Encoding: chunked\r\n\r\n" + chunks("f "+spelled+" l", 1),
		} {
			address, got := capturing(t)
			g := newGate(t, api(address), options{})
			answers, _ := g.send("POST /s/api/x HTTP/1.1\r\nHost: gate\r\nConnection: close\r\nX-Sallyport-Token: " +
				v + "\r\n" + raw)
			if len(answers) != 1 {
				t.Fatalf("%s, %s: got %d answers", name, framing, len(answers))
			}
			answers[0].wantFault(t, fault.RequestMalformed)
			g.stop()
			// Of the last bytes of what the token is written in, none may be there.
			if sent := strings.ReplaceAll(got(), "\r\n1\r\n", ""); strings.Contains(sent, spelled[len(spelled)/2:]) ||
				strings.Contains(sent, v[16:]) {
				t.Errorf("%s, %s: the API got the token", name, framing)
			}
		}
	}
}

func chunks(body string, n int) string {
	_, framed, _ := strings.Cut(byByte(body, n), "\r\n\r\n")
	return framed
}

// TestTokenInItsField: a caller may have the token where the service's credential goes, which takes its place.
func TestTokenInItsField(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, "credential: {kind: body, pointer: /key, as: json, secret: ref+builtin://canary}"),
		options{})
	body := `{"key":"` + tokens.value["good"] + `","a":1}`
	g.do("POST", "/s/api/x", fmt.Sprintf("Content-Length: %d", len(body)), "\r\n"+body).wantStatus(t, 200)
	if got, want := string(u.only(t).body), `{"key":"`+canary+`","a":1}`; got != want {
		t.Errorf("the API got %q, want %q", got, want)
	}
}

// TestBodyPassesWatched: a body that looks like the beginning of the token, over and over, arrives as it was sent.
func TestBodyPassesWatched(t *testing.T) {
	v := tokens.value["good"]
	body := strings.Repeat(v[:40]+" ", 2000) + v[:63]
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	g.do("POST", "/s/api/x", fmt.Sprintf("Content-Length: %d", len(body)), "\r\n"+body).wantStatus(t, 200)
	g.do("POST", "/s/api/x", "Transfer-Encoding: chunked", "\r\n"+chunks(body, 77)).wantStatus(t, 200)
	for _, r := range u.got() {
		if string(r.body) != body {
			t.Errorf("the API got %d bytes that differ from the %d sent", len(r.body), len(body))
		}
	}
}

// TestTokenStaysInMessages sends it through a WebSocket: in one message, and over frames.
func TestTokenStaysInMessages(t *testing.T) {
	v := tokens.value["good"]
	for name, spelled := range spellings(v) {
		var mu sync.Mutex
		var got bytes.Buffer
		ended := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer func() { _ = c.CloseNow() }()
			for {
				_, reader, err := c.Reader(context.Background())
				if err != nil {
					return
				}
				data, err := io.ReadAll(reader)
				mu.Lock()
				_, _ = got.Write(data)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}))
		g := newGate(t, api(s.URL), options{})
		header := http.Header{"X-Sallyport-Token": {v}}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		c, _, err := websocket.Dial(ctx, "ws://"+g.addr+"/s/api/socket", &websocket.DialOptions{HTTPHeader: header})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Write(ctx, websocket.MessageText, []byte("first"))
		w, err := c.Writer(ctx, websocket.MessageText)
		if err == nil {
			for _, part := range []string{"a ", spelled[:5], spelled[5:30], spelled[30:], " b"} {
				_, _ = io.WriteString(w, part)
			}
			_ = w.Close()
		}
		if _, _, err := c.Read(ctx); err == nil {
			t.Errorf("%s: the connection goes on", name)
		}
		_ = c.CloseNow()
		<-ended
		mu.Lock()
		sent := got.String()
		mu.Unlock()
		if strings.Contains(sent, spelled[30:]) {
			t.Errorf("%s: the API got %q", name, sent)
		}
		if o := g.finished(); o.Code != fault.RequestMalformed {
			t.Errorf("%s: got outcome %+v", name, o)
		}
		s.Close()
		g.stop()
	}
}
