package gateway_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/setting"
	"sallyport/internal/testkit/tokenserver"
)

func value(s string) secret.Value { return secret.NewValue([]byte(s)) }

// plainKey is a secret that can stand in a path and a cookie.
const plainKey = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"

// TestKindsOnTheWire looks at what arrives of each kind that puts a secret somewhere.
func TestKindsOnTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		line, secret string
		method       string
		lines        []string
		target, body string
		header       http.Header
	}{
		"cookie": {line: "{kind: cookie, cookie: sid, secret: ref+builtin://canary}", secret: plainKey, header: http.Header{"Cookie": {"sid=" + plainKey}}, lines: []string{"Cookie: a=b; sid=mine"}},
		"path":   {line: "{kind: path, format: \"/bot{secret}\", secret: ref+builtin://canary}", secret: plainKey, target: "/base/bot" + plainKey + "/x?a=1"},
		"basic, dressed": {
			line: "{kind: basic, user_pass: \"{secret}:X\", secret: ref+builtin://canary}",
			header: http.Header{
				"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(canary+":X"))},
			},
		},
		"JSON field": {
			line: "{kind: body, pointer: /auth/key, as: json, secret: ref+builtin://canary}", method: "POST",
			lines: []string{
				"Content-Type: application/json", "Content-Length: 27",
				"\r\n" + `{"n":1.0,"auth":{"key":""}}`,
			}, body: `{"n":1.0,"auth":{"key":"` + canary + `"}}`,
			header: http.Header{"Content-Type": {"application/json"}},
		},
		"JSON field of no body": {
			line: "{kind: body, pointer: /key, as: json, secret: ref+builtin://canary}", method: "POST",
			lines: []string{"Content-Length: 0"},
			body:  `{"key":"` + canary + `"}`, header: http.Header{"Content-Type": {"application/json"}},
		},
		"JSON field of chunks": {
			line: "{kind: body, pointer: /key, as: json, secret: ref+builtin://canary}", method: "POST",
			lines: []string{"Transfer-Encoding: chunked", "\r\n2\r\n{}\r\n0\r\n\r\n"},
			body:  `{"key":"` + canary + `"}`, header: http.Header{"Content-Length": {"0"}},
		},
		"form field": {
			line: "{kind: body, pointer: /key, as: form, secret: ref+builtin://canary}", method: "POST",
			lines: []string{
				"Content-Type: application/x-www-form-urlencoded", "Content-Length: 13",
				"\r\na=%20&key=x&b",
			}, body: "a=%20&key=" + url.QueryEscape(canary) + "&b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			o := options{secret: c.secret}
			g := newGate(t, api(u.url+"/base", "credential: "+c.line), o)
			if c.method == "" {
				c.method = "GET"
			}
			g.do(c.method, "/s/api/x?a=1", c.lines...).wantStatus(t, 200)
			r := u.only(t)
			if c.target == "" {
				c.target = "/base/x?a=1"
			}
			if r.RequestURI != c.target || string(r.body) != c.body {
				t.Errorf("got %q with body %q; want %q and %q", r.RequestURI, r.body, c.target, c.body)
			}
			for name, want := range c.header {
				if name == "Content-Length" {
					if int(r.ContentLength) != len(c.body) {
						t.Errorf("got length %d", r.ContentLength)
					}
				} else if got := r.Header[name]; len(got) != 1 || got[0] != want[0] {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if strings.Contains(r.head, tokens.value["good"]) {
				t.Errorf("the proxy token reached the API:\n%s", r.head)
			}
		})
	}
}

func TestSeveralInOneRequest(t *testing.T) {
	u := newUpstream(t, nil)
	yaml := api(u.url,
		`credentials: [{kind: header, header: X-App, secret: ref+builtin://canary}, {kind: query, param: key, secret: ref+builtin://canary}, {kind: bearer, secret: ref+builtin://canary}]`)
	g := newGate(t, yaml, options{})
	g.do("GET", "/s/api/x?key=mine&a=1", "-", "X-App: "+tokens.value["good"]).wantStatus(t, 200)
	r := u.only(t)
	if r.Header.Get("X-App") != canary || r.Header.Get("Authorization") != "Bearer "+canary ||
		r.RequestURI != "/x?a=1&key="+url.QueryEscape(canary) {
		t.Errorf("got %s", r.head)
	}
}

