package config_test

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/testkit/presetkeys"
)

// TestEveryPresetLoads writes for each preset what its page asks for, with made-up values, and wants a complete service
// without a word of warning; and, asking for nothing, an error that names each thing that is missing.
func TestEveryPresetLoads(t *testing.T) {
	for _, p := range presetkeys.All() {
		t.Run(p.Name, func(t *testing.T) {
			src := made(p)
			c, warns, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte(src), nil)
			if err != nil || len(warns) > 0 {
				t.Fatalf("%v\n%v\n%s", warns, err, src)
			}
			s := c.Services["x"]
			placements := s.Placements()
			if len(placements) != len(p.Placements()) {
				t.Fatalf("%d credentials, want %d", len(placements), len(p.Placements()))
			}
			for i := range placements {
				complete(t, &placements[i], p.Placements()[i])
			}
			bare := fmt.Sprintf("services:\n  x: {preset: %s}\n", p.Name)
			_, _, err = config.Parse(app.Kinds(), "sallyport.yaml", []byte(bare), nil)
			if err == nil {
				t.Fatal("a service with nothing but a preset loads")
			}
			for _, need := range slices.Concat(slices.Sorted(maps.Keys(p.Needs)),
				slices.Sorted(maps.Keys(p.HeadersNeeds))) {
				if !strings.Contains(err.Error(), need) {
					t.Errorf("%q is needed, and the error does not say so:\n%v", need, err)
				}
			}
		})
	}
}

// made writes a service of the preset with everything that it asks for.
func made(p presetkeys.Preset) string {
	var b strings.Builder
	fmt.Fprintf(&b, "services:\n  x:\n    preset: %s\n", p.Name)
	if p.UpstreamEg != "" {
		fmt.Fprintf(&b, "    upstream: %s\n", p.UpstreamEg)
	}
	if len(p.HeadersNeeds) > 0 {
		b.WriteString("    headers:\n")
		for name := range p.HeadersNeeds {
			fmt.Fprintf(&b, "      %s: made-up\n", name)
		}
	}
	if len(p.Credentials) > 0 {
		b.WriteString("    credentials:\n")
		for range p.Credentials {
			b.WriteString("      - {secret: ref+builtin://x}\n")
		}
		return b.String()
	}
	b.WriteString("    credential:\n")
	for _, line := range given(p) {
		b.WriteString("      " + line + "\n")
	}
	return b.String()
}

func given(p presetkeys.Preset) []string {
	var lines []string
	switch p.Credential.Kind {
	case "oauth2_refresh_token", "oauth2_client_credentials":
		lines = []string{"client_id: sallyport", "client_secret: ref+builtin://x#client_secret"}
	case "jwt_bearer":
		if p.Needs["issuer"] == "" {
			return []string{"service_account: ref+builtin://x", "scopes: [https://www.googleapis.com/auth/drive]"}
		}
		return []string{"issuer: someone", "subject: ref+builtin://x#user", "key: ref+builtin://x#key"}
	case "github_app":
		return []string{"app_id: 123", "installation_id: 456", "key: ref+builtin://x"}
	case "aws_sigv4":
		return []string{"access_key: AKIAIOSFODNN7EXAMPLE", "secret_key: ref+builtin://x", "region: eu-central-1"}
	case "oauth1":
		return []string{
			"consumer_key: ref+builtin://x#key", "consumer_secret: ref+builtin://x#secret",
			"access_token: ref+builtin://x#token", "token_secret: ref+builtin://x#token_secret",
		}
	case "exchange":
	default:
		lines = []string{"secret: ref+builtin://x"}
	}
	if p.UsernameNeeds != "" {
		lines = append(lines, "username: someone")
	}
	if len(p.Needs) > 0 {
		lines = append(lines, "inputs:")
		for _, name := range slices.Sorted(maps.Keys(p.Needs)) {
			value := "ref+builtin://x#" + name
			if name == "tenant" || name == "database" || p.Credential.Kind == "path" {
				value = "contoso"
			}
			lines = append(lines, "  "+name+": "+value)
		}
	}
	return lines
}

var braces = regexp.MustCompile(`\{[a-z][a-z0-9_]*\}`)

// complete wants nothing open: URLs whole, everything in braces replaced, and a place for what is sent.
func complete(t *testing.T, c *config.Credential, p presetkeys.Credential) {
	t.Helper()
	one := of(*c)
	if c.Kind != p.Kind || c.Derived() != p.Derived() {
		t.Errorf("kind %q, want %q", c.Kind, p.Kind)
	}
	urls := []string{one.TokenURL, one.AuthorizeURL, one.APIURL}
	if one.Request != nil {
		urls = append(urls, one.Request.URL)
		if left := braces.FindString(fmt.Sprint(one.Request.JSON, one.Request.Form, one.Request.Query,
			one.Request.Headers, one.Request.Basic)); left != "" {
			t.Errorf("%s has not been filled in", left)
		}
	}
	if left := braces.FindString(fmt.Sprint(urls, one.Scopes, one.Params, one.AuthorizeParam,
		one.Audience)); left != "" {
		t.Errorf("%s has not been filled in", left)
	}
	for _, text := range urls {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
			t.Errorf("URL %q", text)
		}
	}
	format := braces.ReplaceAllStringFunc(p.Format, func(at string) string {
		if at == "{secret}" {
			return at
		}
		return "contoso"
	})
	if format != "" && one.Format != format || p.Header != "" && one.Header != p.Header || p.Param != one.Param ||
		p.UserPass != one.UserPass || p.Pointer != one.Pointer {
		t.Errorf("%+v is not where %+v says", one, p)
	}
	if c.Refs() == nil {
		t.Error("no reference in it")
	}
	if c.Derived() && (p.Place == nil) != (one.Place == nil) {
		t.Errorf("place %+v, want %+v", one.Place, p.Place)
	}
	if one.Place != nil && one.Place.Format == "" {
		t.Error("the place has no format")
	}
}

// TestPathInputs: what is no secret of a webhook's address is given as inputs, and none of them can be a reference.
func TestPathInputs(t *testing.T) {
	const head = "services:\n  hook:\n    preset: slack-webhook\n    credential: {secret: ref+builtin://x, inputs: "
	tests := []struct {
		inputs, format, problem string
	}{
		{inputs: "{workspace: T1, webhook: B2}", format: "/services/T1/B2/{secret}"},
		{inputs: "{workspace: T1}", problem: "webhook"},
		{inputs: "{workspace: T1, webhook: ref+builtin://y}", problem: "no secret goes there"},
		{inputs: "{workspace: T1, webhook: B2, secret: x}", problem: "stands for nothing"},
		{inputs: `{workspace: "", webhook: B2}`, problem: "format"},
	}
	for _, test := range tests {
		c, _, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte(head+test.inputs+"}\n"), nil)
		if test.problem != "" {
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%s: got %v, want an error with %q", test.inputs, err, test.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.inputs, err)
			continue
		}
		if got := of(c.Services["hook"].Credential).Format; got != test.format {
			t.Errorf("%s: got format %q, want %q", test.inputs, got, test.format)
		}
	}
}
