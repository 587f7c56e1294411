package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/testkit/tokenserver"
)

// credentialOfEach has every kind, in each of the places where it puts something. A new kind gets its lines here.
var credentialOfEach = map[string][]string{
	"bearer": {"{kind: bearer, secret: ref+builtin://one}"},
	"header": {"{kind: header, header: X-Api-Key, secret: ref+builtin://one}", "{kind: header, header: apikey, secret: ref+builtin://one}"},
	"basic":  {"{kind: basic, username: me, secret: ref+builtin://one}"},
	"query":  {"{kind: query, param: api_key, secret: ref+builtin://one}"},
	"cookie": {"{kind: cookie, cookie: session, secret: ref+builtin://one}"},
	"path":   {"{kind: path, format: '/bot{secret}', secret: ref+builtin://one}"},
	"body": {
		"{kind: body, pointer: /auth/key, secret: ref+builtin://one}",
		"{kind: body, pointer: /key, as: form, secret: ref+builtin://one}",
	},
	"none": {"{kind: none}"},
	"oauth2_client_credentials": {
		clientCredentials(),
		strings.TrimSuffix(clientCredentials(), "}") + ", place: {kind: header, header: X-Auth-Token}}",
	},
	"jwt_bearer":           {"{kind: jwt_bearer, token_url: /token, issuer: issuer, key: ref+builtin://ec}"},
	"oauth2_refresh_token": {refreshing(", refresh_token: ref+builtin://refresh")},
	"github_app":           {"{kind: github_app, api_url: '%[1]s', app_id: '12345', installation_id: '678', key: ref+builtin://rsa}"},
	"exchange": {
		loginCall(", place: {kind: header, header: X-Session-Id}"),
		loginCall(", place: {kind: query, param: access_token}"),
		loginCall(", place: {kind: cookie, cookie: sid}"),
	},
	"aws_sigv4": {"{kind: aws_sigv4, access_key: AKIDEXAMPLE, secret_key: ref+builtin://one, session_token: ref+builtin://two, region: eu-west-1, service: s3}"},
	"hmac": {
		"{kind: hmac, secret: ref+builtin://one, message: '{timestamp}.{body}', header: X-Signature, set_headers: {X-Time-Stamp: '{timestamp}', X-Nonce: '{nonce}'}}",
		"{kind: hmac, secret: ref+builtin://one, message: '{body}', param: sig}",
	},
	"oauth1": {"{kind: oauth1, consumer_key: key, consumer_secret: ref+builtin://one, access_token: ref+builtin://two, token_secret: ref+builtin://one}"},
	"digest": {"{kind: digest, username: n8n, secret: ref+builtin://one}"},
}

// forged is what a caller writes wherever a credential goes.
const forged = "forged-by-the-caller"

// added is what a gate has put onto a request.
type added struct {
	headers, params, cookies []string
	path                     bool
}

// TestCallersCannotForgeCredentials is a part of invariant 2: whatever a kind of credential puts onto a request, the
// caller has no say in it, under no spelling of its name. What a kind puts there is looked at where it arrives, and not
// asked of the kind: one that does not declare a place (Spec, Headers) fails.
func TestCallersCannotForgeCredentials(t *testing.T) {
	f := newForger(t)
	plain := f.arrives(t, "none-0", nil, "", "")
	for _, kind := range app.Kinds().Credentials {
		if len(credentialOfEach[kind.Name]) == 0 {
			t.Errorf("the kind %s is not held to this: add a credential to credentialOfEach", kind.Name)
		}
		for i := range credentialOfEach[kind.Name] {
			name := fmt.Sprintf("%s-%d", strings.ReplaceAll(kind.Name, "_", "-"), i)
			t.Run(name, func(t *testing.T) {
				own := f.arrives(t, name, nil, "", "")
				a := difference(t, plain, own)
				f.declared(t, name, &a)
				f.forge(t, name, &a, own)
			})
		}
	}
}

// forger is a gate with a service of every line of credentialOfEach before one API.
type forger struct {
	bed  *bed
	gate *app.App
	api  *mirrored
}

