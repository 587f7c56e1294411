package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

func redirectTo(location string, status int) func(net.Conn, *received) {
	return reply(fmt.Sprintf("HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n\r\n",
		status, location))
}

// TestRedirectInside: a Location inside the service comes back as a path below the mount.
func TestRedirectInside(t *testing.T) {
	for location, want := range map[string]string{
		"/base/next": "/s/api/next", "/base/next?a=%2f&b#frag": "/s/api/next?a=%2f&b#frag", "/base": "/s/api", "/base/": "/s/api/", "next": "/s/api/dir/next", "../next": "/s/api/next", "?page=2": "/s/api/dir/x?page=2",
		"UPSTREAM/base/next": "/s/api/next", "UPSTREAM/base/a%20b": "/s/api/a%20b", "/base/next?access=" + canary: "/s/api/next?access=" + strings.Repeat("*", len(canary)),
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			u := newUpstream(t, nil)
			u.reply = redirectTo(strings.ReplaceAll(location, "UPSTREAM", u.url), status)
			g := newGate(t, api(u.url+"/base"), options{})
			a := g.do("GET", "/s/api/dir/x?q=1")
			a.wantStatus(t, status)
			if got := a.Header.Get("Location"); got != want {
				t.Errorf("%s: got Location %q, want %q", location, got, want)
			}
		}
	}
}

func TestRedirectLosesTheQueryCredential(t *testing.T) {
	u := newUpstream(t, redirectTo("/next?api_key="+canary+"&a=1", 302))
	g := newGate(t, api(u.url, "credential: {kind: query, param: api_key, secret: ref+builtin://canary}"), options{})
	if got := g.do("GET", "/s/api/x").Header.Get("Location"); got != "/s/api/next?a=1" {
		t.Errorf("got Location %q", got)
	}
}

// outside are Locations that leave the service, or could be read so.
func outside(u, other *upstream) []string {
	host := strings.TrimPrefix(u.url, "http://")
	return []string{
		other.url + "/x", "//" + strings.TrimPrefix(other.url, "http://") + "/x", "https://" + host + "/base/x",
		"http://user@" + host + "/base/x", "http://user:pw@" + host + "/base/x",
		"/other", "/", "/based/x", "/base/../other", "/base/%2e%2e/other", "/base/.%2E/%2e%2e/s/other", "/base/..;/x", "/base/a%2f..%2f..%2fx", "/base/%5c..%5cx", "../../x",
		"http://" + host + ".evil.example/base/x", "http://evil.example\\@" + host + "/base/x", "http://" + host + "@evil.example/base", "\\\\evil.example\\x", "/\\evil.example/x", "///evil.example/x",
		"ftp://" + host + "/base/x", "javascript:alert(1)", "data:text/html,x", "mailto:a@b", "http:", "http:///x", "http://[::1", "file:///etc/passwd", "%zz", "http://" + host + ":1/base/x", "http:base/x",
		"http://" + canary[:4] + ".evil.example/" + canary, "http://evil.example/?k=" + canary, " " + other.url,
	}
}

// TestRedirectOutsideIsRefused is a part of invariant 2: nothing goes to where a redirect points, and the caller isn't
// sent there.
func TestRedirectOutsideIsRefused(t *testing.T) {
	other := newUpstream(t, nil)
	var location string
	u := newUpstream(t, func(c net.Conn, r *received) { redirectTo(location, 302)(c, r) })
	g := newGate(t, api(u.url+"/base"), options{})
	n := 0
	for _, location = range outside(u, other) {
		a := g.do("GET", "/s/api/x")
		if p := a.problem(t); p.Code != string(fault.RedirectRefused) {
			t.Errorf("%q: got %s", location, p.Code)
		}
		if a.Header.Get("Location") != "" || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%q: got %v", location, a.Header)
		}
		n++
	}
	other.untouched(t)
	for _, location = range []string{
		"/base/x\r\nLocation: http://evil.example/",
		"/base/x\r\nX-Evil: 1\r\nLocation: /base/y",
	} {
		if p := g.do("GET", "/s/api/x").problem(t); p.Code != string(fault.RedirectRefused) {
			t.Errorf("%q: got %s", location, p.Code)
		}
		n++
	}
	if got := int(u.conns.Load()); got != n {
		t.Errorf("the API got %d requests, want %d", got, n)
	}
}

// TestRedirectHostMayHoldTheSecret: the refusal names the host, which the API chose.
func TestRedirectHostMayHoldTheSecret(t *testing.T) {
	const dns = "canary0123456789abcdef" // a secret that a host name can hold
	u := newUpstream(t, redirectTo("http://"+dns+".evil.example/", 302))
	g := newGate(t, api(u.url), options{secret: dns})
	a := g.do("GET", "/s/api/x")
	a.wantFault(t, fault.RedirectRefused)
	g.stop()
	if strings.Contains(a.raw+g.logs.String()+fmt.Sprint(g.records()), dns) {
		t.Errorf("the secret came back: %s %+v", a.raw, g.records())
	}
}

