package preset_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/config/preset"
	"sallyport/internal/testkit/presetkeys"
)

func TestPresets(t *testing.T) {
	all := presetkeys.All()
	if len(all) < 380 {
		t.Fatalf("got %d presets, want those of n8n's credential types", len(all))
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			checkIdentity(t, p)
			checkChecked(t, p)
			checkUpstream(t, p)
			checkPlaceholders(t, p)
			for _, c := range p.Placements() {
				checkCredential(t, p, c)
			}
			if p.ByHand() {
				checkPlacement(t, p)
			}
		})
	}
}

func checkIdentity(t *testing.T, p presetkeys.Preset) {
	if p.Title == "" || !name.MatchString(p.Name) {
		t.Errorf("title %q, name %q: want both, and the name in lower case", p.Title, p.Name)
	}
	if len(p.N8N) == 0 && p.Docs == "" && !strings.HasSuffix(p.Name, "-track") {
		t.Error("neither docs nor a type of n8n: where does it come from?")
	}
	for what, page := range map[string]string{"docs": p.Docs, "verified": p.Verified} {
		if u, err := url.Parse(page); err != nil || (page != "" || what == "docs" && p.ByHand()) &&
			(u.Scheme != "https" || u.Host == "") {
			t.Errorf("%s %q: want the https URL of a page", what, page)
		}
	}
	if p.Test.Path != "" && !strings.HasPrefix(p.Test.Path, "/") {
		t.Errorf("test path %q: want a path", p.Test.Path)
	}
	if p.ByHand() && p.Test.Path == "" && p.Notes == "" {
		t.Error("a preset without a test says why in its notes")
	}
	for name := range p.Headers {
		if strings.EqualFold(name, p.Credential.Header) || p.HeadersNeeds[name] != "" {
			t.Errorf("header %q is the credential's, or the user's to give", name)
		}
	}
	for _, name := range p.Overrides {
		if p.Headers[name] == "" && p.HeadersNeeds[name] == "" {
			t.Errorf("%s overrides, and is none of the headers", name)
		}
	}
	if len(p.Headers) > 1 {
		t.Error("the generated page writes one fixed header per preset")
	}
}

// checkChecked holds that what a preset was held against is a page or n8n's code, and when is a day that has been.
func checkChecked(t *testing.T, p presetkeys.Preset) {
	if p.Checked == (preset.Checked{}) {
		return
	}
	day, err := time.Parse(time.DateOnly, p.Checked.Date)
	if err != nil || day.After(time.Now()) || day.Year() < 2026 {
		t.Errorf("checked on %q: want a day that has been, as 2006-01-02", p.Checked.Date)
	}
	if p.Checked.Against == preset.CheckedN8N {
		if len(p.N8N) == 0 {
			t.Error("n8n has no type of this preset to hold it against")
		}
		return
	}
	if u, err := url.Parse(p.Checked.Against); err != nil || u.Scheme != "https" || u.Host == "" {
		t.Errorf("checked against %q: want the https URL of the vendor's page, or n8n", p.Checked.Against)
	}
}

var (
	name        = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	placeholder = regexp.MustCompile(`\{[^{}]*\}`)
)

// checkPlaceholders holds that everything in braces is the secret, the service's upstream, or something that is asked
// for, and that everything asked for is used.
func checkPlaceholders(t *testing.T, p presetkeys.Preset) {
	placements := slices.Clone(p.Placements())
	for i := range placements {
		placements[i].Message = "" // has placeholders of its own
	}
	text, err := json.Marshal(placements)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	eachString(tree, func(s string) {
		for _, at := range placeholder.FindAllString(s, -1) {
			found[strings.Trim(at, "{}")] = true
		}
	})
	for at := range found {
		if at != "secret" && at != "upstream" && p.Needs[at] == "" {
			t.Errorf("{%s} stands for nothing", at)
		}
	}
	for need := range p.Needs {
		byField := p.Credential.Kind == presetkeys.KindGitHubApp || p.Credential.Kind == presetkeys.KindJWTBearer
		if !found[need] && !byField {
			t.Errorf("%s is asked for and not used", need)
		}
	}
}

