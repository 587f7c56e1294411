package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// heads is an API that keeps the header lines that it gets, as they come, without those that net/http makes itself.
func heads(t *testing.T) (url string, lines chan []string) {
	t.Helper()
	lines = make(chan []string, 10)
	return hear(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			var got []string
			length := 0
			for first := true; ; first = false {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line = strings.TrimRight(line, "\r\n"); line == "" {
					break
				}
				name, value, _ := strings.Cut(line, ":")
				_, _ = fmt.Sscanf(name+value, "Content-Length %d", &length)
				if !first && !slices.Contains([]string{"Host", "Content-Length", "Accept-Encoding"}, name) {
					got = append(got, line)
				}
			}
			if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
				return
			}
			slices.Sort(got)
			lines <- got
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}), lines
}

// TestNamesAsWritten: the names of headers reach the API as the caller wrote them, and those that the configuration
// sets as that does. Each name stands there once, whatever letters a caller writes, and none of them chooses the name
// of a credential.
func TestNamesAsWritten(t *testing.T) {
	const secret = "sk-live-51H8xAbCdEfGhIjKl"
	bearer := "Authorization: Bearer " + secret
	for name, c := range map[string]struct {
		config []string
		sent   []string
		want   []string
	}{
		"as the caller wrote them": {
			sent: []string{
				`SOAPAction: "urn:a"`, "x-lower: 1", "X-UPPER-CASE: 2", "X-Canonical: 3",
				"accept: */*", "eTag-like: 4",
			},
			want: []string{
				bearer, `SOAPAction: "urn:a"`, "x-lower: 1", "X-UPPER-CASE: 2", "X-Canonical: 3",
				"accept: */*", "eTag-like: 4",
			},
		},
		"what net/http looks at": {
			sent: []string{
				"user-agent: undici", "idempotency-key: k", "X-IDEMPOTENCY-KEY: k",
				"content-type: text/plain", "content-length: 0", "cookie: a=b",
			},
			want: []string{
				bearer, "user-agent: undici", "idempotency-key: k", "X-IDEMPOTENCY-KEY: k",
				"content-type: text/plain",
			},
		},
		"cookies that pass": {
			config: []string{"cookies: pass"},
			sent:   []string{"cookie: a=b"},
			want:   []string{bearer, "cookie: a=b"},
		},
		"one name in several spellings": {
			sent: []string{"X-Twice: 1", "x-twice: 2", "X-TWICE: 3", "user-agent: a", "USER-AGENT: b"},
			want: []string{bearer, "x-twice: 1", "x-twice: 2", "x-twice: 3", "user-agent: a"},
		},
		"the credential's header": {
			config: []string{"credential: {kind: header, header: X-API-KEY, secret: ref+builtin://canary}"},
			sent:   []string{"x-api-key: mine", "X-Api-Key: mine", "X-API-key: mine", "x-other: 1"},
			want:   []string{"X-API-KEY: " + secret, "x-other: 1"},
		},
		"the credential's header in small letters": {
			config: []string{"credential: {kind: header, header: apikey, secret: ref+builtin://canary}"},
			sent:   []string{"APIKEY: mine", "Apikey: mine"},
			want:   []string{"apikey: " + secret},
		},
		"authorization": {
			sent: []string{"authorization: Basic bWluZQ==", "AUTHORIZATION: mine"},
			want: []string{bearer},
		},
		"authorization as the configuration writes it": {
			config: []string{
				"credential: {kind: header, header: authorization, format: \"Token {secret}\", secret: ref+builtin://canary}",
			},
			sent: []string{"AUTHORIZATION: mine"},
			want: []string{"authorization: Token " + secret},
		},
		"headers of the configuration": {
			config: []string{
				`headers: {apiVersion: "7", X-TENANT: acme, user-agent: gate}`,
				"override_headers: [User-Agent]",
			},
			sent: []string{"APIVERSION: 8", "USER-AGENT: n8n"},
			want: []string{bearer, "APIVERSION: 8", "X-TENANT: acme", "user-agent: gate"},
		},
		"canonical in the configuration": {
			config: []string{`headers: {X-Tenant: acme}`, "override_headers: [X-Tenant]"},
			sent:   []string{"x-tenant: other"},
			want:   []string{bearer, "X-Tenant: acme"},
		},
		"hop by hop": {
			sent: []string{
				"connection: keep-alive, X-HOP", "x-hop: 1", "KEEP-ALIVE: 5", "te: trailers", "upgrade: h2c",
				"X-REAL-IP: 1", "x-forwarded-for: 1", "via: x",
			},
			want: []string{bearer},
		},
		"nominated in other letters": {
			sent: []string{"Connection: x-hop", "X-HOP: 1", "x-Hop: 2", "x-stays: 3"},
			want: []string{bearer, "x-stays: 3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, lines := heads(t)
			g := newGate(t, api(url, c.config...), options{secret: secret})
			k := keep(t, g)
			for range 2 { // on one connection
				_, _ = io.WriteString(k, keepAlive("GET", "/s/api/x", c.sent...))
				if a := readAnswer(t, k.r); a.StatusCode != http.StatusOK {
					t.Fatalf("got %s", a.Status)
				}
				slices.Sort(c.want)
				if diff := cmp.Diff(c.want, <-lines); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// TestNamesBesideASignature: what a signer sets is named as the configuration names it.
func TestNamesBesideASignature(t *testing.T) {
	url, lines := heads(t)
	line := `credential: {kind: hmac, secret: ref+builtin://canary, header: x-SIGNATURE, message: "{method}", set_headers: {X-TIME: "{timestamp}"}}`
	g := newGate(t, api(url, line), signing(hmacSigner(t)))
	g.do("GET", "/s/api/x", "X-TIme: 1", "X-signature: mine").wantStatus(t, http.StatusOK)
	got := <-lines
	for i := range got {
		got[i], _, _ = strings.Cut(got[i], ":")
	}
	if diff := cmp.Diff([]string{"X-TIME", "x-SIGNATURE"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestNamesOfTheirRequest: names stay with their request, also when the next head has come before the handler of this
// one begins.
func TestNamesOfTheirRequest(t *testing.T) {
	url, lines := heads(t)
	g := newGate(t, api(url), options{secret: "sk-live-51H8xAbCdEfGhIjKl"})
	k := keep(t, g)
	spellings := []string{"x-name", "X-NAME", "X-Name", "x-NAME", "X-nAmE", "X-Name"}
	all := ""
	for i, name := range spellings {
		body := []string{"Content-Length: 2", "\r\nhi"}
		if i%2 == 0 {
			body = nil
		}
		all += keepAlive("POST", "/s/api/x", append([]string{name + ": 1"}, body...)...)
	}
	_, _ = io.WriteString(k, all)
	for _, name := range spellings {
		readAnswer(t, k.r)
		got := <-lines
		if !slices.Contains(got, name+": 1") {
			t.Errorf("got %q, want the name %s", got, name)
		}
	}
}

// TestNamesOfTwins: letters make no look-alike harmless, and none of a header that rules look at.
func TestNamesOfTwins(t *testing.T) {
	url, _ := heads(t)
	g := newGate(t, api(url, "credential: {kind: header, header: X-API-KEY, secret: ref+builtin://canary}",
		"allow: [GET /**]"), options{})
	for line, want := range map[string]int{
		"AUTHORIZATION_: mine":           http.StatusBadRequest,
		"x_sallyport_token: mine":        http.StatusBadRequest,
		"x_api_key: mine":                http.StatusBadRequest,
		"X_API_KEY: mine":                http.StatusBadRequest,
		"x-http-method-override: DELETE": http.StatusForbidden,
		"X-HTTP-METHOD-OVERRIDE: DELETE": http.StatusForbidden,
	} {
		if a := g.do("GET", "/s/api/x", line); a.StatusCode != want {
			t.Errorf("%s: got %d, want %d", line, a.StatusCode, want)
		}
	}
}
