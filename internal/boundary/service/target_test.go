package service_test

import (
	"strings"
	"testing"

	"sallyport/internal/boundary/service"
	"sallyport/internal/config/notation"
)

func TestCheckPath(t *testing.T) {
	for _, c := range []struct {
		path         string
		encodedSlash bool
		good         bool
	}{
		{"/", false, true},
		{"/a/b.c/", false, true},
		{"/a:b@c/~x/(1)/$;k=v", false, true},
		{"/...", false, true},
		{"/..a/.b", false, true},
		{"/a%20b%C3%A9", false, true},
		{"/100%25", false, true},
		{"/projects/a%2Fb/x", true, true},
		{"/projects/a%2Fb/x", false, false},
		{"/a%2f..%2fb", true, false},
		{"/%2fa", true, true},
		{"/a%252fb", true, false},
		{"/a%5cb", true, false},
		{"", false, false},
		{"a", false, false},
		{"/a//b", true, false},
		{"/a/%2fb", true, true},
		{"/%2e", false, false},
		{"/a%2", false, false},
		{"/a%", false, false},
		{"/a%0a", true, false},
		{"/%25%32%65%25%32%65/x", false, false},
		{"/%%32%65/x", false, false},
	} {
		if why := service.CheckPath(c.path, service.PathForm{EncodedSlash: c.encodedSlash}); (why == "") != c.good {
			t.Errorf("CheckPath(%q, %v): got %q", c.path, c.encodedSlash, why)
		}
	}
}

// TestDoubleSlash: the opt-in lets empty segments through and nothing else.
func TestDoubleSlash(t *testing.T) {
	for path, good := range map[string]bool{
		"/https://example.com/a//b?": true, "//": true, "//key": true, "/a//": true, "/a///b": true, "/https://example.com": true,
		"/a//../b": false, "//../b": false, "/a//%2e%2e/b": false, "/a/%2f/b": false, "/a//%2F": false, `/a/\b`: false, "/a//%5c": false, "//%252e%252e/x": false, "": false,
	} {
		path = strings.TrimSuffix(path, "?")
		if why := service.CheckPath(path, service.PathForm{DoubleSlash: true}); (why == "") != good {
			t.Errorf("CheckPath(%q): got %q", path, why)
		}
		if strings.Contains(path, "//") && service.CheckPath(path, service.PathForm{EncodedSlash: true}) == "" {
			t.Errorf("CheckPath(%q) without the opt-in: got \"\"", path)
		}
	}
}

func TestCheckQuery(t *testing.T) {
	for query, good := range map[string]bool{
		"": true, "a=b&c": true, "a=%20%2F%2e%2e&b=//": true, `a[]="x"`: true, "a=%zz": true, "a=%2": true, "a=100%": true, "%": true, "a=%&b=%25": true, "a=%up": true, "a=%u002e": false, "a=%U002E": false, "a=\x7f": false, "a=b c": false, "é": false,
	} {
		if why := service.CheckQuery(query); (why == "") != good {
			t.Errorf("CheckQuery(%q): got %q", query, why)
		}
	}
}

func TestRule(t *testing.T) {
	for _, c := range []struct {
		rule, method, path string
		want               bool
	}{
		{"GET /v1/**", "GET", "/v1", true},
		{"GET /v1/**", "GET", "/v1/", true},
		{"GET /v1/**", "GET", "/v1/a/b", true},
		{"GET /v1/**", "GET", "/v1x", false},
		{"GET /v1/**", "POST", "/v1/a", false},
		{"GET /v1/**", "get", "/v1/a", false},
		{"GET /v1/*", "GET", "/v1/a", true},
		{"GET /v1/*", "GET", "/v1/a/b", false},
		{"GET /v1/*/x", "GET", "/v1/a/x", true},
		{"GET /v1/*/x", "GET", "/v1/x", false},
		{"* /a/**/z", "PUT", "/a/z", true},
		{"* /a/**/z", "PUT", "/a/b/c/z", true},
		{"* /a/**/z", "PUT", "/a/b/zz", false},
		{"GET,POST /a-*.json", "POST", "/a-1.json", true},
		{"GET,POST /a-*.json", "POST", "/a-1.xml", false},
		{"GET /a*a", "GET", "/a", false},
		{"GET /admin", "GET", "/%61dmin", true}, // read as the API would read it
		{"GET /v1", "GET", "/v1/", false},
		{"GET /https://**", "GET", "/https://example.com/a", true},
		{"GET /https://**", "GET", "/https:/example.com/a", false},
		{"GET /**", "GET", "/https://example.com/a", true},
		{"GET /*/users", "GET", "//users", false}, // a server that merges slashes would read /users
		{"GET /*/*", "GET", "/a//", false},
		{"GET /public/**", "GET", "//public/x", false},
		{"GET /public/**", "GET", "/public//x", true},
		{"GET /public/*/info", "GET", "/public//info", false},
	} {
		rule, err := notation.ParseRule(c.rule)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		if got := service.NewRule(rule).Match(c.method, c.path); got != c.want {
			t.Errorf("%q on %s %s: got %v", c.rule, c.method, c.path, got)
		}
	}
}