func checkUpstream(t *testing.T, p presetkeys.Preset) {
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

func eachString(tree any, do func(string)) {
	switch v := tree.(type) {
	case string:
		do(v)
	case []any:
		for _, x := range v {
			eachString(x, do)
		}
	case map[string]any:
		for _, x := range v {
			eachString(x, do)
		}
	}
}

// checkCredential holds that a credential has what its kind wants, and that every URL is https or on the upstream.
func checkCredential(t *testing.T, p presetkeys.Preset, c presetkeys.Credential) {
	want := map[string]bool{
		"bearer": c.Header == "" && c.Param == "" && c.Format == "",
		"header": c.Header != "",
		"query":  c.Param != "",
		"basic":  (c.Username != "" || p.UsernameNeeds != "") != (c.UserPass != ""),
		"path":   strings.HasPrefix(c.Format, "/"),
		"body":   strings.HasPrefix(c.Pointer, "/") && (c.As == "json" || c.As == "form"),

		presetkeys.KindRefreshToken: c.TokenURL != "" && c.AuthorizeURL != "" &&
			(c.Auth == "basic" || c.Auth == "post"),
		presetkeys.KindClientCredentials: c.TokenURL != "" && c.AuthorizeURL == "" &&
			(c.Auth == "basic" || c.Auth == "post"),
		presetkeys.KindJWTBearer: c.TokenURL != "" && c.Audience != "",
		presetkeys.KindGitHubApp: c.APIURL != "",
		presetkeys.KindExchange: c.Request != nil &&
			(strings.HasPrefix(c.Token, "/") || strings.HasPrefix(c.Token, "header:")),
		presetkeys.KindSigV4:  true,
		presetkeys.KindOAuth1: true,
		presetkeys.KindHMAC:   c.Message != "" && (c.Header != "" || c.Param != ""),
	}
	if !want[c.Kind] {
		t.Errorf("kind %q lacks something, or is none: %+v", c.Kind, c)
	}
	if c.PKCE != "" && (c.PKCE != "off" || c.Kind != presetkeys.KindRefreshToken) || c.RefreshURL != "" &&
		c.Kind != presetkeys.KindRefreshToken {
		t.Errorf("pkce %q, refresh_url %q: what for?", c.PKCE, c.RefreshURL)
	}
	if c.Token != "" && c.Kind != presetkeys.KindExchange && (!strings.HasPrefix(c.Token, "/") || !c.Derived()) {
		t.Errorf("token %q: want a JSON pointer", c.Token)
	}
	if (len(p.Credentials) > 0) != (c.Is != "") {
		t.Error("of several credentials each says what it is, and a single one does not")
	}
	for _, text := range []string{c.Format, c.UserPass, c.Goes().Format} {
		if text != "" && strings.Count(text, "{secret}") != 1 {
			t.Errorf("format %q: want {secret} once", text)
		}
	}
	urls := []string{c.AuthorizeURL, c.TokenURL, c.RefreshURL, c.APIURL}
	if c.Request != nil {
		urls = append(urls, c.Request.URL)
	}
	for _, u := range urls {
		if u != "" && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "/") {
			t.Errorf("URL %q: want https, or a path of the upstream's host", u)
		}
	}
	checkExpiry(t, c)
}

func checkExpiry(t *testing.T, c presetkeys.Credential) {
	if c.Lifetime != "" && !strings.HasPrefix(c.Lifetime, "/") {
		if d, err := time.ParseDuration(c.Lifetime); err != nil || d < time.Minute {
			t.Errorf("lifetime %q: want a JSON pointer or a duration", c.Lifetime)
		}
	}
	if c.ExpiredWhen == nil {
		return
	}
	if b := c.ExpiredWhen.Body; b != nil &&
		(!strings.HasPrefix(b.Pointer, "/") || len(b.In) == 0 || slices.Contains(b.In, "")) {
		t.Errorf("expired_when %+v: want a JSON pointer and values", *b)
	}
	if slices.Contains(c.ExpiredWhen.Status, 429) || !c.Derived() {
		t.Error("429 never means expired, and only a derived token can be obtained again")
	}
}

// checkPlacement computes what would be sent and compares it with what the API's documentation says, written by hand.
func checkPlacement(t *testing.T, p presetkeys.Preset) {
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
		got = preset.Expect{
			Header: "Authorization",
			Value:  "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+preset.ExpectSecret)),
		}
	default:
		t.Fatalf("kind %q: want bearer, header, query or basic", c.Kind)
	}
	if got != want {
		t.Errorf("the credential goes to %+v, want %+v", got, want)
	}
}

func TestLookup(t *testing.T) {
	for _, name := range []string{"", "nope", "../preset", "openai.yaml", "OPENAI", "a/b"} {
		if _, ok := presetkeys.Lookup(name); ok {
			t.Errorf("Lookup(%q) found something", name)
		}
	}
	if p, ok := presetkeys.Lookup("openai"); !ok || p.Title != "OpenAI" {
		t.Errorf("Lookup(openai) = %q, %v", p.Title, ok)
	}
}

var update = flag.Bool("update", false, "write the generated page")

func TestReferenceIsInSync(t *testing.T) {
	const page = "../../../docs/presets.md"
	want, err := preset.Reference(app.Kinds().ShowPreset)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the presets say: run go test ./internal/config/preset -update", page)
	}
}