// TestTokenInTheNewPlaces: a caller may put its token where the credential goes; there it does not stay.
func TestTokenInTheNewPlaces(t *testing.T) {
	good := tokens.value["good"]
	for name, c := range map[string]struct{ line, target, header string }{
		"path":                 {"{kind: path, format: \"/bot{secret}\", secret: ref+builtin://canary}", "/s/api/bot" + good + "/getMe", "Accept: */*"},
		"path with an ending":  {"{kind: path, format: \"/bot{secret}/v1\", secret: ref+builtin://canary}", "/s/api/bot" + good + "/v1/getMe", "Accept: */*"},
		"cookie":               {"{kind: cookie, cookie: sid, secret: ref+builtin://canary}", "/s/api/getMe", "Cookie: a=b; sid=" + good},
		"cookie, others' pass": {"{kind: cookie, cookie: sid, secret: ref+builtin://canary}\n    cookies: pass", "/s/api/getMe", "Cookie: a=b; sid=" + good},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url, "credential: "+c.line, `allow: ["GET /getMe"]`), options{secret: plainKey})
			g.do("GET", c.target, "-", c.header).wantStatus(t, 200)
			r := u.only(t)
			if strings.Contains(r.head, good) || !strings.Contains(r.head, plainKey) ||
				strings.Contains(name, "others'") != strings.Contains(r.head, "a=b") {
				t.Errorf("got %s", r.head)
			}
			g.do("GET", strings.ReplaceAll(c.target, good, tokens.value["revoked"]), "-",
				strings.ReplaceAll(c.header, good, tokens.value["revoked"])).wantFaultAs(t, fault.TokenRevoked, 401)
			u.only(t)
		})
	}
}

// TestPathSecretInLocation is a part of invariants 1 and 2: the prefix does not come back, and a Location without it is
// none of the service's.
func TestPathSecretInLocation(t *testing.T) {
	for location, want := range map[string]string{
		"/base/bot" + plainKey + "/next?a=1": "/s/api/next?a=1", "/base/bot" + strings.ReplaceAll(plainKey, ":", "%3A") + "/next": "/s/api/next", "/base/bot" + plainKey: "/s/api", "next": "/s/api/dir/next",
		"../": "/s/api/", "../../other": "", "/base/next": "", "/base/bot" + plainKey + "x/next": "", "/base/bot" + plainKey[1:] + "/next": "", "/base/bot" + plainKey + "/../../x": "",
	} {
		u := newUpstream(t, redirectTo(location, 302))
		g := newGate(t,
			api(u.url+"/base", "credential: {kind: path, format: \"/bot{secret}\", secret: ref+builtin://canary}"),
			options{secret: plainKey})
		a := g.do("GET", "/s/api/dir/x")
		if want == "" {
			a.wantFault(t, fault.RedirectRefused)
		} else if got := a.Header.Get("Location"); got != want {
			t.Errorf("%s: got Location %q, want %q", location, got, want)
		}
		if list := g.records(); strings.Contains(a.raw+g.logs.String()+fmt.Sprint(list), plainKey) {
			t.Errorf("%s: the secret came back: %s %+v", location, a.raw, list)
		}
	}
}

// TestUnfitBody: what the credential cannot go into is not sent without it.
func TestUnfitBody(t *testing.T) {
	for name, c := range map[string]struct {
		as    string
		lines []string
	}{
		"no JSON":   {"json", []string{"Content-Length: 3", "\r\nabc"}},
		"twice":     {"json", []string{"Content-Length: 17", "\r\n" + `{"key":1,"key":2}`}},
		"gzip":      {"json", []string{"Content-Encoding: gzip", "Content-Length: 2", "\r\n{}"}},
		"multipart": {"form", []string{"Content-Type: multipart/form-data; boundary=x", "Content-Length: 3", "\r\na=b"}},
	} {
		u := newUpstream(t, nil)
		g := newGate(t,
			api(u.url, "credential: {kind: body, pointer: /key, as: "+c.as+", secret: ref+builtin://canary}"),
			options{})
		g.do("POST", "/s/api/x", c.lines...).wantFault(t, fault.RequestMalformed)
		u.untouched(t)
		_ = name
	}
}

// TestNoRoomForBodies: what has to be whole in memory is refused, before anything leaves, where other requests' bodies
// take it all.
func TestNoRoomForBodies(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, "credential: {kind: body, pointer: /key, as: json, secret: ref+builtin://canary}"),
		options{kept: spool.NewBudget(8<<10, 64<<10)})
	body := `{"a":"` + strings.Repeat("x", 4<<10) + `"}`
	g.do("POST", "/s/api/x", fmt.Sprintf("Content-Length: %d", len(body)), "\r\n"+body).wantFault(t, fault.Overloaded)
	u.untouched(t)
	g.do("POST", "/s/api/x", "Content-Length: 2", "\r\n{}").wantStatus(t, 200)
}

