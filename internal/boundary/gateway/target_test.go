package gateway_test

import (
	"strings"
	"testing"

	"sallyport/internal/fault"
)

// TestRoots: the slash behind a service's name is the one behind the base path. Many APIs tell the two apart, and
// redirect from one to the other.
func TestRoots(t *testing.T) {
	for _, c := range []struct{ base, sent, want string }{
		{"", "/s/api", "/"},
		{"", "/s/api/", "/"},
		{"", "/s/api?a=1", "/?a=1"},
		{"/", "/s/api", "/"},
		{"/", "/s/api/", "/"},
		{"/api/v2", "/s/api", "/api/v2"},
		{"/api/v2", "/s/api/", "/api/v2/"},
		{"/api/v2/", "/s/api", "/api/v2"},
		{"/api/v2/", "/s/api/", "/api/v2/"},
		{"/api/v2", "/s/api?a=1", "/api/v2?a=1"},
		{"/api/v2", "/s/api/?a=1", "/api/v2/?a=1"},
		{"/api/v2", "/s/api/x/", "/api/v2/x/"},
	} {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url+c.base), options{})
		g.do("GET", c.sent).wantStatus(t, 200)
		if got := u.only(t).RequestURI; got != c.want {
			t.Errorf("%s with base path %q: the API got %q, want %q", c.sent, c.base, got, c.want)
		}
	}
}

// TestRootsBehindAPathSecret: the same where the credential stands in the path, whoever puts it there.
func TestRootsBehindAPathSecret(t *testing.T) {
	token := tokens.value["good"]
	for sent, want := range map[string]string{
		"/s/api": "/base/bot" + plainKey, "/s/api/": "/base/bot" + plainKey + "/", "/s/api/bot" + token: "/base/bot" + plainKey, "/s/api/bot" + token + "/": "/base/bot" + plainKey + "/",
		"/s/api/bot" + token + "/getMe": "/base/bot" + plainKey + "/getMe",
	} {
		u := newUpstream(t, nil)
		g := newGate(t,
			api(u.url+"/base", "credential: {kind: path, format: \"/bot{secret}\", secret: ref+builtin://canary}"),
			options{secret: plainKey})
		var header []string
		if strings.Contains(sent, token) {
			header = append(header, "-")
		}
		g.do("GET", sent, header...).wantStatus(t, 200)
		if got := u.only(t).RequestURI; got != want {
			t.Errorf("%s: the API got %q, want %q", strings.ReplaceAll(sent, token, "TOKEN"),
				strings.ReplaceAll(got, plainKey, "KEY"), strings.ReplaceAll(want, plainKey, "KEY"))
		}
	}
}

// TestPercentInQuery: a % that begins no escape arrives as it was sent, beside a credential in the query too.
func TestPercentInQuery(t *testing.T) {
	for _, query := range []string{"q=100%", "%", "q=%&a=%25", "q=5%zz", "like=%25%", "a=%2"} {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url, "credential: {kind: query, param: key, secret: ref+builtin://canary}"), options{})
		g.do("GET", "/s/api/x?"+query+"&key=mine").wantStatus(t, 200)
		if got := u.only(t).RequestURI; !strings.HasPrefix(got, "/x?"+query+"&key=") || strings.Contains(got, "mine") {
			t.Errorf("%s: the API got another query", query)
		}
	}
}

// TestBlankBeforeColon: the blank goes, and the field counts as what it is. One that says where the answer ends cannot
// be believed.
func TestBlankBeforeColon(t *testing.T) {
	u := newUpstream(t,
		reply(withLength("x", "X-Odd : 1", "Set-Cookie : a=b", "Proxy-Status : forged", "X-Echo  : "+canary)))
	a := newGate(t, api(u.url), options{}).do("GET", "/s/api/x")
	a.wantStatus(t, 200)
	if a.Header.Get("X-Odd") != "1" || a.Header.Get("Set-Cookie") != "" ||
		a.Header.Get("X-Echo") != strings.Repeat("*", len(canary)) {
		t.Errorf("got %s", a.raw)
	}
	u = newUpstream(t,
		reply("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation : https://elsewhere.example/\r\n\r\n"))
	newGate(t, api(u.url), options{}).do("GET", "/s/api/x").wantFault(t, fault.RedirectRefused)
	for _, field := range []string{"Content-Length : 1", "Transfer-Encoding : chunked", "content-length\t: 1"} {
		u = newUpstream(t, reply("HTTP/1.1 200 OK\r\n"+field+"\r\n\r\nx"))
		newGate(t, api(u.url), options{}).do("GET", "/s/api/x").wantFault(t, fault.UpstreamMalformed)
	}
}

// TestDoubleSlashes: a service may let them through, and what arrives is what was sent, never another authority.
func TestDoubleSlashes(t *testing.T) {
	for _, path := range []string{
		"/https://example.com/a?b=//c", "//evil.example/x", "//", "///", "/bucket//key",
		"/a//", "/a///b", "//%2e.x/[1]",
	} {
		for _, base := range []string{"", "/base"} {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url+base, "double_slash: true"), options{})
			g.do("GET", "/s/api"+path).wantStatus(t, 200)
			r := u.only(t)
			if want := base + path; r.RequestURI != want || r.Host != strings.TrimPrefix(u.url, "http://") {
				t.Errorf("the API got %q for %q, want %q", r.RequestURI, r.Host, want)
			}
		}
	}
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, "double_slash: true", `allow: ["GET /v1/*/info", "GET /https://**"]`), options{})
	g.do("GET", "/s/api/v1//info").wantFault(t, fault.RequestDenied)
	g.do("GET", "/s/api//v1/x/info").wantFault(t, fault.RequestDenied)
	g.do("GET", "/s/api/https:/x").wantFault(t, fault.RequestDenied)
	g.do("GET", "/s/api/https://x/..//y").wantFault(t, fault.RequestMalformed)
	u.untouched(t)
	g.do("GET", "/s/api/https://x").wantStatus(t, 200)
}
