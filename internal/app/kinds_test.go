package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/app"
)

// TestKindsOnTheWire: every kind that needs no token endpoint arrives as configuration says, made of the secrets in the
// store; a changed secret arrives with the next request.
func TestKindsOnTheWire(t *testing.T) {
	for name, c := range map[string]struct{ credential, want string }{
		"cookie":  {"credential: {kind: cookie, cookie: session, secret: ref+builtin://one}", `Cookie: session=VALUE1\b`},
		"path":    {"credential: {kind: path, format: '/bot{secret}', secret: ref+builtin://one}", `^POST /botVALUE1/call\n`},
		"body":    {"credential: {kind: body, pointer: /auth/key, secret: ref+builtin://one}", `"auth":\{"key":"VALUE1"\}`},
		"two":     {"credentials: [{kind: header, header: X-One, secret: ref+builtin://one}, {kind: query, param: two, secret: ref+builtin://two}]", `(?s)\?two=VALUE2\n.*X-One: VALUE1\n`},
		"sigv4":   {"credential: {kind: aws_sigv4, access_key: ref+builtin://two, secret_key: ref+builtin://one, region: eu-west-1, service: execute-api}", `Authorization: AWS4-HMAC-SHA256 Credential=VALUE2/\d{8}/eu-west-1/execute-api/aws4_request, SignedHeaders=\S+, Signature=[0-9a-f]{64}`},
		"hmac":    {"credential: {kind: hmac, secret: ref+builtin://one, message: '{timestamp}.{body}', header: X-Signature, format: 't={timestamp},v1={signature}'}", `X-Signature: t=\d+,v1=[0-9a-f]{64}`},
		"oauth1":  {"credential: {kind: oauth1, consumer_key: key, consumer_secret: ref+builtin://one, access_token: ref+builtin://two, token_secret: ref+builtin://one}", `Authorization: OAuth .*oauth_consumer_key="key".*oauth_signature="[^"]+"`},
		"digest":  {"credential: {kind: digest, username: n8n, secret: ref+builtin://one}", `Authorization: Digest .*username="n8n".*response="[0-9a-f]+"`},
		"basic":   {"credential: {kind: basic, username_secret: ref+builtin://two, secret: ref+builtin://one}", `Authorization: Basic \S+`},
		"no kind": {"credential: {kind: none}", `^POST /call\n`},
	} {
		t.Run(name, func(t *testing.T) {
			api := newMirror(t)
			b := newBed(t, func(string) string {
				base := api.URL
				if name == "digest" {
					base += "/challenge"
				}
				return listen + "services:\n  crm:\n    upstream: " + base +
					"\n    allow_private: [127.0.0.1/32]\n    " + c.credential + "\n"
			})
			gate := b.serve()
			for _, generation := range []string{"first", "second"} {
				one, two := "value-one-"+generation, "value-two-"+generation
				b.put("one", one)
				b.put("two", two)
				b.post(gate, "/s/crm/call", `{"row":1}`).is(t, 200, "")
				want := strings.NewReplacer("VALUE1", one, "VALUE2", two).Replace(c.want)
				if got := api.last(); !regexp.MustCompile(want).MatchString(got) {
					t.Errorf("with the %s secrets there arrived\n%s\nwant %s", generation, got, want)
				}
			}
		})
	}
}

// TestUnusableSecrets: what is in the store and cannot be used is told without quoting it, and mends itself when it is
// changed.
func TestUnusableSecrets(t *testing.T) {
	for name, c := range map[string]struct{ credential, want string }{
		"key":             {"{kind: jwt_bearer, token_url: 'https://127.0.0.1/token', issuer: me, key: ref+builtin://one}", "not in PEM"},
		"service account": {"{kind: jwt_bearer, service_account: ref+builtin://one, scopes: [a]}", "not JSON"},
		"line break":      {"{kind: header, header: X-Key, secret: ref+builtin://one}", "line break"},
		"access key":      {"{kind: aws_sigv4, access_key: ref+builtin://one, secret_key: ref+builtin://one, region: a-b-1, service: s}", "access key"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, func(url string) string {
				return listen + "services:\n  crm: {upstream: '" + url +
					"', allow_private: [127.0.0.1/32], credential: " + c.credential + "}\n"
			})
			b.put("one", "canary value\nof two lines")
			gate := b.serve()
			got := b.get(gate.GatewayURL() + "/s/crm/")
			got.is(t, 503, c.want)
			if strings.Contains(got.body+b.log.String(), "canary") {
				t.Errorf("the secret is quoted: %s\n%s", got.body, b.log)
			}
		})
	}
}

func (b *bed) post(gate *app.App, path, body string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, gate.GatewayURL()+path,
		strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Sallyport-Token", b.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, string(text), resp.Header}
}

// mirror is an API that keeps the last request as text. Below /challenge it challenges who comes without Authorization.
type mirror struct {
	*httptest.Server

	mu   sync.Mutex
	text string
}

func newMirror(t *testing.T) *mirror {
	m := &mirror{}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n", r.Method, r.RequestURI)
	_ = r.Header.Write(&text)
	m.mu.Lock()
	m.text = strings.ReplaceAll(text.String(), "\r", "") + string(body)
	m.mu.Unlock()
	if r.Header.Get("Authorization") == "" && strings.HasPrefix(r.URL.Path, "/challenge") {
		w.Header().Set("WWW-Authenticate", `Digest realm="mirror", nonce="abc", qop="auth", algorithm=SHA-256`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	fmt.Fprintln(w, "fine")
}

func (m *mirror) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text
}
