package preset_test

import (
	"bytes"
	"encoding/base64"
	"flag"
	"net/url"
	"os"
	"strings"
	"testing"

	"sallyport/internal/config/preset"
)

func TestPresets(t *testing.T) {
	all := preset.All()
	if len(all) < 20 {
		t.Fatalf("got %d presets, want at least 20", len(all))
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			checkIdentity(t, p)
			checkUpstream(t, p)
			checkPlacement(t, p)
		})
	}
}

func checkIdentity(t *testing.T, p preset.Preset) {
	if p.Title == "" || strings.ToLower(p.Name) != p.Name {
		t.Errorf("title %q, name %q: want both, and the name in lower case", p.Title, p.Name)
	}
	if u, err := url.Parse(p.Docs); err != nil || u.Scheme != "https" || u.Host == "" {
		t.Errorf("docs %q: want the https URL of the page on authentication", p.Docs)
	}
	if p.Test.Path != "" && !strings.HasPrefix(p.Test.Path, "/") {
		t.Errorf("test path %q: want a path", p.Test.Path)
	}
	if p.Test.Path == "" && p.Notes == "" {
		t.Error("a preset without a test says why in its notes")
	}
	for name := range p.Headers {
		if strings.EqualFold(name, p.Credential.Header) {
			t.Errorf("header %q is the credential's", name)
		}
	}
	if len(p.Headers) > 1 {
		t.Error("the generated page writes one fixed header per preset")
	}
}

func checkUpstream(t *testing.T, p preset.Preset) {
	text := p.Upstream
	if len(p.UpstreamNeeds) > 0 {
		if p.Upstream != "" {
			t.Error("upstream and upstream_needs exclude each other")
		}
		text = p.UpstreamEg
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		t.Errorf("upstream %q: want https and a host alone", text)
	}
}

// checkPlacement computes what would be sent and compares it with what the API's documentation says, written by hand.
func checkPlacement(t *testing.T, p preset.Preset) {
	c, want := p.Credential, p.Expect
	value := strings.Replace(c.Format, "{secret}", preset.ExpectSecret, 1)
	if c.Format == "" {
		value = preset.ExpectSecret
	}
	var got preset.Expect
	switch c.Kind {
	case "bearer":
		got = preset.Expect{Header: "Authorization", Value: "Bearer " + preset.ExpectSecret}
	case "header":
		got = preset.Expect{Header: c.Header, Value: value}
	case "query":
		got = preset.Expect{Param: c.Param, Value: value}
	case "basic":
		user := c.Username
		if p.UsernameNeeds != "" {
			user = preset.ExpectUsername
		}
		if user == "" {
			t.Error("a preset of kind basic gives the user, or says what it is")
		}
		got = preset.Expect{Header: "Authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+preset.ExpectSecret))}
	default:
		t.Fatalf("kind %q: want bearer, header, query or basic", c.Kind)
	}
	if got != want {
		t.Errorf("the credential goes to %+v, want %+v", got, want)
	}
}

func TestLookup(t *testing.T) {
	for _, name := range []string{"", "nope", "../preset", "openai.yaml", "OPENAI", "a/b"} {
		if _, ok := preset.Lookup(name); ok {
			t.Errorf("Lookup(%q) found something", name)
		}
	}
	if p, ok := preset.Lookup("openai"); !ok || p.Title != "OpenAI" {
		t.Errorf("Lookup(openai) = %q, %v", p.Title, ok)
	}
}

var update = flag.Bool("update", false, "write the generated page")

func TestReferenceIsInSync(t *testing.T) {
	const page = "../../../docs/presets.md"
	if *update {
		if err := os.WriteFile(page, preset.Reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, preset.Reference()) {
		t.Errorf("%s is not what the presets say: run go test ./internal/config/preset -update", page)
	}
}
