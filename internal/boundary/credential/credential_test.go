package credential_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

const canary = "s3cret/canary+value="

func build(t *testing.T, s credential.Spec, value string) *credential.Material {
	t.Helper()
	m, err := credential.Build(s, secret.NewValue([]byte(value)), "canary@3")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestInject(t *testing.T) {
	for _, c := range []struct {
		name  string
		spec  credential.Spec
		query string
		want  credential.Outgoing
	}{
		{"bearer", credential.Spec{Kind: "bearer"}, "a=b", credential.Outgoing{Header: http.Header{"Authorization": {"Bearer " + canary}}, RawQuery: "a=b"}},
		{"bearer, other word", credential.Spec{Kind: "bearer", Format: "Token token={secret}"}, "", credential.Outgoing{Header: http.Header{"Authorization": {"Token token=" + canary}}}},
		{"header", credential.Spec{Kind: "header", Header: "x-api-key"}, "", credential.Outgoing{Header: http.Header{"X-Api-Key": {canary}}}},
		{"header, dressed", credential.Spec{Kind: "header", Header: "X-Auth", Format: "Key {secret};v=1"}, "", credential.Outgoing{Header: http.Header{"X-Auth": {"Key " + canary + ";v=1"}}}},
		{"basic", credential.Spec{Kind: "basic", Username: "api"}, "", credential.Outgoing{Header: http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("api:"+canary))}}}},
		{"query", credential.Spec{Kind: "query", Param: "key"}, "", credential.Outgoing{Header: http.Header{}, RawQuery: "key=s3cret%2Fcanary%2Bvalue%3D"}},
		{"query, beside others", credential.Spec{Kind: "query", Param: "k[]"}, "a=%20&b", credential.Outgoing{Header: http.Header{}, RawQuery: "a=%20&b&k%5B%5D=s3cret%2Fcanary%2Bvalue%3D"}},
		{"none", credential.Spec{Kind: "none"}, "a", credential.Outgoing{Header: http.Header{}, RawQuery: "a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := credential.Outgoing{Header: http.Header{}, RawQuery: c.query}
			if f := build(t, c.spec, canary).Inject(t.Context(), &got); f != nil {
				t.Fatal(f)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			slot := c.spec.Slot()
			if _, in := got.Header[slot.Header]; slot.Header != "" && !in {
				t.Errorf("the credential is not in its slot %+v: %v", slot, got.Header)
			}
			if slot.Param != c.spec.Param {
				t.Errorf("got slot %+v", slot)
			}
		})
	}
}

// TestFormsCoverWhatIsSent: whatever of the injected value an API gives back is masked.
func TestFormsCoverWhatIsSent(t *testing.T) {
	for _, spec := range []credential.Spec{
		{Kind: "bearer"}, {Kind: "header", Header: "X-Key", Format: "Key {secret}"}, {Kind: "basic", Username: "api"}, {Kind: "basic", Username: "secret-user", HideUser: true}, {Kind: "query", Param: "k"},
	} {
		m := build(t, spec, canary)
		o := credential.Outgoing{Header: http.Header{}}
		if f := m.Inject(t.Context(), &o); f != nil {
			t.Fatal(f)
		}
		sent := o.RawQuery
		for _, values := range o.Header {
			sent += values[0]
		}
		masked, n := m.Forms().String(sent + " " + canary)
		if n == 0 || strings.Contains(masked, canary) ||
			strings.Contains(masked, base64.StdEncoding.EncodeToString([]byte("api:"+canary))) ||
			strings.Contains(masked, "canary") {
			t.Errorf("%+v: %q comes back as %q", spec, sent, masked)
		}
		if spec.HideUser {
			if masked, _ := m.Forms().String("hello secret-user"); strings.Contains(masked, "secret-user") {
				t.Errorf("the user name comes back: %q", masked)
			}
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		spec  credential.Spec
		value string
	}{
		{credential.Spec{Kind: "bearer"}, ""},
		{credential.Spec{Kind: "bearer"}, "abc"},
		{credential.Spec{Kind: "bearer"}, canary + "\n"},
		{credential.Spec{Kind: "bearer"}, canary + "\r\nX-Evil: 1"},
		{credential.Spec{Kind: "header", Header: "X"}, "a\x00" + canary},
		{credential.Spec{Kind: "header", Header: "X"}, " " + canary},
		{credential.Spec{Kind: "header", Header: "X"}, canary + "\t"},
		{credential.Spec{Kind: "header", Header: "X"}, canary + "é"},
		{credential.Spec{Kind: "basic", Username: "a:b"}, canary},
		{credential.Spec{Kind: "oauth9"}, canary},
	} {
		m, err := credential.Build(c.spec, secret.NewValue([]byte(c.value)))
		if err == nil || m != nil {
			t.Errorf("%+v %q: got no error", c.spec, c.value)
			continue
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("the error quotes the secret: %v", err)
		}
	}
}

func TestMaterialNeverPrints(t *testing.T) {
	m := build(t, credential.Spec{Kind: "bearer"}, canary)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "m", m)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb, m)
	}
	if out := log.String(); strings.Contains(out, canary) || strings.Contains(out, "115 51 99") ||
		strings.Contains(out, fmt.Sprintf("%x", canary)) {
		t.Errorf("the material prints: %s", out)
	}
}

func TestHolder(t *testing.T) {
	var h credential.Holder
	ctx := t.Context()
	if m, f := h.Current(ctx); m != nil || f == nil || f.Code != fault.CredentialMissing || h.Failure() != nil {
		t.Errorf("empty: got %v, %v", m, f)
	}
	gone, down := fault.New(fault.CredentialMissing, "gone"), fault.New(fault.StoreUnavailable, "down")
	h.Fail(down, true)
	if m, f := h.Current(ctx); m != nil || f != down {
		t.Errorf("failed before there was one: got %v, %v", m, f)
	}
	first := build(t, credential.Spec{Kind: "bearer"}, canary)
	h.Set(first.Assembly())
	if m, f := h.Current(ctx); m != first || f != nil || h.Failure() != nil {
		t.Errorf("set: got %v, %v", m, f)
	}
	h.Fail(down, true)
	if m, f := h.Current(ctx); m != first || f != nil || h.Failure() != down {
		t.Errorf("the store is down: got %v, %v, failure %v; want the last known good", m, f, h.Failure())
	}
	h.Fail(gone, false)
	if m, f := h.Current(ctx); m != nil || f != gone {
		t.Errorf("the secret is gone: got %v, %v", m, f)
	}
}
