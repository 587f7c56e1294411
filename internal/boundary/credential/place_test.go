package credential_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/secret"
)

func TestCookie(t *testing.T) {
	for secretText, want := range map[string]string{
		"abcd": "s:abcd", "a=b/c+d%": "s:a=b/c+d%", "a b": "", `a"b`: "",
		"a,b": "", "a;b": "", `a\b`: "", "a\r\nb": "", "é": "", "a\x7fb": "",
	} {
		got, err := credential.CookieValue("s:{secret}", secret.NewValue([]byte(secretText)))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", secretText, got, err)
		}
		if err != nil && strings.Contains(err.Error(), secretText) {
			t.Errorf("the error quotes the secret: %v", err)
		}
	}
	for name, c := range map[string]struct{ lines, want []string }{
		"none":     {nil, []string{"sid=v"}},
		"others":   {[]string{"a=1; b=2"}, []string{"a=1; b=2; sid=v"}},
		"replaced": {[]string{"a=1;sid=old;  sid =older; b", "sid=more; c=3"}, []string{"a=1; b; c=3; sid=v"}},
		"longer":   {[]string{"sid2=x; SID=y"}, []string{"sid2=x; SID=y; sid=v"}},
	} {
		before := fmt.Sprint(c.lines)
		if diff := cmp.Diff(c.want, credential.WithCookie(c.lines, "sid", "v")); diff != "" ||
			fmt.Sprint(c.lines) != before {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	r := http.Request{Header: http.Header{"Cookie": credential.WithCookie([]string{"a=1"}, "sid", "x=y/z")}}
	if c, err := r.Cookie("sid"); err != nil || c.Value != "x=y/z" {
		t.Errorf("net/http reads %v, %v", c, err)
	}
	for name, good := range map[string]bool{
		"sid": true, "__Host-a.b": true, "": false, "a b": false, "a=b": false,
		"a;b": false, "é": false,
	} {
		if err := credential.CheckCookieName(name); (err == nil) != good {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestPathPrefix(t *testing.T) {
	for name, c := range map[string]struct{ format, secret, want string }{
		"telegram":         {"/bot{secret}", "123:AB-c_d", "/bot123:AB-c_d"},
		"encoded":          {"/{secret}/x", "a b;c?d#e\"f<é%zz", "/a%20b%3Bc%3Fd%23e%22f%3C%C3%A9%25zz/x"},
		"dots inside":      {"/{secret}", "a..b", "/a..b"},
		"slash":            {"/bot{secret}", "a/b", ""},
		"backslash":        {"/bot{secret}", `a\b`, ""},
		"encoded slash":    {"/bot{secret}", "a%2Fb", ""},
		"encoded dot":      {"/bot{secret}", "%2e%2e", ""},
		"encoded encoding": {"/bot{secret}", "a%252fb", ""},
		"encoded control":  {"/bot{secret}", "a%00b", ""},
		"line break":       {"/bot{secret}", "a\r\nb", ""},
		"dot segment":      {"/{secret}", "..", ""},
		"one dot":          {"/x/{secret}/y", ".", ""},
		"with a parameter": {"/{secret}", "..;x", ""},
		"made of both":     {"/.{secret}", ".", ""},
		"format's dots":    {"/%2e{secret}", ".", ""},
		"no slash":         {"bot{secret}", "abcd", ""},
		"no secret":        {"/bot", "abcd", ""},
		"slash at the end": {"/bot{secret}/", "abcd", ""},
		"double slash":     {"//bot{secret}", "abcd", ""},
		"query":            {"/bot{secret}?x", "abcd", ""},
		"blank":            {"/bo t{secret}", "abcd", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := credential.PathPrefix(c.format, secret.NewValue([]byte(c.secret)))
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// FuzzPathPrefix: however often the path is decoded, it has the segments of the format, and no dots among them.
func FuzzPathPrefix(f *testing.F) {
	for _, s := range []string{"abcd", "..", "a/b", "%2f", "%252f", "..;a", "é", "%2%65", "%%32%66"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := credential.PathPrefix("/a/x{secret}/b", secret.NewValue([]byte(s)))
		plain, err2 := credential.PathPrefix("/{secret}", secret.NewValue([]byte(s)))
		if err != nil || err2 != nil {
			return
		}
		if decoded, err := url.PathUnescape(got); err != nil || decoded != "/a/x"+s+"/b" {
			t.Errorf("%q: decodes to %q, %v", got, decoded, err)
		}
		for _, p := range []string{got, plain} {
			for range 3 {
				if p != path.Clean(p) || strings.Count(p, "/") != strings.Count(got, "/") &&
					strings.Count(p, "/") != 1 {
					t.Fatalf("%q decodes to %q", s, p)
				}
				next, err := url.PathUnescape(p)
				if err != nil {
					break
				}
				p = next
			}
		}
	})
}

func TestBodyValue(t *testing.T) {
	if got, err := credential.BodyValue("key {secret}", secret.NewValue([]byte("abé"))); err != nil ||
		got != "key abé" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := credential.BodyValue("", secret.NewValue([]byte("ab\xff"))); err == nil {
		t.Error("no UTF-8: no error")
	}
}

func BenchmarkPlaces(b *testing.B) {
	value := secret.NewValue([]byte(canary))
	plain := secret.NewValue([]byte("123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"))
	body := []byte(`{"model":"x","messages":[{"role":"user","content":"` + strings.Repeat("text ", 200) +
		`"}],"auth":{"key":"placeholder"}}`)
	for name, run := range map[string]func() error{
		"cookie": func() error { credential.WithCookie([]string{"a=1; b=2"}, "sid", "v"); return nil },
		"path":   func() error { _, err := credential.PathPrefix("/bot{secret}", plain); return err },
		"json":   func() error { _, err := credential.JSONField(body, "/auth/key", canary); return err },
		"form":   func() error { credential.FormField([]byte("a=1&key=placeholder&b=2"), "key", canary); return nil },
		"value":  func() error { _, err := credential.BodyValue("", value); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
