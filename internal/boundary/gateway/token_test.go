package gateway_test

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"strings"
	"testing"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// TestNoTokenNoDial is invariant 3: whatever is wrong with the token, nobody connects to the API.
func TestNoTokenNoDial(t *testing.T) {
	v := tokens.value
	good := "X-Sallyport-Token: " + v["good"]
	forged := v["good"][:len(v["good"])-1] + map[bool]string{true: "a", false: "b"}[!strings.HasSuffix(v["good"], "a")]
	for _, c := range []struct {
		name   string
		lines  []string
		code   fault.Code
		status int // 0: the code's own
	}{
		{"none", nil, fault.TokenMissing, 0},
		{"an API key instead", []string{"Authorization: Bearer sk-live-1234567890"}, fault.TokenMissing, 401},
		{"an API key in its own header instead", []string{"X-Api-Key: sk-live-1234567890"}, fault.TokenMissing, 401},
		{"empty", []string{"X-Sallyport-Token:"}, fault.TokenInvalid, 0},
		{"unknown", []string{"X-Sallyport-Token: spt_unknown"}, fault.TokenInvalid, 0},
		{"wrong check sum", []string{"X-Sallyport-Token: " + forged}, fault.TokenInvalid, 0},
		{"without its prefix", []string{"X-Sallyport-Token: " + strings.TrimPrefix(v["good"], "spt_")}, fault.TokenInvalid, 0},
		{"with something behind it", []string{"X-Sallyport-Token: " + v["good"] + "x"}, fault.TokenInvalid, 0},
		{"in upper case", []string{"X-Sallyport-Token: " + strings.ToUpper(v["good"])}, fault.TokenInvalid, 0},
		{"expired", []string{"X-Sallyport-Token: " + v["expired"]}, fault.TokenExpired, 0},
		{"revoked", []string{"X-Sallyport-Token: " + v["revoked"]}, fault.TokenRevoked, 0},
		{"other service", []string{"X-Sallyport-Token: " + v["elsewhere"]}, fault.RequestDenied, 0},
		{"other method", []string{"X-Sallyport-Token: " + v["get"]}, fault.RequestDenied, 0},
		{"other source", []string{"X-Sallyport-Token: " + v["far"]}, fault.RequestDenied, 0},
		{"other service, in the slot", []string{"X-Api-Key: " + v["elsewhere"]}, fault.RequestDenied, 403},
		{"two headers", []string{good, good}, fault.TokenInvalid, 0},
		{"two valid ones", []string{good, "Authorization: Bearer " + v["other"]}, fault.TokenInvalid, 401},
		{"a wrong one beside", []string{good, "Authorization: Bearer spt_unknown"}, fault.TokenInvalid, 401},
		{"a wrong one before", []string{"Authorization: Bearer spt_unknown", good}, fault.TokenInvalid, 401},
		{"a foreign Proxy-Authorization beside", []string{good, "Proxy-Authorization: " + basic("user", "password")}, fault.TokenInvalid, 0},
		{"broken Basic", []string{"Proxy-Authorization: Basic %%%"}, fault.TokenInvalid, 0},
		{"two Authorization", []string{"Authorization: Bearer " + v["good"], "Authorization: Bearer sk-live"}, fault.TokenInvalid, 401},
		{"a wrong one in the slot", []string{good, "X-Api-Key: spt_unknown"}, fault.TokenInvalid, 401},
		{"a revoked one in the slot", []string{good, "X-Api-Key: " + v["revoked"]}, fault.TokenInvalid, 401},
		{"expired, in the slot", []string{"X-Api-Key: " + v["expired"]}, fault.TokenExpired, 401},
		{"revoked, in Authorization", []string{"Authorization: Bearer " + v["revoked"]}, fault.TokenRevoked, 401},
		{"unknown, in Basic", []string{"Authorization: " + basic("n8n", "spt_unknown")}, fault.TokenInvalid, 401},
		{"revoked, for the proxy", []string{"Proxy-Authorization: Bearer " + v["revoked"], "Authorization: Bearer sk-live-1"}, fault.TokenRevoked, 407},
		{"revoked, beside a key for the API", []string{"X-Sallyport-Token: " + v["revoked"], "Authorization: Bearer sk-live-1"}, fault.TokenRevoked, 401},
		{"in another header", []string{"X-Other: " + v["good"]}, fault.TokenMissing, 0},
		{"in a cookie", []string{"Cookie: t=" + v["good"]}, fault.TokenMissing, 0},

		{"a list", []string{"X-Sallyport-Token: " + v["revoked"] + ", " + v["good"]}, fault.TokenInvalid, 0},
		{"a list of twice the same", []string{good + ", " + v["good"]}, fault.TokenInvalid, 0},
		{"a list without a blank", []string{"X-Sallyport-Token: " + v["revoked"] + "," + v["good"]}, fault.TokenInvalid, 0},
		{"a list with a scheme", []string{"X-Sallyport-Token: Bearer " + v["revoked"] + ", Bearer " + v["good"]}, fault.TokenInvalid, 0},
		{"a list of words", []string{"X-Sallyport-Token: nonsense, " + v["good"]}, fault.TokenInvalid, 0},
		{"two words", []string{"X-Sallyport-Token: " + v["revoked"] + " " + v["good"]}, fault.TokenInvalid, 0},
		{"three words", []string{"X-Sallyport-Token: Bearer Bearer " + v["good"]}, fault.TokenInvalid, 0},
		{"a list for the proxy", []string{"Proxy-Authorization: Bearer x, Bearer " + v["good"]}, fault.TokenInvalid, 0},
		{"a list in the slot", []string{"Authorization: Bearer " + v["revoked"] + ", Bearer " + v["good"]}, fault.TokenInvalid, 401},
		{"a list in the slot behind a key", []string{"Authorization: Bearer sk-live, Bearer " + v["good"]}, fault.TokenInvalid, 401},
		{"a list in the slot beside the good one", []string{good, "X-Api-Key: sk-live, " + v["good"]}, fault.TokenInvalid, 401},
		{"two halves of a pair", []string{"Authorization: " + basic(v["good"], v["other"])}, fault.TokenInvalid, 401},
		{"two halves of a pair for the proxy", []string{"Proxy-Authorization: " + basic(v["revoked"], v["good"])}, fault.TokenInvalid, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t,
				api(u.url, "credential: {kind: header, header: X-Api-Key, secret: ref+builtin://canary}"), options{})
			a := g.do("POST", "/s/api/x", append(c.lines, "-", "Content-Length: 2", "\r\nhi")...)
			a.wantFaultAs(t, c.code, cmp.Or(c.status, fault.Lookup(c.code).Status))
			u.untouched(t)
			g.refusedOnly(1, c.code)
		})
	}
}

