package gateway_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"sallyport/internal/fault"
)

// TestPathTricks is a part of invariant 2: no path that some server reads as another one gets out.
func TestPathTricks(t *testing.T) {
	for _, path := range []string{
		"/..", "/../x", "/a/../x", "/a/..", "/./x", "/%2e%2e/x", "/%2E%2e/x", "/.%2e/x", "/a/%2e/x", "/..;/x", "/..;a=b/x", "/%2e%2e;/x", "/..%3bx/y",
		"//", "//x", "/a//x", "/%2f", "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/%00", "/a%0d%0ab", "/a%7f", "/%252e%252e/x", "/%252E%252E/x", "/a%252fb", "/a%255cb",
		"/%25252e%25252e/x", "/a\"b", "/a<b", "/a^b", "/a`b", "/a{b", "/a|b", "/%2e%2e%2fx", "/..%2fx", "/..%5cx",
	} {
		t.Run(path, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url+"/base"), options{})
			g.do("GET", "/s/api"+path).wantFault(t, fault.RequestMalformed)
			u.untouched(t)
			g.refusedOnly(1, fault.RequestMalformed)
		})
	}
}

// TestRulesHold tries to get past the allow rules.
func TestRulesHold(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url+"/base", `allow: ["GET /v1/**", "POST /v1/messages", "* /open"]`), options{})
	n := 0
	for _, c := range []struct{ method, target string }{
		{"POST", "/s/api/v1/other"},
		{"DELETE", "/s/api/v1/x"},
		{"GET", "/s/api/v2/x"},
		{"GET", "/s/api/V1/x"},
		{"GET", "/s/api/v1x"},
		{"get", "/s/api/v1/x"},
		{"POST", "/s/api/v1/messages/"},
		{"GET", "/s/api/"},
		{"GET", "/s/api"},
		{"GET", "/s/api/base/v1/x"},
		{"GET", "/s/api/open/x"},
	} {
		g.do(c.method, c.target).wantFault(t, fault.RequestDenied)
		n++
	}
	for _, h := range []string{
		"X-HTTP-Method-Override: DELETE", "X-Http-Method: DELETE", "X-Method-Override: delete",
		"X-HTTP-Method-Override: GET, DELETE",
	} {
		g.do("GET", "/s/api/v1/x", h).wantFault(t, fault.RequestDenied)
		n++
	}
	u.untouched(t)
	g.do("GET", "/s/api/v1/x", "X-Original-URL: /v2/x", "X-Rewrite-URL: /v2/x",
		"X-HTTP-Method-Override: GET").wantStatus(t, 200)
	if head := u.only(t).head; strings.Contains(head, "/v2/") {
		t.Errorf("another path went along:\n%s", head)
	}
	if got := len(g.records()); got != n+2 {
		t.Errorf("got %d records, want %d refused and one use", got, n)
	}
}

func TestMethodOverrideNeedsTheTokensScope(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	g.do("GET", "/s/api/x", "-", "X-Sallyport-Token: "+tokens.value["get"],
		"X-HTTP-Method-Override: DELETE").wantFault(t, fault.RequestDenied)
	g.do("GET", "/s/api/x", "X-HTTP-Method-Override: DELETE").wantStatus(t, 200)
}

// TestMalformed: what two parsers may understand differently is answered with request_malformed, is on record, and goes
// nowhere.
func TestMalformed(t *testing.T) {
	const first = "GET /s/api/x HTTP/1.1\r\n"
	host := "Host: gate\r\n"
	token := "X-Sallyport-Token: " + tokens.value["good"] + "\r\n"
	post := "POST /s/api/x HTTP/1.1\r\n" + host + token
	for name, raw := range map[string]string{
		"absolute-form":        "GET http://evil.example/s/api/x HTTP/1.1\r\n" + host + token,
		"authority-form":       "GET evil.example:443 HTTP/1.1\r\n" + host + token,
		"CONNECT":              "CONNECT evil.example:443 HTTP/1.1\r\n" + host + token,
		"CONNECT with a path":  "CONNECT /s/api/x HTTP/1.1\r\n" + host + token,
		"TRACE":                "TRACE /s/api/x HTTP/1.1\r\n" + host + token,
		"two Host":             first + host + "Host: evil\r\n" + token,
		"no Host":              first + token,
		"CL and TE":            post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
		"two CL":               post + "Content-Length: 3\r\nContent-Length: 4\r\n",
		"CL list":              post + "Content-Length: 3, 3\r\n",
		"TE gzip, chunked":     post + "Transfer-Encoding: gzip, chunked\r\n",
		"TE xchunked":          post + "Transfer-Encoding: xchunked\r\n",
		"obs-fold":             first + host + token + "X: a\r\n b\r\n",
		"bare CR":              first + host + token + "X: a\rb\r\n",
		"bare LF":              first + host + token + "X: a\nY: b\r\n",
		"NUL":                  first + host + token + "X: a\x00b\r\n",
		"blank before colon":   first + host + "X-Sallyport-Token : " + tokens.value["good"] + "\r\n",
		"authorization_":       first + host + token + "authorization_: x\r\n",
		"_authorization":       first + host + token + "_authorization: x\r\n",
		"x_sallyport_token":    first + host + token + "x_sallyport_token: x\r\n",
		"X-Sallyport_Token":    first + host + token + "X-Sallyport_Token: x\r\n",
		"x_forwarded_for":      first + host + token + "x_forwarded_for: 127.0.0.1\r\n",
		"content_length":       post + "content_length: 5\r\n",
		"transfer_encoding":    post + "Transfer_Encoding: chunked\r\n",
		"twin of the slot":     first + host + token + "X_Api_Key: mine\r\n",
		"trailers announced":   post + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n",
		"broken escape":        "GET /s/api/%zz HTTP/1.1\r\n" + host + token,
		"broken escape, query": "GET /s/api/x?a=%u002e HTTP/1.1\r\n" + host + token,
		"0.9":                  "GET /s/api/x\r\n",
		"2.0":                  "PRI * HTTP/2.0\r\n",
		"large head":           first + host + token + "X: " + strings.Repeat("a", 20<<10) + "\r\n",
		"endless line":         "GET /s/api/" + strings.Repeat("a", 200<<10),
		"many fields":          first + host + token + strings.Repeat("X: y\r\n", 250),
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t,
				api(u.url, "credential: {kind: header, header: X-Api-Key, secret: ref+builtin://canary}"), options{})
			if !strings.Contains(raw, "\nConnection:") {
				raw += "Connection: close\r\n\r\n"
			}
			answers, rest := g.send(raw)
			if len(answers) != 1 || rest != "" {
				t.Fatalf("got %d answers and %q, want one", len(answers), rest)
			}
			answers[0].wantFault(t, fault.RequestMalformed)
			u.untouched(t)
			g.refusedOnly(1, fault.RequestMalformed)
		})
	}
}