func newForger(t *testing.T) *forger {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	api := &mirrored{tokens: tokenserver.New()}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	api.tokens.URL = server.URL
	api.tokens.Clients["basic"] = tokenserver.Client{Auth: "basic", Secret: clientSecret}
	api.tokens.Users["n8n"] = clientSecret
	api.tokens.Issuers["issuer"] = ecKey.Public()
	api.tokens.App, api.tokens.Issuers["12345"] = "12345", rsaKey.Public()

	b := newBed(t, func(string) string {
		text := listen + "services:\n"
		for _, kind := range slices.Sorted(maps.Keys(credentialOfEach)) {
			for i, one := range credentialOfEach[kind] {
				at := map[bool]string{true: "/digest"}[kind == "digest"]
				text += fmt.Sprintf("  %s-%d:\n    upstream: %%[1]s%s\n    allow_private: [127.0.0.1/32]\n"+
					"    cookies: pass\n    credential: %s\n", strings.ReplaceAll(kind, "_", "-"), i, at, one)
			}
		}
		return fmt.Sprintf(text, server.URL)
	})
	for name, value := range map[string]string{
		"one": "value-one-canary", "two": "value-two-canary", "client": clientSecret, "password": clientSecret,
		"ec": pemKey(t, ecKey), "rsa": pemKey(t, rsaKey), "refresh": api.tokens.Grant("basic"),
	} {
		b.put(name, value)
	}
	return &forger{b, b.serve(), api}
}

// call makes a request with what a caller adds to it, and returns the status and what arrived last; nil: nothing did.
func (f *forger) call(t *testing.T, name string, h http.Header, query, body string) (int, *arrived) {
	t.Helper()
	f.api.last.Store(nil)
	target := f.gate.GatewayURL() + "/s/" + name + "/call?a=1"
	if query != "" {
		target += "&" + query
	}
	form := body != "" && body[0] != '{' || strings.HasPrefix(name, "body-1")
	if body == "" {
		body = map[bool]string{true: "row=1", false: `{"row":1}`}[form]
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"X-Sallyport-Token": {f.bed.token}, "Cookie": {"mine=1"}, "Content-Type": {"application/json"},
	}
	if form {
		req.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	}
	maps.Copy(req.Header, h)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, f.api.last.Load()
}

// arrives is call for a request that the API has to get.
func (f *forger) arrives(t *testing.T, name string, h http.Header, query, body string) *arrived {
	t.Helper()
	status, got := f.call(t, name, h, query, body)
	if status != http.StatusOK || got == nil {
		t.Fatalf("with %q, %q and %q: status %d", h, query, body, status)
	}
	return got
}

// difference is what the gate has put onto a request, by the same one without a credential.
func difference(t *testing.T, plain, own *arrived) (a added) {
	t.Helper()
	for name := range own.header {
		if _, without := plain.header[name]; !without {
			a.headers = append(a.headers, name)
		}
	}
	for name := range own.query(t) {
		if name != "a" {
			a.params = append(a.params, name)
		}
	}
	for _, c := range own.cookies() {
		if c.Name != "mine" {
			a.cookies = append(a.cookies, c.Name)
		}
	}
	a.path = strings.TrimPrefix(own.url.Path, "/digest") != plain.url.Path
	return a
}

// declared wants a kind to say of everything that it puts onto requests where that stands.
func (f *forger) declared(t *testing.T, name string, a *added) {
	settings, ok := f.bed.load().Services[name].Credential.Settings.(credential.Settings)
	if !ok {
		t.Fatal("no credential.Settings")
	}
	slot := settings.Spec().Slot()
	headers := []string{slot.Header}
	if more, ok := settings.(interface{ Headers() []string }); ok {
		for _, one := range more.Headers() {
			headers = append(headers, http.CanonicalHeaderKey(one))
		}
	}
	for _, one := range a.headers {
		if !slices.Contains(headers, one) {
			t.Errorf("it sets the header %s, which neither Spec nor Headers has: %q", one, headers)
		}
	}
	for _, one := range a.params {
		if one != slot.Param {
			t.Errorf("it sets the parameter %s, which Spec has not: %+v", one, slot)
		}
	}
	for _, one := range a.cookies {
		if one != slot.Cookie {
			t.Errorf("it sets the cookie %s, which Spec has not: %+v", one, slot)
		}
	}
	if a.path != (slot.Path != "") {
		t.Errorf("it is in the path: %v; Spec has %+v", a.path, slot)
	}
	if len(a.headers)+len(a.params)+len(a.cookies) == 0 && !a.path &&
		!strings.HasPrefix(name, "none") && !strings.HasPrefix(name, "body") {
		t.Error("it puts nothing onto a request")
	}
}