// TestRefusedInTheWordsOfTheAPI: where the API's own key would stand, a bad token is a bad key: 401.
func TestRefusedInTheWordsOfTheAPI(t *testing.T) {
	revoked := tokens.value["revoked"]
	for _, c := range []struct{ name, service, target, line string }{
		{"query", "credential: {kind: query, param: key, secret: ref+builtin://canary}", "/s/api/x?a=b&key=%s", "X-Nothing: 1"},
		{"cookie", "credential: {kind: cookie, cookie: session, secret: ref+builtin://canary}", "/s/api/x", "Cookie: a=b; session=%s"},
		{"path", `credential: {kind: path, format: "/bot{secret}", secret: ref+builtin://canary}`, "/s/api/bot%s/getMe", "X-Nothing: 1"},
		{"token=", "credential: {kind: header, header: Authorization, format: \"Token token={secret}\", secret: ref+builtin://canary}", "/s/api/x", "Authorization: Token token=%s"},
		{"no service", "credential: {kind: bearer, secret: ref+builtin://canary}", "/s/nothing/x", "Authorization: Bearer %s"},
		{"no service, a header of its own", "credential: {kind: bearer, secret: ref+builtin://canary}", "/s/nothing/x", "X-Goog-Api-Key: %s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url, c.service), options{secret: "canary-" + randomHex()})
			put := strings.NewReplacer("%s", revoked)
			g.do("GET", put.Replace(c.target), "-", put.Replace(c.line)).wantFaultAs(t, fault.TokenRevoked, 401)
			put = strings.NewReplacer("%s", "123456:AAEkey")
			g.do("GET", put.Replace(c.target), "-", put.Replace(c.line)).wantFaultAs(t, fault.TokenMissing, 401)
			u.untouched(t)
		})
	}
}

