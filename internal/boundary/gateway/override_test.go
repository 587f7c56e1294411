package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/boundary"
	"sallyport/internal/fault"
)

// TestMethodOverrides: however a request names another method, that one has to be permitted, too.
func TestMethodOverrides(t *testing.T) {
	const rules = `allow: ["GET /items/**", "POST /items/**", "PATCH /items/9", "* /open/**"]`
	multipart := "--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--b--\r\n"
	for _, c := range []struct {
		method, target, header, body string
		refused                      bool
	}{
		{"POST", "/items/1", "X-HTTP-Method-Override: DELETE", "", true},
		{"POST", "/items/1", "X_HTTP_Method_Override: DELETE", "", true},
		{"POST", "/items/1", "x_http_method_override: delete", "", true},
		{"GET", "/items/1", "X-Method: DELETE", "", true},
		{"POST", "/items/1", "X-HTTP-Method: merge", "", true},
		{"POST", "/items/1?_method=DELETE", "X: y", "", true},
		{"POST", "/items/1?_HttpMethod=PATCH", "X: y", "", true},
		{"POST", "/items/9?_HttpMethod=PATCH", "X: y", "", false},
		{"POST", "/items/1?%5fhttp%6dethod=delete", "X: y", "", true},
		{"GET", "/items/1?method=delete", "X: y", "", true},
		{"GET", "/items/1?method=flickr.test", "X: y", "", false},
		{"POST", "/items/1", "X-HTTP-Method-Override: get", "", false},
		{"POST", "/open/1?_method=DELETE", "X-HTTP-Method-Override: FROB", "", false},
		{"POST", "/open/1?_method=TRACE", "X: y", "", true},
		{"POST", "/open/1", "X-HTTP-Method-Override: track", "", true},
		{"POST", "/items/1", "Content-Type: application/x-www-form-urlencoded", "a=b&_method=DELETE", true},
		{"POST", "/items/1", "Content-Type: application/x-www-form-urlencoded", "a=b&method=DELETE", false},
		{"POST", "/open/1", "Content-Type: application/x-www-form-urlencoded", "a=b&_method=DELETE", false},
		{"POST", "/items/1", "Content-Type: multipart/form-data; boundary=b", multipart, true},
		{"POST", "/items/1", "Content-Type: application/json", `{"_method": "DELETE"}`, true},
		{"POST", "/items/1", "Content-Type: application/json", `{"a": "_method"}`, false},
		{"POST", "/items/1", "Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip", "xx", true},
	} {
		t.Run(c.method+" "+c.target+" "+c.header+" "+c.body, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url, rules), options{})
			a := g.do(c.method, "/s/api"+c.target, c.header,
				fmt.Sprintf("Content-Length: %d", len(c.body)), "\r\n"+c.body)
			if c.refused {
				a.wantFault(t, fault.RequestDenied)
			} else {
				a.wantStatus(t, 200)
			}
		})
	}
}

// TestScopeHoldsOverrides: a token's scope names methods as a rule does.
func TestScopeHoldsOverrides(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	token := "X-Sallyport-Token: " + tokens.value["get"]
	for _, line := range []string{
		"X_HTTP_Method_Override: DELETE", "X-Method: post",
		"X-HTTP-Method-Override: GET, PUT",
	} {
		g.do("GET", "/s/api/x", "-", token, line).wantFault(t, fault.RequestDenied)
	}
	g.do("GET", "/s/api/x?_method=put", "-", token).wantFault(t, fault.RequestDenied)
	u.untouched(t)
}

// TestTunnelledBodyIsCutOff: what the API has got of a form when its body breaks off does not have the method's value.
func TestTunnelledBodyIsCutOff(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, `allow: ["POST /**"]`), options{})
	body := strings.Repeat("a=b&", 50_000) + "_method=DELETE"
	g.do("POST", "/s/api/x", "Content-Type: application/x-www-form-urlencoded",
		fmt.Sprintf("Content-Length: %d", len(body)), "\r\n"+body).wantFault(t, fault.RequestDenied)
}

