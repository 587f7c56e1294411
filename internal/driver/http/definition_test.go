package httpdriver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	httpdriver "sallyport/internal/driver/http"
)

// crm is the definition of the driver's page.
func crm(t testing.TB) string {
	t.Helper()
	page := httpdriver.Kind().Page
	_, text, _ := strings.Cut(page, "about: Keys of the CRM")
	text, _, found := strings.Cut("about: Keys of the CRM"+text, "```")
	if !found {
		t.Fatal("the page has no definition")
	}
	return text
}

// TestDefinition: what is wrong with a definition is said, and nothing of it is taken.
func TestDefinition(t *testing.T) {
	if _, err := httpdriver.Parse([]byte(crm(t))); err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]string{
		"label: {most: 64} → label: {most: 9}":                           "less than a label needs",
		"max_keys: 5 → max_keys: 1":                                      "needs room for two",
		"max_keys: 5 → max_keys: five":                                   "max_keys",
		"late: 10s → later: 10s":                                         "later",
		"late: 10s → late: 10h":                                          "out of bounds",
		"POST /v1/teams/{team}/keys → POST https://x.example/keys":       "not a method and a path",
		"POST /v1/teams/{team}/keys → POST /v1/{team}/keys?a=b":          "not a method and a path",
		"POST /v1/teams/{team}/keys → GET /v1/teams/{team}/keys":         "GET has none",
		"POST /v1/teams/{team}/keys → TRACE /v1":                         "not a method and a path",
		"{team}/keys/{key} → {team}/keys/{value}":                        "stands for nothing here",
		`"{label}" → "{labels}"`:                                         "stands for nothing here",
		`"{label}" → "{label"`:                                           "brace",
		`"{label}" → "{value}"`:                                          "stands for nothing here",
		`"{lifetime:time}" → "{lifetime}"`:                               "a format goes with a duration",
		"id: /id, label: /name, expires → label: /name, expires":         "key.id",
		"id: /id, label: /name, expires → id: id, label: /name, expires": "JSON pointer",
		"value: {at: /token} → value: {}":                                "value has at, or fields",
		"value: {at: /token} → value: {at: /token, decode: rot13}":       "value has at, or fields",
		"status: [201] → status: [500]":                                  "not that of a success",
		"status: [201] → headers: {Authorization: x}":                    "not a header that a definition may set",
		"query: cursor, cursor: /next → cursor: /next":                   "list.next",
		"delete:\n  call → undo:\n  call":                                "no delete",
		"create:\n  call → set:\n  call":                                 "with pattern",
		"{status: 422, at: → {is: a, at:":                                "is or contains",
		"  - {status: 422, at: /error, contains: too many keys} → - {}":  "holds for everything",
		"kind: duration → kind: moment":                                  "no kind that there is",
		"default: 90d → default: soon":                                   "default or example",
		"doc: The team's id., → ":                                        "no doc",
		"parameters:\n  team → parameters:\n  label":                     "not a name for one",
		"about: Keys → about: &a Keys":                                   "anchors",
		"max_keys: 5 → max_keys: 5\nmax_keys: 6":                         "max_keys",
	} {
		from, to, _ := strings.Cut(change, " → ")
		text := strings.Replace(crm(t), from, to, 1)
		if text == crm(t) {
			t.Errorf("%q changes nothing", change)
		}
		if _, err := httpdriver.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", change, err, want)
		}
	}
	for _, text := range []string{"", "[]", "a: [", strings.Repeat("#", 100_000), strings.Repeat("[", 5000)} {
		if _, err := httpdriver.Parse([]byte(text)); err == nil {
			t.Errorf("%.20q is a definition", text)
		}
	}
}

