package gateway_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRequestHeader looks at all the bytes of a request's head: what arrives is what was sent, less what is the gate's
// business, plus the credential, under the names that it was sent with.
func TestRequestHeader(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url+"/base-path", "headers: {X-Fixed: always, X-Default: unless}"), options{})
	g.do("PUT", "/s/api/a%2Db%C3%A9;x=1/(c)?z=1&a=%2f%20+&&b&a=2",
		"Authorization: Bearer mine", "Cookie: session=1", "Proxy-Connection: keep-alive", "Keep-Alive: timeout=5", "TE: trailers", "Upgrade: h2c", "HTTP2-Settings: AAMA",
		"X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: evil", "X-Forwarded-Anything: 1", "Forwarded: for=10.0.0.1", "Via: 1.1 x", "X-Real-IP: 10.0.0.1", "Proxy-Status: x", "Proxy-Foo: kept",
		"Connection: X-Hop, Authorization, x-gone", "X-Hop: 1", "X-Gone: 2",
		"X-Sallyport-Workflow: w", "X-Sallyport-Node: n", "X-Sallyport-Execution: e", "X-Sallyport-Other: o",
		"Accept: */*", "X-Two: 1", "X-Two: 2", "X-Empty:", "x-lower: \xe9", "X-Default: mine", "Content-Type: a/b",
		"Content-Length: 3", "Expect: 100-continue", "\r\nabc").wantStatus(t, 200)
	r := u.only(t)
	lines := r.lines()
	slices.Sort(lines)
	want := []string{
		"Accept-Encoding: identity", "Accept: */*", "Authorization: Bearer " + canary, "Content-Length: 3", "Content-Type: a/b", "Host: " + strings.TrimPrefix(u.url, "http://"),
		"Proxy-Foo: kept", "X-Default: mine", "X-Empty: ", "X-Fixed: always", "X-Two: 1", "X-Two: 2", "x-lower: \xe9",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("the request's header (-want +got):\n%s", diff)
	}
	if got, want := r.RequestURI, "/base-path/a%2Db%C3%A9;x=1/(c)?z=1&a=%2f%20+&&b&a=2"; got != want {
		t.Errorf("got target %q, want it as it was: %q", got, want)
	}
	if string(r.body) != "abc" {
		t.Errorf("got body %q", r.body)
	}
	uses := g.records()
	if len(uses) != 2 || uses[0].Workflow != "w" || uses[0].Node != "n" || uses[0].Rule != "no rules" ||
		!slices.Equal(uses[0].Secrets, []string{"canary@1"}) {
		t.Errorf("got records %+v", uses)
	}
	if strings.Contains(uses[0].Path, "20+") {
		t.Errorf("the record %q has a query's values", uses[0].Path)
	}
}

// TestOverridingHeader: what override_headers names replaces the caller's, however often and in whatever case it is
// sent; what else stands in headers gives way to the caller's.
func TestOverridingHeader(t *testing.T) {
	extra := []string{
		`headers: {user-agent: "linux:example:v1 (by /u/someone)", Accept: application/vnd.example+json, X-Default: ours}`, "override_headers: [User-Agent, accept]",
	}
	for _, sent := range [][]string{
		{},
		{"User-Agent: n8n", "accept: */*"},
		{"USER-AGENT: n8n", "User-Agent: axios", "Accept: a/b", "Accept: c/d"},
		{"User-Agent:", "Connection: User-Agent"},
	} {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url, extra...), options{})
		g.do("GET", "/s/api/x", append([]string{"X-Default: mine"}, sent...)...).wantStatus(t, 200)
		r := u.only(t)
		for name, want := range map[string]string{
			"User-Agent": "linux:example:v1 (by /u/someone)",
			"Accept":     "application/vnd.example+json", "X-Default": "mine",
		} {
			if got := r.Header.Values(name); !slices.Equal(got, []string{want}) {
				t.Errorf("%q: %s is %q, want %q", sent, name, got, want)
			}
		}
	}
}

// TestCredentialIsNotStripped: a caller can't take the credential off its own request by naming it hop-by-hop.
func TestCredentialIsNotStripped(t *testing.T) {
	for _, c := range []struct{ credential, header, want string }{
		{"{kind: bearer, secret: ref+builtin://canary}", "Authorization", "Bearer " + canary},
		{"{kind: header, header: x-api-key, secret: ref+builtin://canary}", "X-Api-Key", canary},
	} {
		for _, connection := range []string{
			c.header, strings.ToLower(c.header), "close, " + c.header,
			"keep-alive," + c.header + ",X",
		} {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url, "credential: "+c.credential), options{})
			g.do("GET", "/s/api/x", "Connection: "+connection, c.header+": mine").wantStatus(t, 200)
			if got := u.only(t).Header.Values(c.header); !slices.Equal(got, []string{c.want}) {
				t.Errorf("Connection: %s: got %s %q", connection, c.header, got)
			}
		}
	}
}

// TestQueryOfTheCredential: however a caller separates it, its own value does not stand beside the credential.
func TestQueryOfTheCredential(t *testing.T) {
	for sent, want := range map[string]string{
		"a=1&key=mine&b=2": "a=1&b=2&key=" + url.QueryEscape(canary), "a=1;key=mine;b=2": "a=1;b=2&key=" + url.QueryEscape(canary), "key=mine;a=1": "a=1&key=" + url.QueryEscape(canary),
		"key=mine": "key=" + url.QueryEscape(canary), "%6bey=mine&a=x;y": "a=x;y&key=" + url.QueryEscape(canary), "a=1;;&&b": "a=1;;&&b&key=" + url.QueryEscape(canary),
	} {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url, "credential: {kind: query, param: key, secret: ref+builtin://canary}"), options{})
		g.do("GET", "/s/api/x?"+sent).wantStatus(t, 200)
		if _, got, _ := strings.Cut(u.only(t).RequestURI, "?"); got != want {
			t.Errorf("%s: the API got %q, want %q", sent, got, want)
		}
	}
}

