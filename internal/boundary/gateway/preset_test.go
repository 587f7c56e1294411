package gateway_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"sallyport/internal/config/preset"
)

// TestPresetsOnTheWire sends one request through a service of each preset and looks at the bytes that arrive: the
// credential stands where the API's documentation says, once, and the proxy token nowhere.
func TestPresetsOnTheWire(t *testing.T) {
	for _, p := range preset.All() {
		if !p.ByHand() {
			continue // package preset holds what they say against n8n's definitions; there is no value written by hand
		}
		t.Run(p.Name, func(t *testing.T) {
			u := newUpstream(t, nil)
			base := p.Upstream
			if base == "" {
				base = p.UpstreamEg
			}
			at, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			yaml := fmt.Sprintf("  api:\n    preset: %s\n    upstream: %s%s\n    allow_private: [127.0.0.1/32]\n",
				p.Name, u.url, at.EscapedPath())
			if p.UsernameNeeds != "" {
				yaml += "    credential: {secret: ref+builtin://canary, username: " + preset.ExpectUsername + "}\n"
			} else {
				yaml += "    secret: ref+builtin://canary\n"
			}
			g := newGate(t, yaml, options{secret: preset.ExpectSecret})
			g.do("GET", "/s/api/some/path?a=1").wantStatus(t, 200)
			wantExpected(t, p, strings.TrimSuffix(at.EscapedPath(), "/"), u.only(t))
		})
	}
}

func wantExpected(t *testing.T, p preset.Preset, base string, r *received) {
	t.Helper()
	target := base + "/some/path?a=1"
	if p.Expect.Header != "" {
		if got := r.Header.Values(p.Expect.Header); len(got) != 1 || got[0] != p.Expect.Value {
			t.Errorf("%s: got %q, want %q", p.Expect.Header, got, p.Expect.Value)
		}
	} else {
		target += "&" + url.QueryEscape(p.Expect.Param) + "=" + url.QueryEscape(p.Expect.Value)
	}
	if r.RequestURI != target {
		t.Errorf("got target %q, want %q", r.RequestURI, target)
	}
	if n := strings.Count(r.head, p.Expect.Value); n != 1 {
		t.Errorf("the credential stands %d times in the request, want once:\n%s", n, r.head)
	}
	if strings.Contains(r.head, tokens.value["good"]) || strings.Contains(strings.ToLower(r.head), "x-sallyport") {
		t.Errorf("the proxy token, or a header of Sallyport's, reached the API:\n%s", r.head)
	}
	for name, value := range p.Headers {
		if got := r.Header.Get(name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
}
