package secret_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/secret"
)

const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/n8n-AbCdEf"

func TestParseAny(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want secret.Ref
	}{
		"ours":                              {"ref+corp://n8n/db?version=3#password", secret.Ref{Store: "corp", Path: "n8n/db", Version: "3", Field: "password"}},
		"1password":                         {"op://prod/openai/key", secret.Ref{Store: "op", Path: "prod/openai/key"}},
		"1password, a section":              {"op://prod/openai/api/key", secret.Ref{Store: "op", Path: "prod/openai/api/key"}},
		"1password, blanks":                 {"op://Sample Vault/My Item/password", secret.Ref{Store: "op", Path: "Sample Vault/My Item/password"}},
		"1password, a section with a blank": {"op://Prod/n8n/add more/token", secret.Ref{Store: "op", Path: "Prod/n8n/add more/token"}},
		"1password, as a URL":               {"op://Sample%20Vault/My%20Item/pass_word.2", secret.Ref{Store: "op", Path: "Sample Vault/My Item/pass_word.2"}},
		"1password, a percent sign":         {"op://Prod/100%25/token", secret.Ref{Store: "op", Path: "Prod/100%/token"}},
		"1password, brackets and accents":   {"op://Büro (alt)/Konto & Co./key", secret.Ref{Store: "op", Path: "Büro (alt)/Konto & Co./key"}},
		"an ARN":                            {arn, secret.Ref{Store: "awssm", Path: arn}},
		"an ARN of China":                   {strings.Replace(arn, "aws", "aws-cn", 1), secret.Ref{Store: "awssm", Path: strings.Replace(arn, "aws", "aws-cn", 1)}},
		"an ARN and a field":                {arn + "#password", secret.Ref{Store: "awssm", Path: arn, Field: "password"}},
		"ECS, a key":                        {arn + ":password::", secret.Ref{Store: "awssm", Path: arn, Field: "password"}},
		"ECS, a stage":                      {arn + "::AWSPREVIOUS:", secret.Ref{Store: "awssm", Path: arn, Version: "AWSPREVIOUS"}},
		"ECS, a version":                    {arn + ":k::01ab-cd", secret.Ref{Store: "awssm", Path: arn, Version: "01ab-cd", Field: "k"}},
		"ECS, nothing":                      {arn + ":::", secret.Ref{Store: "awssm", Path: arn}},
		"a file":                            {"file:///run/secrets/db", secret.Ref{Store: "file", Path: "/run/secrets/db"}},
		"a file and a field":                {"file:///run/secrets/db#/users/0", secret.Ref{Store: "file", Path: "/run/secrets/db", Field: "/users/0"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok, err := secret.ParseAny(c.in)
			if err != nil || !ok {
				t.Fatalf("ok %t, error %v", ok, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestParseAnyLeavesValuesAlone: whatever could be meant as it stands is a value, not a reference.
func TestParseAnyLeavesValuesAlone(t *testing.T) {
	for _, in := range []string{
		"", "ref", "ref+", "ref+corp", "ref+corp:/x", "ref+ corp://x", "reference", "xref+corp://x", " ref+corp://x", "secretref+corp://x",
		"use ref+corp://x here", "postgres://u:ref+corp://x@host/db", "OP://a/b/c", "op:/a/b/c", "scop://a/b/c",
		"arn:aws:s3:::bucket", "arn:aws:secretsmanager:eu-west-1:1:rotation:x", "arn:aws:ssm:eu-west-1:1:parameter:x", "arn", "arn:aws:secretsmanager",
		"file://", "file://host/path", "file:/x", "file:./x.db", "file:///data/x.db?mode=ro", "/run/secrets/x", "https://example.com/ref+corp://x",
	} {
		if r, ok, err := secret.ParseAny(in); ok || err != nil || !r.IsZero() {
			t.Errorf("ParseAny(%q) = %v, %t, %v; want an ordinary value", in, r, ok, err)
		}
	}
}

func TestParseAnyRefusesMalformedReferences(t *testing.T) {
	for _, in := range []string{
		"ref+corp://", "ref+Corp://x", "ref+co_rp://x", "ref+corp://../x", "ref+corp://x#", "ref+corp://x?ver=1", "ref+corp://x ", "ref+corp://x\n",
		"op://", "op://a", "op://a/b", "op://a//c", "op://a/b/c/d/e", "op://a/b/c?attribute=otp", "op://my vault /item/field", "op:// my vault/item/field", "op://a/b/c ", "op://a/100%/c", "op://a/b%2fc/d", "op://a/%2e%2e/c", "op://a/b%0a/c", "op://a/b/c#d", "op://a/../c", "op://a/b/c\x00",
		arn + "#", arn + ":k:AWSCURRENT:01ab", arn + ":k", arn + ":k::#f", "arn:aws:secretsmanager::1:secret:x",
		"arn:aws:secretsmanager:eu-west-1:1:secret:", arn + "\n",
		"file:///", "file:////", "file:///x#", "file:///../etc/passwd", "file:///run/secrets/x\n",
	} {
		if r, ok, err := secret.ParseAny(in); !ok || err == nil || !r.IsZero() {
			t.Errorf("ParseAny(%q) = %v, %t, %v; want an error", in, r, ok, err)
		}
	}
}

// FuzzParseAny: what is accepted can be written in our notation and read back, and is never a part of the value only.
func FuzzParseAny(f *testing.F) {
	for _, seed := range []string{
		"ref+corp://a/b?version=1#c", "op://a/b/c", arn, arn + ":k:S:", arn + "#/a/b",
		"file:///a#b", "plain", "ref+x://y z", "op://%/\xff/c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, ok, err := secret.ParseAny(in)
		if !ok && (err != nil || !r.IsZero()) {
			t.Fatalf("ParseAny(%q) = %v, %v for an ordinary value", in, r, err)
		}
		if !ok || err != nil {
			return
		}
		if again, err := secret.ParseRef(r.String()); err != nil || again != r {
			t.Errorf("ParseAny(%q) = %#v, which is written as %q and read as %#v, %v", in, r, r, again, err)
		}
		if _, ok, _ := secret.ParseAny(" " + in); ok {
			t.Errorf("%q is a reference with a blank before it", in)
		}
	})
}