// TestSmuggled: a second request behind a valid one is judged for itself. The valid one gets its answer first.
func TestSmuggled(t *testing.T) {
	good := "POST /s/api/first HTTP/1.1\r\nHost: gate\r\nX-Sallyport-Token: " + tokens.value["good"] + "\r\n"
	for name, raw := range map[string]string{
		"behind Content-Length": good + "Content-Length: 3\r\n\r\nabc" + "GET http://evil/ HTTP/1.1\r\nHost: evil\r\n\r\n",
		"behind chunks":         good + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /s/api/second HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"garbage":               good + "Content-Length: 3\r\n\r\nabcdef\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url), options{})
			answers, rest := g.send(raw)
			if len(answers) != 2 || rest != "" {
				t.Fatalf("got %d answers and %q, want two", len(answers), rest)
			}
			answers[0].wantStatus(t, 200)
			answers[1].wantFault(t, fault.RequestMalformed)
			if got := u.only(t); got.URL.Path != "/first" || string(got.body) != "abc" {
				t.Errorf("the API got %s %q", got.URL, got.body)
			}
			if list := g.records(); len(list) != 3 || list[2].Code != string(fault.RequestMalformed) {
				t.Errorf("got records %+v", list)
			}
		})
	}
}

// TestPipelinedWithoutToken: each request on a connection needs a token of its own.
func TestPipelinedWithoutToken(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	answers, _ := g.send("GET /s/api/first HTTP/1.1\r\nHost: gate\r\nX-Sallyport-Token: " + tokens.value["good"] +
		"\r\n\r\n" + request("GET", "/s/api/second", "-"))
	if len(answers) != 2 {
		t.Fatalf("got %d answers, want 2", len(answers))
	}
	answers[0].wantStatus(t, 200)
	answers[1].wantFault(t, fault.TokenMissing)
	u.only(t)
}

// TestBrokenBody: framing that breaks after the head was let through ends the use with the caller's fault. Nothing of
// what follows reaches the API as a request of its own, and the body doesn't end there as if it were whole.
func TestBrokenBody(t *testing.T) {
	for name, body := range map[string]string{
		"extension": "3;a=b\r\nabc\r\n0\r\n\r\n", "overflow": "FFFFFFFFFFFFFFFFF\r\nabc", "trailer": "3\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"longer": "3\r\nabcdef\r\n0\r\n\r\n", "bare LF": "3\nabc\n0\n\n", "smuggled": "0\r\nGET /s/api/second HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 10)
			u := newUpstream(t, nil)
			u.onBody = func(err error) { ended <- err }
			g := newGate(t, api(u.url), options{})
			answers, rest := g.send(request("POST", "/s/api/x", "Transfer-Encoding: chunked", "\r\n"+body))
			if len(answers) != 1 || rest != "" {
				t.Fatalf("got %d answers and %q, want one", len(answers), rest)
			}
			answers[0].wantFault(t, fault.RequestMalformed)
			if u.conns.Load() > 0 {
				if err := <-ended; err == nil {
					t.Error("the API took the body for whole")
				}
			}
			list := g.records()
			if len(list) != 2 || list[1].Event != "completed" || list[1].Code != string(fault.RequestMalformed) {
				t.Errorf("got records %+v", list)
			}
		})
	}
}

// TestHeadEndsNowhere: a caller that goes away in the middle of a head leaves nothing behind.
func TestHeadEndsNowhere(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	c := g.dial()
	_, _ = io.WriteString(c, "GET /s/api/x HTTP/1.1\r\nHost: ga")
	if tcp, ok := c.(seenConn).Conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	if all, err := io.ReadAll(c); len(all) != 0 || err != nil {
		t.Errorf("got %q, %v", all, err)
	}
	u.untouched(t)
	g.refusedOnly(0, "")
}