// TestSettings: settings are checked by what the provider asks for.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "crm.yaml")
	if err := os.WriteFile(file, []byte(crm(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open.yaml")
	if err := errors.Join(os.WriteFile(open, []byte(crm(t)), 0o600), os.Chmod(open, 0o666)); err != nil {
		t.Fatal(err)
	}
	of := func(pairs ...string) map[string]string { return map[string]string{pairs[0]: pairs[1]} }
	for _, c := range []struct {
		s         httpdriver.Settings
		key, want string
	}{
		{httpdriver.Settings{Provider: "sendgrid", Parameters: of("scopes", "mail.send")}, "", ""},
		{httpdriver.Settings{File: file, Parameters: of("team", "t-1")}, "", ""},
		{httpdriver.Settings{Provider: "sendgrid"}, "parameters", "write scopes: mail.send"},
		{httpdriver.Settings{Provider: "sendgrids"}, "provider", "sendgrid, twilio"},
		{httpdriver.Settings{}, "provider", "or file"},
		{httpdriver.Settings{Provider: "sendgrid", File: file}, "file", "beside provider"},
		{httpdriver.Settings{File: file + "x"}, "file", "cannot be read"},
		{httpdriver.Settings{File: "/dev/null"}, "file", "how a definition is written"},
		{httpdriver.Settings{Provider: "auth0", Parameters: of("clients", "a")}, "parameters.clients", "it has client"},
		{httpdriver.Settings{Provider: "grafana", Parameters: of("account", "b")}, "parameters.account", "whole number"},
		{httpdriver.Settings{Provider: "gitlab", Parameters: of("owner", "../a")}, "parameters.owner", "part of a path"},
		{httpdriver.Settings{Provider: "cloudflare", Parameters: of("policies", "[")}, "parameters.policies", "not JSON"},
		{httpdriver.Settings{File: open, Parameters: of("team", "t-1")}, "file", "chmod o-w"},
		{httpdriver.Settings{File: file, Parameters: of("team", "t-1\r\nX-A: b")}, "parameters.team", "control characters"},
		{httpdriver.Settings{File: file, Parameters: of("team", "t-1\nX-A: b")}, "parameters.team", "control characters"},
		{httpdriver.Settings{Provider: "azure-app", Parameters: of("lifetime", "3s")}, "parameters.lifetime", "90d"},
	} {
		r := drivertest.Check(&c.s)
		if c.key == "" && len(r.Failed) > 0 || !strings.Contains(r.Failed[c.key], c.want) {
			t.Errorf("%+v: %v, want %s: %s", c.s, r.Failed, c.key, c.want)
		}
		if _, err := c.s.Open(t.Context(), driver.Host{}); (err == nil) != (c.key == "") {
			t.Errorf("%+v: opened: %v", c.s, err)
		}
	}
	r := drivertest.Check(&httpdriver.Settings{Provider: "okta", Parameters: of("app", "a")})
	if !strings.Contains(r.Warned["provider"], "have no label") {
		t.Errorf("keys without labels: %v", r.Warned)
	}
}

const unread = "not been held against the vendor's reference"

// TestProvidersArePages: each provider has its section, with an example that its own settings take.
func TestProvidersArePages(t *testing.T) {
	for _, name := range httpdriver.Providers() {
		d, err := httpdriver.Provider(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if d.About == "" || len(d.Docs) == 0 || !strings.HasPrefix(d.Upstream, "https://") {
			t.Errorf("%s does not say what it is, and from which pages", name)
		}
		_, section, found := strings.Cut(httpdriver.Kind().Page, "\n## "+name+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		held := "Held against " + d.Against + " on " + d.Checked + "."
		if _, err := time.Parse(time.DateOnly, d.Checked); d.Checked == "" && !strings.Contains(section, unread) ||
			d.Checked != "" && (err != nil || d.Against == "" || !strings.Contains(section, held)) {
			t.Errorf("the section of %s does not say how far it was held against the vendor's pages", name)
		}
		if !found || !strings.Contains(section, "provider: "+name+"\n  service: "+name+"-admin\n") {
			t.Errorf("%s has no section with an example", name)
		}
		for parameter, p := range d.Parameters {
			if p.Default == "" && !p.Optional && !strings.Contains(section, parameter+": ") {
				t.Errorf("the example of %s does not set %s", name, parameter)
			}
		}
	}
}

var wordOfKey = regexp.MustCompile(`[A-Za-z0-9+/=_-]{16,}`)

// answering is a driver whose API gives one answer to everything.
func answering(t testing.TB, name string, status int, header, body string) driver.Driver {
	t.Helper()
	s := example(t, name)
	d, err := s.Open(t.Context(), driver.Host{
		Do: func(context.Context, string, *http.Request) (*http.Response, error) {
			rec := httptest.NewRecorder()
			rec.Header().Set("Link", header)
			rec.Header().Set("X-Next-Page", header)
			rec.Header().Set("Retry-After", header)
			rec.WriteHeader(status)
			_, _ = rec.WriteString(body)
			return rec.Result(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	httpdriver.Hasten(d, func(context.Context, time.Duration) error { return nil })
	return d
}

// FuzzAnswer: whatever an API answers, a success is whole, and an error has nothing that could be a key.
func FuzzAnswer(f *testing.F) {
	f.Add("openai", 200, "", `{"id": "a", "name": "b", "api_key": {"value": "v"}, "data": [{"id": "x"}]}`)
	f.Add("gitlab", 200, "2", `[{"id": 1, "name": "n", "revoked": false}]`)
	f.Add("aws-iam", 200, "", `<a><member><b>1</b></member><member/><c>&lt;</c></a>`)
	f.Add("aws-iam", 409, "",
		`<ErrorResponse><Error><Code>LimitExceeded</Code><Message>wJalr7FEMI/K7MDENG</Message></Error></ErrorResponse>`)
	f.Add("twilio", 201, "", `{"sid": "s", "secret": "x", "keys": [], "next_page_uri": "/a?b=%zz"}`)
	f.Add("sendgrid", 500, "Sun, 06 Nov 1994 08:49:37 GMT", `{"errors": [{"message": "SG.aaaaaaaaaaa1aaaaaaa"}]}`)
	f.Fuzz(func(t *testing.T, name string, status int, header, body string) {
		if _, known := vendors()[name]; !known || status < 200 || status > 599 ||
			strings.ContainsAny(header, "\r\n\x00") {
			return
		}
		d := answering(t, name, status, header, body)
		j := driver.Job{Rotation: "fuzz", Run: strings.Repeat("a", 20)}
		made, err := d.Create(t.Context(), j)
		if d.Capabilities().Deletes && err == nil && (made.Key.ID == "" || made.Value.Len() == 0) {
			t.Errorf("a key without id or value was made of %q", body)
		}
		keys, listErr := d.Keys(t.Context(), j)
		for _, key := range keys {
			if key.ID == "" {
				t.Errorf("a key without an id in %q", body)
			}
		}
		shown := fmt.Sprint(err, listErr)
		if d.Capabilities().Deletes {
			shown += fmt.Sprint(d.Delete(t.Context(), j, "k1"))
		}
		for _, word := range wordOfKey.FindAllString(body, -1) {
			if strings.ContainsAny(word, "0123456789") && strings.Contains(shown, word) &&
				!strings.Contains(made.Key.ID, word) && !strings.Contains(j.Label(), word) {
				t.Errorf("%q is in %s", word, shown)
			}
		}
	})
}

// FuzzDefinition: no definition and no parameter leads a call elsewhere than to a path that the definition wrote.
func FuzzDefinition(f *testing.F) {
	f.Add(crm(f), "t-1")
	f.Add(crm(f), "../../admin")
	f.Add(crm(f), "a/b?c#d")
	f.Add(crm(f), "..")
	f.Add("create: {call: POST /{a}}\nparameters: {a: {doc: b}}", "x")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text, parameter string) {
		if _, err := httpdriver.Parse([]byte(text)); err != nil {
			return
		}
		file := filepath.Join(dir, "definition.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &httpdriver.Settings{File: file, Service: "admin", Parameters: map[string]string{"team": parameter}}
		d, err := s.Open(t.Context(), driver.Host{
			Do: func(_ context.Context, _ string, req *http.Request) (*http.Response, error) {
				path := req.URL.EscapedPath()
				if req.URL.Host != "" || !strings.HasPrefix(path, "/") || strings.Contains(path, "/../") ||
					strings.HasSuffix(path, "/..") || text == crm(t) && strings.Count(path, "/") > 5 {
					t.Errorf("%q leads to %s", parameter, req.URL)
				}
				return httptest.NewRecorder().Result(), nil
			},
		})
		if err != nil {
			return
		}
		httpdriver.Hasten(d, func(context.Context, time.Duration) error { return nil })
		j := driver.Job{Rotation: "fuzz", Run: strings.Repeat("a", 20)}
		_, _ = d.Create(t.Context(), j)
		_ = d.Set(t.Context(), j, driver.Made{})
		_, _ = d.Keys(t.Context(), j)
		_ = d.Delete(t.Context(), j, "k1")
	})
}