// TestHostIsTheServices: Host says what configuration says, whoever the caller names.
func TestHostIsTheServices(t *testing.T) {
	u, ca := newTLSUpstream(t, nil)
	g := newGate(t, api(u.url, "ca_file: "+ca), options{})
	answers, _ := g.send("GET /s/api/x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nX-Host: " +
		"evil\r\nX-Sallyport-Token: " + tokens.value["good"] + "\r\n\r\n")
	answers[0].wantStatus(t, 200)
	if got, want := u.only(t).Host, strings.TrimPrefix(u.url, "https://"); got != want {
		t.Errorf("got Host %q, want %q", got, want)
	}
	for upstream, want := range map[string]string{
		"https://api.example.com": "api.example.com", "https://api.example.com:443": "api.example.com", "http://api.example.com:80": "api.example.com",
		"https://api.example.com:8443": "api.example.com:8443", "https://[2001:db8::1]:443": "[2001:db8::1]", "http://[::1]:8080": "[::1]:8080",
	} {
		s, _ := table(t, api(upstream), options{}).Lookup("api")
		if s.Host != want {
			t.Errorf("%s: got Host %q, want %q", upstream, s.Host, want)
		}
	}
}

// TestResponseHeader: an answer loses what only Sallyport may say, what leads around it, and what belongs to the other
// connection.
func TestResponseHeader(t *testing.T) {
	u := newUpstream(t,
		reply("HTTP/1.1 200 Fine "+canary+
			"\r\nContent-Length: 2\r\nProxy-Status: sallyport; error=http_request_denied\r\nproxy_status: "+
			"sallyport\r\nX-Sallyport-Request-Id: forged\r\n"+
			"x-sallyport-anything: 1\r\nX_Sallyport_Code: 1\r\nAlt-Svc: h3=\":443\"\r\nSet-Cookie: "+
			"a=b\r\nSet-Cookie2: "+
			"a=b\r\nProxy-Authenticate: Basic\r\nProxy-Authorization: x\r\nAuthentication-Info: x\r\n"+
			"Keep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nUpgrade: h2c\r\nTrailer: X\r\nDate: Mon, 01 "+
			"Jan "+
			"2024 00:00:00 GMT\r\nServer: theirs\r\nVia: 1.1 theirs\r\nX-Two: 1\r\nX-Two: 2\r\nVary: a\r\n\r\nok"))
	g := newGate(t, api(u.url), options{})
	a := g.do("GET", "/s/api/x")
	id := a.Header.Get("X-Sallyport-Request-Id")
	want := http.Header{
		"Content-Length": {"2"}, "Connection": {"close"}, "Date": {"Mon, 01 Jan 2024 00:00:00 GMT"}, "Server": {"theirs"}, "Via": {"1.1 theirs"}, "Vary": {"a"}, "X-Two": {"1", "2"},
		"Proxy-Status": {"sallyport; received-status=200"}, "X-Sallyport-Request-Id": {id},
	}
	if a.Close { // http.ReadResponse takes Connection out
		a.Header["Connection"] = []string{"close"}
	}
	if diff := cmp.Diff(want, a.Header); diff != "" {
		t.Errorf("the response's header (-want +got):\n%s", diff)
	}
	if list := g.records(); id == "forged" || list[0].ID != id || a.Status != "200 OK" {
		t.Errorf("got request id %q, on record %q, status %q", id, list[0].ID, a.Status)
	}
}

func TestCookiesPass(t *testing.T) {
	u := newUpstream(t, reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nok"))
	g := newGate(t, api(u.url, "cookies: pass"), options{})
	a := g.do("GET", "/s/api/x", "Cookie: session=1")
	if got := a.Header.Values("Set-Cookie"); !slices.Equal(got, []string{"a=b", "c=d"}) {
		t.Errorf("got Set-Cookie %q", got)
	}
	if got := u.only(t).Header.Get("Cookie"); got != "session=1" {
		t.Errorf("got Cookie %q", got)
	}
}

// TestStatusPassesThrough: an API's own errors come as they are, and say that they are the API's.
func TestStatusPassesThrough(t *testing.T) {
	for status, code := range map[int]string{
		200: "", 201: "", 299: "", 400: "upstream_4xx", 401: "credential_rejected", 402: "upstream_4xx",
		403: "upstream_4xx", 404: "upstream_4xx", 407: "upstream_4xx", 418: "upstream_4xx", 429: "upstream_4xx",
		500: "upstream_5xx", 502: "upstream_5xx", 503: "upstream_5xx", 599: "upstream_5xx",
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			body := strings.Repeat(`{"error":"theirs"}`, 5000)
			u := newUpstream(t,
				reply(fmt.Sprintf("HTTP/1.1 %d Custom\r\nContent-Length: %d\r\nRetry-After: 7\r\nWWW-Authenticate: "+
					"Bearer\r\n\r\n%s", status, len(body), body)))
			g := newGate(t, api(u.url), options{})
			a := g.do("GET", "/s/api/x")
			a.wantStatus(t, status)
			if string(a.body) != body || a.Header.Get("Retry-After") != "7" ||
				a.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("got %d bytes and %v", len(a.body), a.Header)
			}
			list := g.records()
			if len(list) != 2 || list[1].Status != status || list[1].Code != code {
				t.Errorf("got records %+v, want code %q", list, code)
			}
			if g.service("api").Rejected() != (status == 401) {
				t.Error("rejected must follow 401")
			}
		})
	}
}