// TestMethodsThatEcho: TRACE by any name and in any case.
func TestMethodsThatEcho(t *testing.T) {
	for _, method := range []string{"TRACE", "trace", "Trace", "TRACK", "track", "CONNECT", "connect"} {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url), options{})
		g.do(method, "/s/api/x").wantFault(t, fault.RequestMalformed)
		u.untouched(t)
	}
}

// TestOverrideWhileRulesTighten: a field of the body that names another method is held against the configuration that
// decided about the request, and against the one that is on its way, from the first byte of the body to the last.
func TestOverrideWhileRulesTighten(t *testing.T) {
	const form, binary = "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/octet-stream"
	const all, postOnly = `allow: ["* /**"]`, `allow: ["POST /**"]`
	const begins, field, plain = "a=b&", "_method=DELETE&c=d", "d=e&f=g"
	for name, c := range map[string]struct {
		kind, before, while, then, rest string
		want                            string
	}{
		"tight before the request":            {form, all, postOnly, "", field, string(fault.RequestDenied)},
		"tight while the body comes":          {form, all, "", postOnly, field, string(fault.RequestDenied)},
		"tight while a harmless form comes":   {form, all, "", postOnly, plain, string(fault.RequestDenied)},
		"tight while JSON comes":              {"Content-Type: application/json", all, "", postOnly, plain, string(fault.RequestDenied)},
		"tight while a file comes":            {binary, all, "", postOnly, field, "200"},
		"tight before a harmless form":        {form, all, postOnly, "", plain, "200"},
		"as wide as before":                   {form, all, "", all, field, "200"},
		"wider while the body comes":          {form, postOnly, "", all, field, string(fault.RequestDenied)},
		"wider while a harmless form comes":   {form, postOnly, "", all, plain, "200"},
		"only next permits, before the field": {form, postOnly, all, "", field, string(fault.RequestDenied)},
	} {
		t.Run(name, func(t *testing.T) {
			came := make(chan string, 10)
			upstream := hear(t, func(conn net.Conn) {
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				first := make([]byte, len(begins))
				_, _ = io.ReadFull(req.Body, first)
				came <- string(first)
				rest, err := io.ReadAll(req.Body)
				if err != nil {
					return
				}
				came <- string(rest)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			})
			g := newGate(t, api(upstream, c.before), options{})
			restrict := func(rules string) {
				if rules != "" {
					g.pipeline.Restrict(&boundary.Configuration{Services: table(g, api(upstream, rules), options{})})
				}
			}
			restrict(c.while)
			conn := g.dial()
			_, _ = io.WriteString(conn,
				request("POST", "/s/api/x", c.kind,
					fmt.Sprintf("Content-Length: %d", len(begins+c.rest)), "\r\n"+begins))
			if got := <-came; got != begins {
				t.Fatalf("the API received %q", got)
			}
			restrict(c.then)
			_, _ = io.WriteString(conn, c.rest)
			answer, _ := io.ReadAll(conn)
			if !strings.Contains(string(answer), c.want) {
				t.Errorf("got %q, want %s", answer, c.want)
			}
			select {
			case rest := <-came:
				if c.want != "200" {
					t.Errorf("the API received %q", rest)
				}
			default:
				if c.want == "200" {
					t.Error("the body did not arrive")
				}
			}
		})
	}
}

// TestBodyAtItsEnd: what has arrived as a whole is not ended by rules that become tighter, while its answer is waited
// for.
func TestBodyAtItsEnd(t *testing.T) {
	called, release := make(chan struct{}), make(chan struct{})
	u := newUpstream(t, func(c net.Conn, _ *received) {
		close(called)
		<-release
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	g := newGate(t, api(u.url), options{})
	done := make(chan *answer, 1)
	go func() {
		done <- g.do("POST", "/s/api/x", "Content-Type: application/json", "Content-Length: 2", "\r\n{}")
	}()
	<-called
	g.pipeline.Restrict(&boundary.Configuration{Services: table(g, api(u.url, `allow: ["POST /**"]`), options{})})
	close(release)
	(<-done).wantStatus(t, 200)
}
