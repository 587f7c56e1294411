package egress_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/egress"
)

// TestSpell: a field has one name, and net/http finds what it acts on.
func TestSpell(t *testing.T) {
	for written, want := range map[string]http.Header{
		"x-a":             {"x-a": {"1", "2"}},
		"X-A":             {"X-A": {"1", "2"}},
		"user-agent":      {"User-Agent": nil, "user-agent": {"1"}},
		"idempotency-key": {"Idempotency-Key": nil, "idempotency-key": {"1", "2"}},
		"upgrade":         {"Upgrade": {"1", "2"}},
		"CONNECTION":      {"Connection": {"1", "2"}},
	} {
		canonical := http.CanonicalHeaderKey(written)
		got := http.Header{canonical: {"1", "2"}}
		egress.Spell(got, canonical, written)
		if written != "upgrade" && written != "CONNECTION" {
			egress.Spell(got, canonical, strings.ToUpper(written)) // a second spelling finds nothing
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", written, diff)
		}
	}
	got := http.Header{"X-B": nil}
	egress.Spell(got, "X-A", "x-a")
	egress.Spell(got, "X-B", "x-b")
	if diff := cmp.Diff(http.Header{"X-B": nil}, got); diff != "" {
		t.Error(diff)
	}
}

// TestSpellOnHTTP2: names that were written otherwise are whole and single on HTTP/2.
func TestSpellOnHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"User-Agent", "Soapaction", "Idempotency-Key", "Cookie"} {
			if got := r.Header[name]; len(got) != 1 || got[0] != "1" {
				t.Errorf("%s: %s is %q", r.Proto, name, got)
			}
		}
		if r.ProtoMajor != 2 {
			t.Errorf("over %s", r.Proto)
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"USER-AGENT", "SOAPAction", "idempotency-key", "COOKIE"} {
		canonical := http.CanonicalHeaderKey(name)
		req.Header[canonical] = []string{"1"}
		egress.Spell(req.Header, canonical, name)
	}
	resp, err := s.Client().Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}