// TestUnknownServiceIsNamed: whoever has a good token learns that the service is unknown, wherever its client puts the
// key.
func TestUnknownServiceIsNamed(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	good := tokens.value["good"]
	for _, line := range []string{
		"X-Api-Key: " + good, "X-Goog-Api-Key: " + good, "X-Auth-Token: Bearer " + good,
		"Authorization: " + basic("api", good),
	} {
		g.do("GET", "/s/nothing/x", "-", line).wantFaultAs(t, fault.ServiceUnknown, 404)
	}
	g.do("GET", "/s/nothing/x?a=b&key="+good, "-").wantFaultAs(t, fault.ServiceUnknown, 404)
	g.do("GET", "/s/nothing/x", "-", "X-Api-Key: "+good, "X-Auth-Token: "+tokens.value["revoked"]).wantFaultAs(t,
		fault.TokenInvalid, 401)
	u.untouched(t)
}

// TestTokenInQueryOfAnotherKind: a query parameter is a place for the token only where the service's own key is one.
func TestTokenInQueryOfAnotherKind(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	g.do("GET", "/s/api/x?key="+tokens.value["good"], "-").wantFault(t, fault.TokenMissing)
	u.untouched(t)
	g.refusedOnly(1, fault.TokenMissing)
}

func TestTokenPlaces(t *testing.T) {
	v := tokens.value["good"]
	header := "credential: {kind: header, header: X-Api-Key, secret: ref+builtin://canary}"
	query := "credential: {kind: query, param: api_key, secret: ref+builtin://canary}"
	for _, c := range []struct{ name, service, target, line string }{
		{"own header", header, "/s/api/x", "X-Sallyport-Token: " + v},
		{"own header, Bearer", header, "/s/api/x", "X-Sallyport-Token: Bearer " + v},
		{"own header in lower case", header, "/s/api/x", "x-sallyport-token: " + v},
		{"Proxy-Authorization Bearer", header, "/s/api/x", "Proxy-Authorization: Bearer " + v},
		{"Proxy-Authorization Basic user", header, "/s/api/x", "Proxy-Authorization: " + basic(v, "")},
		{"Proxy-Authorization Basic password", header, "/s/api/x", "Proxy-Authorization: " + basic("n8n", v)},
		{"Authorization Bearer", header, "/s/api/x", "Authorization: Bearer " + v},
		{"Authorization, a parameter", header, "/s/api/x", "Authorization: Token token=" + v},
		{"Authorization, a quoted parameter", header, "/s/api/x", `Authorization: Token token="` + v + `"`},
		{"own header, two blanks", header, "/s/api/x", "X-Sallyport-Token: Bearer  " + v},
		{"Authorization bare", header, "/s/api/x", "Authorization: " + v},
		{"Authorization Basic user", header, "/s/api/x", "Authorization: " + basic(v, "x")},
		{"Authorization Basic password", header, "/s/api/x", "Authorization: " + basic("api", v)},
		{"header slot", header, "/s/api/x", "X-Api-Key: " + v},
		{"query slot", query, "/s/api/x?a=%20b&api_key=" + v + "&c", "X-Nothing: 1"},
		{"query slot, name escaped", query, "/s/api/x?a=%20b&api%5fkey=" + v + "&c", "X-Nothing: 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url, c.service), options{})
			g.do("GET", c.target, "-", c.line).wantStatus(t, 200)
			r := u.only(t)
			if strings.Contains(r.head, "spt_") ||
				strings.Contains(r.head, base64.StdEncoding.EncodeToString([]byte(v))[:20]) {
				t.Errorf("the proxy token reached the API:\n%s", r.head)
			}
			if got := r.Header.Get("X-Api-Key"); c.service == header && got != canary {
				t.Errorf("got X-Api-Key %q, want the credential", got)
			}
			if got := r.URL.Query().Get("api_key"); c.service == query &&
				(got != canary || !strings.HasPrefix(r.URL.RawQuery, "a=%20b&c&api_key=")) {
				t.Errorf("got query %q, want the credential behind the rest as it was", r.URL.RawQuery)
			}
		})
	}
}