// FuzzTarget: a path that passes is the same path for whoever decodes it once or twice, and a rule for another tree
// never matches.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"/a/b", "/%2e%2e/x", "/..;/x", "/%252e%252e", "/a%25b", "/a;b/..", "/a%3b/x",
		"/%e2%80%a6/x", "/%25%32%65%25%32%65/x", "/allowed/x",
	} {
		f.Add(s)
	}
	allowed, err := notation.ParseRule("GET /allowed/**")
	if err != nil {
		f.Fatal(err)
	}
	rule := service.NewRule(allowed)
	f.Fuzz(func(t *testing.T, path string) {
		if service.CheckPath(path, service.PathForm{}) != "" {
			return
		}
		for depth, p := 0, path; depth < 3; depth++ {
			wantHarmless(t, path, p)
			p = unescapeOnce(p)
		}
		if plain := unescapeOnce(path); rule.Match("GET", path) && plain != "/allowed" &&
			!strings.HasPrefix(plain, "/allowed/") {
			t.Fatalf("%q is allowed and reads as %q", path, plain)
		}
	})
}

func wantHarmless(t *testing.T, path, p string) {
	t.Helper()
	if strings.Contains(p, "//") || strings.ContainsAny(p, "\\\x00\r\n") {
		t.Fatalf("%q reads as %q", path, p)
	}
	if strings.Count(p, "/") != strings.Count(path, "/") {
		t.Fatalf("%q reads as %q, with other segments", path, p)
	}
	for segment := range strings.SplitSeq(p, "/") {
		cut, _, _ := strings.Cut(segment, ";")
		if cut == "." || cut == ".." {
			t.Fatalf("%q reads as %q, with a dot segment", path, p)
		}
	}
}

// unescapeOnce decodes what is valid percent-encoding and leaves the rest, as lenient servers do.
func unescapeOnce(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := digit(s[i+1]), digit(s[i+2]); hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func digit(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}

// TestOverlong: no spelling of a dot or a slash that some decoder knows passes under **.
func TestOverlong(t *testing.T) {
	for _, path := range []string{
		"/a/%c0%ae%c0%ae/b", "/a/%C0%AE./b", "/a/.%c0%ae/b", "/a%c0%afb", "/a%c1%9cb", "/a/%e0%80%ae%e0%80%ae/b", "/a%e0%80%afb", "/a/%f0%80%80%ae/b", "/a/%f8%80%80%80%ae/b",
		"/a/%25c0%25ae/b", "/a/%u002e%u002e/b", "/a/%25u002e%25u002e/b", "/a/%252e%252e/b", "/a%255cb", "/a/%25%32%65/b", "/a%u2215b",
	} {
		if why := service.CheckPath(path, service.PathForm{EncodedSlash: true}); why == "" {
			t.Errorf("%s passes", path)
		}
	}
	for _, path := range []string{
		"/a/%c3%a9", "/%e2%82%ac", "/%f0%9f%98%80", "/caf%e9", "/%c0", "/100%25",
		"/%e4%bd%a0%e5%a5%bd", "/a%20b", "/%c0x",
	} {
		if why := service.CheckPath(path, service.PathForm{}); why != "" {
			t.Errorf("%s: %s", path, why)
		}
	}
}
