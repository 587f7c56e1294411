package secret_test

import (
	"strings"
	"testing"

	"sallyport/internal/secret"
)

func TestParseRef(t *testing.T) {
	for _, c := range []struct {
		in   string
		want secret.Ref
	}{
		{"ref+builtin://openai", secret.Ref{Store: "builtin", Path: "openai"}},
		{"ref+builtin://a/b.c_d-e#key", secret.Ref{Store: "builtin", Path: "a/b.c_d-e", Field: "key"}},
		{"ref+corp-2://secret/n8n?version=3#/a/b~1c", secret.Ref{Store: "corp-2", Path: "secret/n8n", Version: "3", Field: "/a/b~1c"}},
		{"ref+op://Sample%20Vault/My%20Item/add%20more/token", secret.Ref{Store: "op", Path: "Sample Vault/My Item/add more/token"}},
		{"ref+corp://100%25/a%3Fb%23c#100% of it", secret.Ref{Store: "corp", Path: "100%/a?b#c", Field: "100% of it"}},
		{"ref+corp://%22quoted%22/%7Bbraced%7D/b%5Cc/d%7Ce", secret.Ref{Store: "corp", Path: `"quoted"/{braced}/b\c/d|e`}},
		{"ref+corp://Büro/n8n+a@b:c,d;e=f&g~h!i$j(k)*[l]", secret.Ref{Store: "corp", Path: "Büro/n8n+a@b:c,d;e=f&g~h!i$j(k)*[l]"}},
		{"ref+builtin://a?version=x%23y#f#g", secret.Ref{Store: "builtin", Path: "a", Version: "x#y", Field: "f#g"}},
	} {
		got, err := secret.ParseRef(c.in)
		if err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v", c.in, got, err)
		}
		if got.String() != c.in {
			t.Errorf("%q: written as %q", c.in, got.String())
		}
		var back secret.Ref
		if text, err := got.MarshalText(); err != nil || back.UnmarshalText(text) != nil || back != got {
			t.Errorf("%q: text %q came back as %+v", c.in, text, back)
		}
	}
	// Other spellings of the same names, which are read as well.
	for in, want := range map[string]string{
		"ref+op://a%2fb": "ref+op://a/b", "ref+op://%61%2db": "ref+op://a-b", "ref+op://B%C3%BCro": "ref+op://Büro", "ref+op://a+b": "ref+op://a+b", "ref+op://a%2Bb": "ref+op://a+b",
	} {
		if got, err := secret.ParseRef(in); err != nil || got.String() != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"ref+builtin://%2e%2e/a", "ref+builtin://a/%2E/b", "ref+builtin://a%2f..", "ref+builtin://a%00b", "ref+builtin://a%0ab", "ref+builtin://a%", "ref+builtin://a%2", "ref+builtin://a%zz", "ref+builtin://a%ff", "ref+builtin://100%/a",
		"ref+", "ref+builtin", "ref+builtin:/a", "ref+://a", "ref+Builtin://a", "ref+built in://a", "ref+builtin://", "ref+builtin://#f", "ref+builtin://a#", "ref+builtin://../a", "ref+builtin://a/./b",
		"ref+builtin://a b", "ref+builtin://a\nb", "ref+builtin://a\x00", "ref+builtin://a?version=", "ref+builtin://a?version=1&version=2", "ref+builtin://a?v=1", "ref+builtin://a?version=%zz",
		"ref+builtin://a#b\x7f", "ref+builtin://\xff", "ref+builtin://a\\b", "ref+builtin://" + strings.Repeat("a", 3000), "ref+" + strings.Repeat("a", 65) + "://b",
	} {
		if got, err := secret.ParseRef(in); err == nil {
			t.Errorf("%q: got %+v, want an error", in, got)
		}
	}
}

// TestRefErrorsDoNotQuoteSecrets: a person may have written the secret itself where a reference belongs.
func TestRefErrorsDoNotQuoteSecrets(t *testing.T) {
	for _, in := range []string{canary, " ref+" + canary, "vault://" + canary, canary + "ref+a://b", "REF+" + canary} {
		if _, err := secret.ParseRef(in); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{
		"ref+builtin://openai", "ref+a://b/c?version=3#/d", "ref+a://b?version=%23#x#y",
		"hunter2hunter2", "ref+a://b?#c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := secret.ParseRef(s)
		if err != nil {
			if !strings.HasPrefix(s, "ref+") && len(s) > 12 && strings.Contains(err.Error(), s) {
				t.Fatalf("the error %q quotes what is no reference", err)
			}
			return
		}
		again, err := secret.ParseRef(r.String())
		if err != nil || again != r {
			t.Fatalf("%q: %+v is written as %q, which reads as %+v, %v", s, r, r.String(), again, err)
		}
	})
}

func TestField(t *testing.T) {
	v := secret.NewValue([]byte(`{"key":"` + canary +
		`","n":1e400,"big":12345678901234567890,"yes":true,"no":null,"in":{"a/b":"x","~":"y","":"z","list":["p",{"q":"r"}]}}`))
	for name, want := range map[string]string{
		"key": canary, "/key": canary, "n": "1e400", "big": "12345678901234567890", "yes": "true", "/in/a~1b": "x", "/in/~0": "y", "/in/": "z", "/in/list/0": "p", "/in/list/1/q": "r",
	} {
		if got, err := secret.Field(v, name); err != nil || string(got.Reveal()) != want {
			t.Errorf("%q: got %q, %v; want %q", name, got.Reveal(), err, want)
		}
	}
	for _, name := range []string{
		"other", "no", "in", "/in", "/in/list", "/in/list/2", "/in/list/-1", "/in/list/x",
		"/key/x", "in/list", "",
	} {
		if got, err := secret.Field(v, name); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: got %q, %v", name, got.Reveal(), err)
		}
	}
	for _, text := range []string{canary, "{" + canary, `"` + canary, ""} {
		if _, err := secret.Field(secret.NewValue([]byte(text)), "key"); err == nil ||
			strings.Contains(err.Error(), canary) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// TestFieldOfReference: what cannot lead to a field is found when the reference is read, and not when the secret is.
func TestFieldOfReference(t *testing.T) {
	for _, s := range []string{"ref+corp://a#/b~2", "ref+corp://a#/b~", "ref+corp://a#" + strings.Repeat("/b", 31)} {
		if r, err := secret.ParseRef(s); err == nil {
			t.Errorf("%q is read as %+v", s, r)
		}
	}
	if _, err := secret.ParseRef("ref+corp://a#b~2"); err != nil {
		t.Errorf("a field's name is no pointer: %v", err)
	}
}
