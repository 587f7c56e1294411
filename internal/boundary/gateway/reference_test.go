package gateway_test

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/fault"
)

// TestReferences: a URL of the service in a header leads through the gate, whatever the status; every other one stays.
func TestReferences(t *testing.T) {
	const gate = "http://gate/s/api"
	for sent, want := range map[string]string{
		"UPSTREAM/base/jobs/5?x=1#f": gate + "/jobs/5?x=1#f", "UPSTREAM/base": gate, "UPSTREAM/base/": gate + "/", "/base/jobs/5": "/s/api/jobs/5", "5": "/s/api/dir/5", "?page=2": "/s/api/dir/x?page=2",
		"//HOST/base/a": gate + "/a", "UPSTREAM/base/a?api_key=" + canary + "&b=1": gate + "/a?b=1",
		"https://storage.example/x": "https://storage.example/x", "UPSTREAM/other": "UPSTREAM/other", "UPSTREAM/base/%2e%2e/x": "UPSTREAM/base/%2e%2e/x", "/other": "/other", "#f": "#f", "": "", "http://[::1": "http://[::1",
		"mailto:a@b": "mailto:a@b", "http://user@HOST/base/x": "http://user@HOST/base/x",
	} {
		for _, status := range []string{"200 OK", "201 Created", "202 Accepted", "404 Not Found", "503 Busy"} {
			u := newUpstream(t, nil)
			expand := strings.NewReplacer("UPSTREAM", u.url, "HOST", strings.TrimPrefix(u.url, "http://")).Replace
			names := []string{
				"Location", "Content-Location", "Operation-Location", "Azure-AsyncOperation",
				"X-Goog-Upload-URL",
			}
			var lines []string
			for _, name := range names {
				lines = append(lines, name+": "+expand(sent))
			}
			u.reply = reply(strings.Replace(withLength("x", lines...), "200 OK", status, 1))
			a := newGate(t,
				api(u.url+"/base", "credential: {kind: query, param: api_key, secret: ref+builtin://canary}"),
				options{}).do("POST", "/s/api/dir/x", "Content-Length: 0")
			for _, name := range names {
				if got := a.Header.Get(name); got != expand(want) {
					t.Errorf("%s of a %s: got %q for %q, want %q", name, status, got, expand(sent), expand(want))
				}
			}
		}
	}
}

// TestReferencesToOtherServices: what an API says of itself never leads a client to another service of the gate,
// however the client reads it. It stays what it is at the API.
func TestReferencesToOtherServices(t *testing.T) {
	for sent, want := range map[string]string{
		"/s/other/x": "UPSTREAM/s/other/x", "/s/api2/x?a=1#f": "UPSTREAM/s/api2/x?a=1#f", "/s/api/x": "UPSTREAM/s/api/x", "/s/": "UPSTREAM/s/",
		"../../other/x": "UPSTREAM/other/x", "../../../s/other/x": "UPSTREAM/s/other/x", "../../../../../s/other/x": "UPSTREAM/s/other/x",
		"%2e%2e/.%2E/other/x": "UPSTREAM/other/x", `\s\other\x`: "UPSTREAM/s/other/x", `..\..\other`: "UPSTREAM/other", //nolint:misspell // other
		"/\ts/ot\ther":    "UPSTREAM/s/other",
		"http:/s/other/x": "UPSTREAM/s/other/x", "HTTP:../../other": "UPSTREAM/other",
		`http:\s\other`: "UPSTREAM/s/other", "/x/../s/other": "UPSTREAM/s/other", //nolint:misspell // other
		"../../../x": "../../../x", "/other?to=/s/x": "/other?to=/s/x", "//elsewhere.example/s/x": "//elsewhere.example/s/x", `\\elsewhere.example\s`: `\\elsewhere.example\s`,
		"urn:s:other": "urn:s:other", "https://elsewhere.example/s/other": "https://elsewhere.example/s/other",
	} {
		u := newUpstream(t, nil)
		want := strings.ReplaceAll(want, "UPSTREAM", u.url)
		u.reply = reply(strings.Replace(withLength("x", "Location: "+sent, "Location: "+sent, "Content-Location: "+sent,
			"Link: <"+sent+">; rel=next"), "200 OK", "201 Created", 1))
		a := newGate(t, api(u.url+"/base"), options{}).do("GET", "/s/api/dir/x")
		if got := a.Header["Location"]; len(got) != 2 || got[0] != want || got[1] != want {
			t.Errorf("Location: got %q for %q, want %q twice", got, sent, want)
		}
		if got := a.Header.Get("Content-Location"); got != want {
			t.Errorf("Content-Location: got %q for %q, want %q", got, sent, want)
		}
		if got := a.Header.Get("Link"); got != "<"+want+">; rel=next" {
			t.Errorf("Link: got %q for %q, want %q", got, sent, want)
		}
	}
}