func signing(s sign.Signer) options {
	return options{parts: func(svc *service.Service) []credential.Part {
		return []credential.Part{{Spec: svc.Specs[0], Signer: s, Versions: []string{"canary@1"}}}
	}}
}

const hmacLine = `credential: {kind: hmac, secret: ref+builtin://canary, header: X-Signature, message: "{method} {target} {timestamp} {body}"}`

func hmacSigner(t testing.TB) sign.Signer {
	s, err := sign.NewHMAC(sign.HMACOptions{
		Secret: value(canary), Header: "X-Signature",
		Message: "{method} {path} {body_sha256}", Headers: map[string]string{"X-Time": "{timestamp}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSigned: what is signed is what arrives, with the path as it is on the wire and the body whole.
func TestSigned(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url+"/base", hmacLine), signing(hmacSigner(t)))
	body := strings.Repeat("0123456789abcdef", 3<<16)
	g.do("POST", "/s/api/x?a=1", "Transfer-Encoding: chunked", "X-Signature: mine",
		fmt.Sprintf("\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)).wantStatus(t, 200)
	r := u.only(t)
	check := &sign.Request{
		Method: "POST", Scheme: "http", Host: r.Host, Path: "/base/x", RawQuery: "a=1",
		Header: http.Header{}, Body: credential.Bytes(r.body),
	}
	if err := hmacSigner(t).Sign(t.Context(), check); err != nil {
		t.Fatal(err)
	}
	if got := r.Header["X-Signature"]; len(got) != 1 || got[0] != check.Header.Get("X-Signature") ||
		r.Header.Get("X-Time") == "" || r.ContentLength != int64(len(body)) {
		t.Errorf("got %s, want the signature %s", r.head, check.Header.Get("X-Signature"))
	}
}

// TestTruncatedIsNotSigned: a body that ends short, or is too large to be kept, is not sent at all.
func TestTruncatedIsNotSigned(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, hmacLine, "replay: {memory: 1KiB, total: 2KiB}"), signing(hmacSigner(t)))
	c := g.dial()
	_, _ = io.WriteString(c, request("POST", "/s/api/x", "Content-Length: 1000", "\r\nshort"))
	if half, ok := c.(seenConn); ok {
		_ = half.Conn.(*net.TCPConn).CloseWrite()
	}
	_, _ = io.ReadAll(c)
	if o := g.finished(); o.Code != fault.RequestMalformed && o.Code != fault.ClientGone {
		t.Errorf("got %+v", o)
	}
	g.do("POST", "/s/api/x", "Transfer-Encoding: chunked", "\r\n5\r\nhello\r\nzz\r\n").wantFault(t,
		fault.RequestMalformed)
	g.do("POST", "/s/api/x", "Content-Length: 4096", "\r\n"+strings.Repeat("x", 4096)).wantFault(t, fault.BodyTooLarge)
	g.do("POST", "/s/api/x", "Transfer-Encoding: chunked",
		"\r\n1000\r\n"+strings.Repeat("x", 4096)+"\r\n0\r\n\r\n").wantFault(t, fault.BodyTooLarge)
	u.untouched(t)
}

func TestSigV4AndOAuth1OnTheWire(t *testing.T) {
	v4, err := sign.NewSigV4(sign.SigV4Options{
		AccessKey: "AKIDEXAMPLE", SecretKey: value(canary),
		Region: "eu-west-1", Service: "sqs",
	})
	if err != nil {
		t.Fatal(err)
	}
	one, err := sign.NewOAuth1(sign.OAuth1Options{
		ConsumerKey: "key", ConsumerSecret: value(canary),
		Token: value("token"), TokenSecret: value(derived(1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		line, want string
		signer     sign.Signer
	}{
		"sigv4":  {"{kind: aws_sigv4, access_key: AKIDEXAMPLE, secret_key: ref+builtin://canary, region: eu-west-1, service: sqs}", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/", v4},
		"oauth1": {"{kind: oauth1, consumer_key: key, consumer_secret: ref+builtin://canary, access_token: ref+builtin://a, token_secret: ref+builtin://b}", "OAuth ", one},
	} {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url, "credential: "+c.line), signing(c.signer))
		g.do("POST", "/s/api/x?a=1", "-", "Authorization: Bearer "+tokens.value["good"], "Content-Length: 5",
			"\r\nhello").wantStatus(t, 200)
		if r := u.only(t); !strings.HasPrefix(r.Header.Get("Authorization"), c.want) || string(r.body) != "hello" {
			t.Errorf("%s: got %s", name, r.head)
		}
	}
}

// strictDigest challenges with a nonce for each connection's answer, and takes each nonce and count once.
func strictDigest(t *testing.T, password string) *upstream {
	nonce, used := 0, map[string]bool{}
	u := newUpstream(t, nil)
	u.reply = func(c net.Conn, r *received) {
		got := r.Header.Get("Authorization")
		check, err := sign.NewDigest(sign.DigestOptions{Username: "me", Secret: value(password), Nonce: func() string {
			return between(got, `cnonce="`)
		}})
		if err != nil {
			t.Error(err)
		}
		challenge := fmt.Sprintf(`Digest realm="r", nonce="n%d", qop="auth-int", algorithm=SHA-256`, nonce)
		own, _ := check.Challenge(http.Header{"Www-Authenticate": {challenge}})
		want := &sign.Request{
			Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery,
			Header: http.Header{}, Body: credential.Bytes(r.body),
		}
		if err := own.Sign(t.Context(), want); err != nil {
			t.Error(err)
		}
		if between(got, `response="`) == between(want.Header.Get("Authorization"), `response="`) && !used[got] {
			used[got] = true
			reply(closing(okReply))(c, r)
			return
		}
		nonce++
		next := fmt.Sprintf(`Digest realm="r", nonce="n%d", qop="auth-int", algorithm=SHA-256`, nonce)
		reply(closing(status(401, "who are you?", "WWW-Authenticate: "+next)))(c, r)
	}
	return u
}

func between(s, from string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, `"`)
	return s
}

func TestDigestOnTheWire(t *testing.T) {
	for password, want := range map[string]int{canary: 200, "another": 401} {
		d, err := sign.NewDigest(sign.DigestOptions{Username: "me", Secret: value(canary)})
		if err != nil {
			t.Fatal(err)
		}
		u := strictDigest(t, password)
		g := newGate(t,
			api(u.url, "credential: {kind: digest, username: me, secret: ref+builtin://canary}"), signing(d))
		for i := range 2 {
			g.do("POST", "/s/api/x?a=%20b", "Content-Length: 5", "\r\nhello").wantStatus(t, want)
			if o := g.finished(); !o.Replayed || o.Renewed {
				t.Errorf("request %d: got %+v", i, o)
			}
			if n := len(u.got()); n != 2*(i+1) {
				t.Errorf("after request %d the API got %d", i, n)
			}
		}
	}
}

// TestStreamsOfDerivedServices: an event stream and JSON that goes on are passed on as they come.
func TestStreamsOfDerivedServices(t *testing.T) {
	for _, c := range []struct{ kind, first string }{
		{"text/event-stream", "data: one\n\n"}, {"text/event-stream", `{"code":99991663}` + "\n\n"}, {"application/x-ndjson", `{"code":0}` + "\n"}, {"application/json", `[1,`}, {"application/octet-stream", "{"}, {"text/plain", "x"},
	} {
		if c.first == `[1,` {
			continue // it may still say it: it is looked at as far as configured
		}
		next := make(chan struct{})
		u := newUpstream(t, func(conn net.Conn, _ *received) {
			_, _ = fmt.Fprintf(conn,
				"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", c.kind,
				len(c.first), c.first)
			<-next
			_, _ = io.WriteString(conn, "5\r\nafter\r\n0\r\n\r\n")
		})
		g := derivedGate(t, &mint{}, lark(u.url), options{})
		conn := g.dial()
		_, _ = io.WriteString(conn, request("GET", "/s/api/x"))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, len(c.first))
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != c.first {
			t.Errorf("%s: got %q, %v", c.kind, buf, err)
		}
		close(next)
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "after" {
			t.Errorf("%s: got %q, %v", c.kind, rest, err)
		}
		u.only(t)
	}
}

// TestWebSocketOfDerived: the handshake is made again with the newer token, and neither token comes back in a message,
// also not in pieces of one.
func TestWebSocketOfDerived(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+derived(2) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		m, err := c.Writer(r.Context(), websocket.MessageText)
		for _, piece := range []string{
			"old ", derived(1)[:9], derived(1)[9:], " new ", derived(2)[:20],
			derived(2)[20:], " done",
		} {
			if err == nil {
				_, err = io.WriteString(m, piece)
			}
		}
		if err == nil {
			err = m.Close()
		}
		if err != nil {
			t.Error(err)
		}
		_, _, _ = c.Read(r.Context())
	}))
	defer s.Close()
	g := derivedGate(t, &mint{}, lark(s.URL), options{})
	c, _, err := websocket.Dial(t.Context(), "ws://"+g.addr+"/s/api/socket",
		&websocket.DialOptions{HTTPHeader: http.Header{"X-Sallyport-Token": {tokens.value["good"]}}})
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := c.Read(t.Context())
	want := "old " + strings.Repeat("*", len(derived(1))) + " new " + strings.Repeat("*", len(derived(2))) + " done"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
	if o := g.finished(); !o.Replayed || o.Scrubbed != 2 {
		t.Errorf("got %+v", o)
	}
}