// TestTokenStaysHere: a token that also stands where it would travel on is refused, and on record without it.
func TestTokenStaysHere(t *testing.T) {
	v := tokens.value["good"]
	percent := "%73%70%74" + v[3:]
	for _, c := range []struct {
		name, target string
		lines        []string
	}{
		{"path", "/s/api/x/" + v, nil},
		{"path, escaped", "/s/api/x/" + percent, nil},
		{"query", "/s/api/x?token=" + v, nil},
		{"query, escaped", "/s/api/x?token=" + percent, nil},
		{"query, bare", "/s/api/x?" + v, nil},
		{"header", "/s/api/x", []string{"X-Copy: Bearer " + v}},
		{"header, Basic", "/s/api/x", []string{"X-Copy: " + basic(v, "")}},
		{"header, Basic password", "/s/api/x", []string{"X-Copy: " + basic("api", v)}},
		{"Referer", "/s/api/x", []string{"Referer: https://n8n.example/?t=" + v}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url), options{})
			g.do("GET", c.target, c.lines...).wantFault(t, fault.RequestMalformed)
			u.untouched(t)
		})
	}
}

// TestTokenIsNotRecorded puts tokens where the audit log keeps what callers say.
func TestTokenIsNotRecorded(t *testing.T) {
	v := tokens.value["other"]
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, "cookies: pass"), options{})
	g.do("GET", "/s/api/x", "X-Sallyport-Workflow: w "+v, "X-Sallyport-Node: "+v,
		"X-Sallyport-Execution: "+v).wantStatus(t, 200)
	for _, target := range []string{
		"/s/" + v + "/x", "/" + v, "/s/api/" + v, "/s/api/x?" + v + "=1", "/s/api/x?a=" + v,
		"/s/api/%2e%2e/" + v,
	} {
		g.do("GET", target, "-")
	}
	g.do(v, "/s/api/x", "-")
	g.stop()
}

// TestSecretIsNotRecorded puts the credential itself into requests that are refused.
func TestSecretIsNotRecorded(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, `allow: ["GET /v1/**"]`), options{})
	g.do("GET", "/s/api/v2/"+canary).wantFault(t, fault.RequestDenied)
	g.do("GET", "/s/api/v1/"+canary, "X-Sallyport-Workflow: "+canary).wantStatus(t, 200)
	g.stop()
}

func TestUnknownService(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url), options{})
	for _, target := range []string{
		"/s/nothing/x", "/s/", "/", "/x", "/s", "/s/API/x", "/s/ap%69/x",
		"/s//whoami", "/-/refused",
	} {
		a := g.do("GET", target)
		a.wantFault(t, fault.ServiceUnknown)
	}
	u.untouched(t)
	g.refusedOnly(9, fault.ServiceUnknown)
}

func TestWhoami(t *testing.T) {
	g := newGate(t, api("http://127.0.0.1:1"), options{})
	a := g.do("GET", "/whoami")
	if a.StatusCode != 200 || !strings.Contains(string(a.body), `"name":"good"`) {
		t.Errorf("got %s", a.raw)
	}
	for name, code := range map[string]fault.Code{"revoked": fault.TokenRevoked, "expired": fault.TokenExpired} {
		g.do("GET", "/whoami", "-", "X-Sallyport-Token: "+tokens.value[name]).wantFault(t, code)
	}
	g.do("GET", "/whoami", "-").wantFault(t, fault.TokenMissing)
	g.do("GET", "/whoami", "-", "X-Sallyport-Token: "+tokens.value["far"]).wantFault(t, fault.RequestDenied)
	g.do("GET", "/whoami", "-", "Authorization: Bearer "+tokens.value["far"]).wantFault(t, fault.RequestDenied)
	events := map[string]int{}
	for _, r := range g.records() {
		events[r.Event]++
	}
	if events["authorised"] != 1 || events["completed"] != 1 || events["refused"] != 5 {
		t.Errorf("got records %v, want each request on record", events)
	}
}