// bareTarget serves the redirect's target and its relative hops.
func bareTarget(t *testing.T) *upstream {
	return newUpstream(t, func(c net.Conn, r *received) {
		switch r.URL.Path {
		case "/dir/hop":
			redirectTo("target", 302)(c, r)
		default:
			_, _ = io.WriteString(c, withLength("the file, and "+canary, "Set-Cookie: theirs=1", "X-Path: "+r.URL.Path))
		}
	})
}

// TestRedirectFetchedBare: the gate follows out of the service itself, without credential, token and cookie.
func TestRedirectFetchedBare(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		path   string
		want   string
	}{
		{"GET", 302, "/dir/file?sig=%2F1", "/dir/file"}, {"GET", 307, "/dir/file", "/dir/file"}, {"GET", 302, "/dir/hop", "/dir/target"}, {"POST", 303, "/dir/file", "/dir/file"}, {"HEAD", 302, "/dir/file", "/dir/file"},
	} {
		t.Run(fmt.Sprint(c.method, c.status, c.path), func(t *testing.T) {
			target := bareTarget(t)
			u := newUpstream(t, redirectTo(target.url+c.path, c.status))
			g := newGate(t, api(u.url, "redirects: fetch", "fetch_private: [127.0.0.1/32]", "cookies: pass",
				"headers: {X-Fixed: always}"), options{})
			a := g.do(c.method, "/s/api/x", "Cookie: mine=1", "Accept: */*", "X-Private: 1", "Referer: http://n8n/",
				"Authorization: "+basic("api", tokens.value["good"]))
			a.wantStatus(t, 200)
			if got := a.Header.Get("X-Path"); got != c.want || a.Header.Get("Location") != "" {
				t.Errorf("got %q, want %q: %s", got, c.want, a.raw)
			}
			if c.method != "HEAD" && !strings.HasPrefix(string(a.body), "the file, and ***") {
				t.Errorf("got body %q", a.body)
			}
			for _, r := range target.got() {
				for _, forbidden := range []string{
					canary, "spt_", "Authorization", "Cookie", "X-Private", "X-Fixed",
					"Referer", "X-Sallyport",
				} {
					if strings.Contains(r.head, forbidden) {
						t.Errorf("%s went to a third party:\n%s", forbidden, r.head)
					}
				}
				if r.Method == "POST" || len(r.body) > 0 {
					t.Errorf("got %s with %d bytes", r.Method, len(r.body))
				}
			}
		})
	}
}

// TestFetchRefuses: where even a bare fetch does not go.
func TestFetchRefuses(t *testing.T) {
	u := newUpstream(t, nil)
	back := newUpstream(t, redirectTo(u.url+"/base/admin", 302))
	var loop *upstream
	loop = newUpstream(t, func(c net.Conn, r *received) { redirectTo(loop.url+"/again", 302)(c, r) })
	for _, c := range []struct {
		name, method, location string
		status                 int
		code                   fault.Code
	}{
		{"back into the service", "GET", back.url, 302, fault.RedirectRefused},
		{"a loop", "GET", loop.url, 302, fault.RedirectRefused},
		{"POST 307", "POST", loop.url, 307, fault.RedirectRefused},
		{"PUT 308", "PUT", loop.url, 308, fault.RedirectRefused},
		{"metadata service", "GET", "http://169.254.169.254/latest/meta-data/", 302, fault.DestinationProhibited},
		{"mapped metadata", "GET", "http://[::ffff:169.254.169.254]/", 302, fault.DestinationProhibited},
		{"private", "GET", "http://10.0.0.1/", 302, fault.DestinationProhibited},
		{"loopback, other address", "GET", "http://127.0.0.2/", 302, fault.DestinationProhibited},
		{"loopback, v6", "GET", "http://[::1]:1/", 302, fault.DestinationProhibited},
		{"decimal", "GET", "http://2130706434/", 302, fault.DestinationProhibited},
		{"decimal of an address that may be dialled", "GET", "http://2130706433/", 302, fault.DestinationProhibited},
		{"decimal of a public address", "GET", "http://134744072/", 302, fault.DestinationProhibited},
		{"hex", "GET", "http://0x7f.1/", 302, fault.DestinationProhibited},
		{"hex alone", "GET", "http://0x7f000001:8472/", 302, fault.DestinationProhibited},
		{"octal", "GET", "http://0177.0.0.1/", 302, fault.DestinationProhibited},
		{"short", "GET", "http://127.1/", 302, fault.DestinationProhibited},
		{"three parts", "GET", "http://127.0.1/", 302, fault.DestinationProhibited},
		{"with a dot behind", "GET", "http://127.0.0.1./", 302, fault.DestinationProhibited},
		{"five parts", "GET", "http://1.2.3.4.5/", 302, fault.DestinationProhibited},
		{"too large", "GET", "http://4294967296/", 302, fault.DestinationProhibited},
		{"a zone", "GET", "http://[fe80::1%25lo]/", 302, fault.RedirectRefused},
		{"port 0", "GET", "http://127.0.0.1:0/", 302, fault.RedirectRefused},
		{"port beyond", "GET", "http://127.0.0.1:65536/", 302, fault.RedirectRefused},
		{"unspecified", "GET", "http://0.0.0.0/", 302, fault.DestinationProhibited},
		{"unspecified, v6", "GET", "http://[::]/", 302, fault.DestinationProhibited},
		{"user", "GET", "http://user@127.0.0.1/", 302, fault.RedirectRefused},
		{"ftp", "GET", "ftp://127.0.0.1/", 302, fault.RedirectRefused},
		{"no host", "GET", "http:///x", 302, fault.RedirectRefused},
		{"with the credential", "GET", "http://127.0.0.1:1/?k=" + canary, 302, fault.RedirectRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			api1 := newUpstream(t, redirectTo(c.location, c.status))
			yaml := api(api1.url, "redirects: fetch", "fetch_private: [127.0.0.1/32]")
			if c.name == "back into the service" {
				u.reply = redirectTo(back.url, 302)
				yaml = api(u.url+"/base", "redirects: fetch", "fetch_private: [127.0.0.1/32]")
			}
			g := newGate(t, yaml, options{})
			a := g.do(c.method, "/s/api/x")
			if p := a.problem(t); p.Code != string(c.code) || a.StatusCode < 500 {
				t.Errorf("got %d %s (%s), want %s", a.StatusCode, p.Code, p.Message, c.code)
			}
		})
	}
	if n := loop.conns.Load(); n < 2 || n > 6 {
		t.Errorf("the loop was followed %d times", n)
	}
	if n := len(u.got()); n != 1 {
		t.Errorf("the service got %d requests, want the first alone", n)
	}
}