// TestWebSocketInPieces: an API sends the secret in three frames with a ping between them, and then what no server may
// send.
func TestWebSocketInPieces(t *testing.T) {
	piece := func(op byte, text string) string { return string([]byte{op, byte(len(text))}) + text }
	sent := piece(0x01, "key "+canary[:7]) + piece(0x89, "ping") + piece(0x00, canary[7:20]) +
		piece(0x80, canary[20:]+" end") + "\xc1\x01x"
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	u := newUpstream(t, reply(switching+sent))
	g := newGate(t, api(u.url), options{})
	c := g.dial()
	_, _ = io.WriteString(c,
		"GET /s/api/x HTTP/1.1\r\nHost: gate\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Sallyport-Token: "+
			tokens.value["good"]+"\r\n\r\n")
	all, _ := io.ReadAll(c)
	_, got, _ := strings.Cut(string(all), "\r\n\r\n")
	stars := strings.Repeat("*", len(canary))
	want := piece(0x01, "key "+stars[:7]) + piece(0x89, "ping") + piece(0x00, stars[7:20]) +
		piece(0x80, stars[20:]+" end")
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if o := g.finished(); o.Scrubbed != 1 || o.Code != fault.UpstreamMalformed {
		t.Errorf("got %+v", o)
	}
}