// TestLinks: every target of every Link header, and nothing but the targets.
func TestLinks(t *testing.T) {
	for sent, want := range map[string]string{
		`<UPSTREAM/items?page=2>; rel="next", <UPSTREAM/items?page=9>; rel="last"`:              `<http://gate/s/api/items?page=2>; rel="next", <http://gate/s/api/items?page=9>; rel="last"`,
		`</items?after=a,b>; rel=next,<https://docs.example/x>; rel="help"`:                     `</s/api/items?after=a,b>; rel=next,<https://docs.example/x>; rel="help"`,
		`<UPSTREAM/a>; title="<UPSTREAM/b>, \"<UPSTREAM/c>"; rel=next , <UPSTREAM/d>;rel="x y"`: `<http://gate/s/api/a>; title="<UPSTREAM/b>, \"<UPSTREAM/c>"; rel=next , <http://gate/s/api/d>;rel="x y"`,
		`<UPSTREAM/a`: `<UPSTREAM/a`, `no link`: `no link`, `<>; rel=self`: `</s/api/x>; rel=self`, `"<UPSTREAM/a>`: `"<UPSTREAM/a>`,
	} {
		u := newUpstream(t, nil)
		expand := strings.NewReplacer("UPSTREAM", u.url).Replace
		u.reply = reply(withLength("x", "Link: "+expand(sent), "Link: <"+u.url+"/second>"))
		a := newGate(t, api(u.url), options{}).do("GET", "/s/api/x")
		if got := a.Header["Link"]; len(got) != 2 || got[0] != expand(want) || got[1] != "<http://gate/s/api/second>" {
			t.Errorf("%s:\n got %q\nwant %q", sent, got, want)
		}
	}
	u := newUpstream(t, nil)
	u.reply = reply(withLength("x", "Link: <"+u.url+"/n>; rel=next"))
	if got := newGate(t, api(u.url), options{}).do("GET", "/s/api/x",
		"X-Forwarded-Proto: https").Header.Get("Link"); got != "<https://gate/s/api/n>; rel=next" {
		t.Errorf("where TLS ends before the gate: got %q", got)
	}
}

// TestWebSocketNames: peers that compare the letters find the fields of a handshake as RFC 6455 writes them, on either
// side.
func TestWebSocketNames(t *testing.T) {
	u := newUpstream(t,
		reply("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "+
			"Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-Websocket-Protocol: a\r\n\r\n"))
	g := newGate(t, api(u.url), options{})
	c := g.dial()
	_, _ = c.Write([]byte("GET /s/api/x HTTP/1.1\r\nHost: gate\r\nX-Sallyport-Token: " + tokens.value["good"] +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nsec-websocket-key: " +
		"dGhlIHNhbXBsZSBub25jZQ==\r\nSEC-WEBSOCKET-VERSION: 13\r\nSec-Websocket-Protocol: a\r\n\r\n"))
	buf := make([]byte, 4096)
	n, _ := c.Read(buf)
	for _, name := range []string{"Sec-WebSocket-Accept: ", "Sec-WebSocket-Protocol: "} {
		if !strings.Contains(string(buf[:n]), "\r\n"+name) {
			t.Errorf("the caller got %q, want %s", buf[:n], name)
		}
	}
	head := u.only(t).head
	for _, name := range []string{"Sec-WebSocket-Key: ", "Sec-WebSocket-Version: ", "Sec-WebSocket-Protocol: "} {
		if !strings.Contains(head, "\r\n"+name) {
			t.Errorf("the API got\n%s\nwant %s", head, name)
		}
	}
}

// TestRSAKeyExchange: an API that has nothing else is reached where the service says so, and the refusal names the
// setting.
func TestRSAKeyExchange(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	}))
	s.Config.ErrorLog = quiet()
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := trust(t, s)
	a := newGate(t, api(s.URL, "ca_file: "+ca), options{}).do("GET", "/s/api/x")
	a.wantFault(t, fault.UpstreamTLS)
	if p := a.problem(t); !strings.Contains(p.Hint, "rsa_key_exchange: true") {
		t.Errorf("got hint %q", p.Hint)
	}
	newGate(t, api(s.URL, "ca_file: "+ca, "rsa_key_exchange: true"), options{}).do("GET", "/s/api/x").wantStatus(t, 200)

	modern, modernCA := newTLSUpstream(t, nil) // what others have stays what it was
	newGate(t, api(modern.url, "ca_file: "+modernCA, "rsa_key_exchange: true"), options{}).do("GET",
		"/s/api/x").wantStatus(t, 200)
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// trust writes the certificate of s to a file.
func trust(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