// forge writes something of the caller's in each of the places, under every spelling: either the request is refused, or
// the gate's own arrives, once and alone.
func (f *forger) forge(t *testing.T, name string, a *added, own *arrived) {
	for _, header := range a.headers {
		twin := strings.ReplaceAll(header, "-", "_")
		for _, spelled := range []string{header, strings.ToLower(header), strings.ToUpper(header)} {
			got := f.arrives(t, name, http.Header{spelled: {forged}}, "", "")
			got.free(t, spelled)
			if n := len(got.header[header]); n != 1 {
				t.Errorf("%s arrived %d times", header, n)
			}
		}
		for _, spelled := range []string{twin, strings.ToLower(twin), header + "_", "_" + header} {
			if !strings.Contains(spelled, "_") {
				continue
			}
			if _, got := f.call(t, name, http.Header{spelled: {forged}}, "", ""); got != nil {
				got.free(t, spelled)
			}
		}
	}
	for _, param := range a.params {
		escaped := fmt.Sprintf("%%%02x%s", param[0], param[1:])
		for _, query := range []string{
			param + "=" + forged, escaped + "=" + forged, "b=1;" + param + "=" + forged,
			param + "=" + forged + "&" + param + "=" + forged,
		} {
			got := f.arrives(t, name, nil, query, "")
			got.free(t, query)
			if n := len(got.query(t)[param]); n != 1 {
				t.Errorf("with %s, %s arrived %d times", query, param, n)
			}
		}
	}
	for _, cookie := range a.cookies {
		for _, lines := range [][]string{
			{cookie + "=" + forged},
			{"mine=1; " + cookie + "=" + forged + "; " + cookie + "=" + forged},
			{cookie + `="` + forged + `"`, "mine=1;" + cookie + "=" + forged},
		} {
			got := f.arrives(t, name, http.Header{"Cookie": lines}, "", "")
			got.free(t, strings.Join(lines, " | "))
			n := 0
			for _, c := range got.cookies() {
				if c.Name == cookie {
					n++
				}
			}
			if n != 1 {
				t.Errorf("with %q, %s arrived %d times", lines, cookie, n)
			}
		}
	}
	if a.path && !strings.HasPrefix(own.url.Path, "/botvalue-one-canary/") {
		t.Errorf("got the path %s", own.url.Path)
	}
	switch name {
	case "body-0":
		f.arrives(t, name, nil, "", `{"auth":{"key":"`+forged+`"}}`).free(t, "the body")
		f.arrives(t, name, nil, "", `{"auth":{"k\u0065y":"`+forged+`"}}`).free(t, "the body")
		if _, got := f.call(t, name, nil, "", `{"auth":{"key":"`+forged+`","key":"`+forged+`"}}`); got != nil {
			got.free(t, "the body, twice")
		}
	case "body-1":
		f.arrives(t, name, nil, "", "key="+forged).free(t, "the body")
		if _, got := f.call(t, name, nil, "", "key="+forged+"&k%65y="+forged); got != nil {
			got.free(t, "the body, twice")
		}
	}
}

// mirrored is an API that keeps the last call, and gives tokens at the endpoints of a token server. It challenges
// whoever comes below /digest without Authorization.
type mirrored struct {
	tokens *tokenserver.Server
	last   atomic.Pointer[arrived]
}

// ServeHTTP implements http.Handler.
func (m *mirrored) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/call") {
		m.tokens.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if strings.HasPrefix(r.URL.Path, "/digest") && r.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", `Digest realm="mirror", nonce="abc", qop="auth", algorithm=SHA-256`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	m.last.Store(&arrived{r.URL, r.Header, string(body)})
}

// arrived is a call as the API got it.
type arrived struct {
	url    *url.URL
	header http.Header
	body   string
}

func (a *arrived) cookies() []*http.Cookie { return (&http.Request{Header: a.header}).Cookies() }

// query reads the parameters as lenient servers do: semicolons divide them too.
func (a *arrived) query(t *testing.T) url.Values {
	t.Helper()
	values, err := url.ParseQuery(strings.ReplaceAll(a.url.RawQuery, ";", "&"))
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// free wants nothing that the caller wrote where a credential goes, which it spelled so.
func (a *arrived) free(t *testing.T, spelled string) {
	t.Helper()
	if text := fmt.Sprint(a.url, a.header, a.body); strings.Contains(text, forged) {
		t.Errorf("what the caller wrote as %s arrived: %s", spelled, text)
	}
}