func TestFetchFromHTTPSStaysOnIt(t *testing.T) {
	target := newUpstream(t, nil)
	u, ca := newTLSUpstream(t, redirectTo(target.url, 302))
	g := newGate(t, api(u.url, "redirects: fetch", "fetch_private: [127.0.0.1/32]", "ca_file: "+ca), options{})
	g.do("GET", "/s/api/x").wantFault(t, fault.RedirectRefused)
	target.untouched(t)
}

// TestFetchedRefusalIsNotTheCredentials: a third party's 401 says nothing of the credential, which it never saw.
func TestFetchedRefusalIsNotTheCredentials(t *testing.T) {
	target := newUpstream(t, reply("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
	u := newUpstream(t, redirectTo(target.url, 302))
	g := newGate(t, api(u.url, "redirects: fetch", "fetch_private: [127.0.0.1/32]"), options{})
	g.do("GET", "/s/api/x").wantStatus(t, 401)
	if o := g.finished(); o.Code != fault.Upstream4xx || g.service("api").Rejected() {
		t.Errorf("got %+v", o)
	}
}

// TestFetchIsNotForPrivateAddresses: what allow_private names is for the service's own requests.
func TestFetchIsNotForPrivateAddresses(t *testing.T) {
	target := newUpstream(t, nil)
	u := newUpstream(t, redirectTo(target.url, 302))
	g := newGate(t, api(u.url, "redirects: fetch"), options{})
	a := g.do("GET", "/s/api/x")
	a.wantFault(t, fault.DestinationProhibited)
	if p := a.problem(t); !strings.Contains(p.Hint, "fetch_private") {
		t.Errorf("the hint names no setting: %q", p.Hint)
	}
	target.untouched(t)
}

// TestNeverIntoTheGateItself: neither a redirect nor a service leads to where the gate listens, by whatever address.
func TestNeverIntoTheGateItself(t *testing.T) {
	everything := "allow_private: [127.0.0.0/8, 0.0.0.0/32, \"::/64\", \"64:ff9b::/96\"]"
	for _, bound := range []string{"127.0.0.1", "0.0.0.0", "::"} {
		l, err := net.Listen("tcp", net.JoinHostPort(bound, "0"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		own := new(egress.Own)
		at := netip.MustParseAddrPort(l.Addr().String())
		own.Set(netip.MustParseAddrPort("127.0.0.1:1"), at)
		for _, host := range []string{
			"127.0.0.1", "localhost", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]",
			"[::ffff:0:0]", "[::7f00:1]",
		} {
			into := fmt.Sprintf("http://%s:%d", host, at.Port())
			u := newUpstream(t, redirectTo(into+"/metrics", 302))
			yaml := strings.ReplaceAll(api(u.url, "redirects: fetch", strings.Replace(everything, "allow", "fetch", 1)),
				"    allow_private: [127.0.0.1/32]\n", "    "+everything+"\n")
			yaml += fmt.Sprintf("  loop:\n    upstream: %s\n    %s\n    secret: ref+builtin://canary\n", into,
				everything)
			g := newGate(t, yaml, options{})
			for _, s := range g.pipeline.Services().All() {
				s.Shun(own)
			}
			for _, target := range []string{"/s/api/x", "/s/loop/x"} {
				a := g.do("GET", target)
				a.wantFault(t, fault.DestinationProhibited)
				if p := a.problem(t); !strings.Contains(p.Message, "itself") && !strings.Contains(p.Hint, "itself") {
					t.Errorf("%s, bound to %s, %s: got %q", target, bound, host, p.Message)
				}
			}
		}
	}
}
