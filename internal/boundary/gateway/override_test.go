package gateway_test

import (
	"fmt"
	"strings"
	"testing"

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
			a := g.do(c.method, "/s/api"+c.target, c.header, fmt.Sprintf("Content-Length: %d", len(c.body)), "\r\n"+c.body)
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
	for _, line := range []string{"X_HTTP_Method_Override: DELETE", "X-Method: post", "X-HTTP-Method-Override: GET, PUT"} {
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
	g.do("POST", "/s/api/x", "Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(body)), "\r\n"+body).wantFault(t, fault.RequestDenied)
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