// TestMintSecretIsNotRecorded puts what a token is made with into a request, while there is no token yet.
func TestMintSecretIsNotRecorded(t *testing.T) {
	u := newUpstream(t, nil)
	m := &mint{}
	m.fails.Store(true)
	g := derivedGate(t, m, lark(u.url), options{})
	g.do("GET", "/s/api/x/"+canary, "X-Sallyport-Workflow: "+canary).wantFault(t, fault.CredentialMintFailed)
	g.stop()
}

// TestNothingOnRecordOfStrangers: on the first day nodes still send the real key. Whatever is wrong with such a
// request, and whichever service the key belongs to, no record has it.
func TestNothingOnRecordOfStrangers(t *testing.T) {
	u := newUpstream(t, nil)
	yaml := api(u.url) + "  telegram:\n    upstream: " + u.url +
		"\n    allow_private: [127.0.0.1/32]\n    credential: {kind: path, format: \"/bot{secret}\", secret: " +
		"ref+builtin://canary}\n"
	key := "123456:" + strings.ReplaceAll(canary[5:], "/", "-") + "x"
	g := newGate(t, yaml, options{parts: func(s *service.Service) []credential.Part {
		if s.Name == "telegram" {
			return static(key)(s)
		}
		return static(canary)(s)
	}})
	percent := strings.NewReplacer(":", "%3A", "=", "%3D", "+", "%2b", "/", "%2F", "c", "%63")
	attributes := func(s string) []string {
		return []string{"X-Sallyport-Workflow: w " + s, "X-Sallyport-Node: " + s, "X-Sallyport-Execution: " + s}
	}
	for _, secret := range []string{
		key, percent.Replace(key), percent.Replace(percent.Replace(key)), canary,
		percent.Replace(canary), base64.StdEncoding.EncodeToString([]byte("x" + canary)),
	} {
		for _, target := range []string{
			"/s/telegram/bot" + secret + "/getMe", "/s/nothing/bot" + secret,
			"/bot" + secret + "/getMe", "/s/" + secret + "/x", "/s/api/x?" + secret + "=1", "/s/api/%2e%2e/" + secret,
			"/s/api/" + secret,
		} {
			g.do("GET", target, append(attributes(secret), "-")...)
			g.do("GET", target, attributes(secret)...)
			g.do("GET", target, append(attributes(secret), "-", "X-Sallyport-Token: "+tokens.value["revoked"])...)
		}
	}
	for _, method := range []string{"G" + hex.EncodeToString([]byte(key)), "123456.AAEhBOweik6ad6PsVxhOi0a", "A!B"} {
		g.do(method, "/s/api/x", "-")
		g.do(method, "/s/api/x")
	}
	const unheld = "987654:AAEhBOweik6ad6PsVxhOi0aExampleKey"
	for _, target := range []string{
		"/bot" + unheld + "/getMe", "/s/telegram/bot" + unheld + "/getMe",
		"/s/sk-live-0123456789abcdef0123/x", "/v1/x?" + unheld,
	} {
		a := g.do("GET", target, append(attributes(unheld), "-")...)
		if strings.Contains(a.raw, "AAEhBO") || strings.Contains(a.raw, "sk-live") {
			t.Errorf("the response has the key: %s", a.raw)
		}
	}
	a := g.do("GET", "/s/sk-live-0123456789abcdef0123/x")
	if a.wantFault(t, fault.ServiceUnknown); strings.Contains(a.raw, "sk-live") {
		t.Errorf("the response has the key: %s", a.raw)
	}
	g.records()
	data, err := os.ReadFile(g.auditAt)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{
		key, percent.Replace(key), url.PathEscape(key), hex.EncodeToString([]byte(key)),
		unheld, "sk-live", "AAEhBO", "A!B",
	} {
		if strings.Contains(string(data), form) {
			t.Errorf("the audit log has %q", form)
		}
	}
	if !strings.Contains(string(data), "getMe") {
		t.Error("the records have lost what is no secret")
	}
}