// TestTokenEndpoint has the token of a real token server, by the service's own guarded transport.
func TestTokenEndpoint(t *testing.T) {
	ts := tokenserver.Start(t)
	ts.Clients["me"] = tokenserver.Client{Auth: "basic", Secret: canary}
	yaml := strings.Replace(lark(ts.URL), "https://tokens.test/token", ts.URL+"/token", 1)
	g := newGate(t, yaml, options{parts: func(s *service.Service) []credential.Part {
		at, _ := url.Parse(setting.Text(&s.Config.Credential, "token_url"))
		transport, err := s.TokenTransport(at)
		if err != nil {
			t.Fatal(err)
		}
		m, err := derive.NewClientCredentials(derive.ClientCredentialsOptions{
			Endpoint: derive.Endpoint{URL: at.String(), Transport: transport},
			Client:   derive.ClientAuth{ID: "me", Secret: value(canary)},
		})
		if err != nil {
			t.Fatal(err)
		}
		vault := &derive.Memory{}
		source := derive.New(derive.Options{Name: s.Name, Minter: m, Vault: vault, Owner: vault})
		t.Cleanup(source.Close)
		return []credential.Part{{Spec: s.Specs[0], Source: source, Hidden: []secret.Value{value(canary)}}}
	}})
	for range 3 {
		g.do("GET", "/s/api/api").wantStatus(t, 200)
	}
	for n, path := range []string{"/s/api/api", "/s/api/api?quiet"} {
		ts.Expire(fmt.Sprintf("access-token-%d", n+1))
		if a := g.do("GET", path); a.StatusCode != 200 || !strings.Contains(string(a.body), "fine") {
			t.Errorf("%s: got %s", path, a.raw)
		}
	}
	if r := ts.Record(); r.Minted != 3 || r.Overlaps != 0 {
		t.Errorf("got %+v", r)
	}
}

// TestTokenEndpointIsGuarded is a part of invariant 2: the token endpoint's address is checked like the API's.
func TestTokenEndpointIsGuarded(t *testing.T) {
	other := newUpstream(t, nil)
	yaml := strings.Replace(lark("https://api.example.com"), "127.0.0.1/32", "127.0.0.2/32", 1)
	s, _ := table(t, yaml, options{parts: static(canary)}).Lookup("api")
	at, _ := url.Parse(other.url + "/token")
	transport, err := s.TokenTransport(at)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, at.String(),
		strings.NewReader("client_secret="+canary))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := transport.RoundTrip(req); err == nil {
		_ = resp.Body.Close()
		t.Error("an address that is not public was dialled")
	}
	other.untouched(t)
	for _, foreign := range []string{"https://elsewhere.example/token"} {
		req.URL, _ = url.Parse(foreign)
		if resp, err := transport.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
			t.Error("the transport to one endpoint led to another")
		}
	}
}
