package preset_test

import (
	"cmp"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/testkit/presetkeys"
)

// gone are addresses that their owner has taken out of service, or means to on a day that has come, with what stands in
// their place. An address is a host with or without the beginning of a path.
var gone = []struct{ at, since, instead string }{
	{"notify-api.line.me", "2025-03-31", "api.line.me, the Messaging API"},
	{"api.getgo.com/oauth", "2025-09-30", "authentication.logmeininc.com/oauth"},
	{"api.transferwise.com", "2025-11-24", "api.wise.com"},
	{"api.sandbox.transferwise.tech", "2025-11-24", "api.wise-sandbox.com"},
	{"graph.facebook.com/v17.0", "2025-09-12", "no version, or one that lives"},
	{"www.facebook.com/v17.0", "2025-09-12", "a version that lives"},
	{"graph.microsoft.com/v1.0/security/alerts", "2026-08-31", "graph.microsoft.com/v1.0/security/alerts_v2"},
	{"notify-bot.line.me", "2025-03-31", "api.line.me, the Messaging API"},
	{"app.orbit.love", "2024-07-11", "nothing"},
	{"graph.facebook.com/v13.0", "2024-05-28", "no version, or one that lives"},
	{"graph.facebook.com/v18.0", "2026-01-26", "no version, or one that lives"},
	{"graph.facebook.com/v20.0", "2026-09-24", "no version, or one that lives"},
	{"graph.facebook.com/v19.0", "2026-05-21", "no version, or one that lives"},
	{"api.github.com/authorizations", "2020-11-13", "OAuth apps or personal tokens"},
	{"www.googleapis.com/plus", "2019-03-07", "nothing"},
	{"api.ouraring.com/v1", "2024-01-22", "api.ouraring.com/v2"},
	{"bitbucket.org/api/1.0", "2019-04-29", "api.bitbucket.org/2.0"},
	{"api.todoist.com/rest/v2", "2026-02-10", "api.todoist.com/api/v1"},
	{"api.todoist.com/sync/v9", "2026-02-10", "api.todoist.com/api/v1"},
}

// TestNothingIsGone: no preset calls an address that is out of service.
func TestNothingIsGone(t *testing.T) {
	for _, g := range gone {
		if day, err := time.Parse(time.DateOnly, g.since); err != nil || day.After(time.Now()) || g.instead == "" {
			t.Errorf("%+v: want a day that has been, and what to call instead", g)
		}
	}
	for _, p := range presetkeys.All() {
		for _, at := range addresses(p) {
			for _, g := range gone {
				if at == g.at || strings.HasPrefix(at, strings.TrimSuffix(g.at, "/")+"/") {
					t.Errorf("%s calls %s, which is gone since %s: %s stands in its place", p.Name, at,
						g.since, g.instead)
				}
			}
		}
	}
}

// addresses are the host and path of everything that a preset calls by itself.
func addresses(p presetkeys.Preset) (list []string) {
	base := cmp.Or(p.Upstream, p.UpstreamEg)
	urls := []string{base}
	if p.Test.Path != "" {
		urls = append(urls, base+p.Test.Path)
	}
	for _, c := range p.Placements() {
		urls = append(urls, c.AuthorizeURL, c.TokenURL, c.RefreshURL, c.APIURL)
		if c.Request != nil {
			urls = append(urls, c.Request.URL)
		}
	}
	for _, u := range urls {
		if strings.HasPrefix(u, "/") {
			u = base + u
		}
		u, _, _ = strings.Cut(strings.TrimPrefix(u, "https://"), "?")
		if u != "" {
			list = append(list, u)
		}
	}
	return list
}

// TestTestCalls: a test call is a path of the upstream's host as it goes on the wire, and asks for nothing that only a
// caller knows.
func TestTestCalls(t *testing.T) {
	for _, p := range presetkeys.All() {
		if p.Test.Path == "" {
			if p.Test.Method != "" || p.Test.Status != nil {
				t.Errorf("%s: a test call without a path", p.Name)
			}
			continue
		}
		base, err := url.Parse(cmp.Or(p.Upstream, p.UpstreamEg))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.ParseRequestURI(p.Test.Path)
		if err != nil {
			t.Errorf("%s: test path %q: %v", p.Name, p.Test.Path, err)
			continue
		}
		if called := base.ResolveReference(u); called.Host != base.Host ||
			called.RequestURI() != p.Test.Path || u.Fragment != "" {
			t.Errorf("%s: test path %q is not a path below %s as it goes on the wire", p.Name, p.Test.Path, base)
		}
		if strings.Contains(u.Path, "//") && !p.DoubleSlash {
			t.Errorf("%s: test path %q has an empty segment", p.Name, p.Test.Path)
		}
		if strings.ContainsAny(p.Test.Path, "{}") || strings.Contains(p.Test.Path, "YOUR") {
			t.Errorf("%s: test path %q has a stand-in", p.Name, p.Test.Path)
		}
		if c := p.Credential; c.Kind == "query" && u.Query().Has(c.Param) {
			t.Errorf("%s: test path %q has the credential's own parameter", p.Name, p.Test.Path)
		}
		if m := p.Test.Method; m != "" && m != "POST" {
			t.Errorf("%s: test method %q", p.Name, m)
		}
	}
}

// TestTestCallsHaveTheirQuery: where a preset is tried out by the same call as in n8n, no parameter of it is lost.
func TestTestCallsHaveTheirQuery(t *testing.T) {
	held := 0
	for _, v := range readCatalogue(t).Verdicts {
		p, ok := presetkeys.Lookup(v.Preset)
		if !ok || p.Test.Path == "" {
			continue
		}
		_, theirs, _ := strings.Cut(v.Type.Test, " ")
		theirs, text, _ := strings.Cut(theirs, "?")
		own, err := url.ParseRequestURI(p.Test.Path)
		if err != nil || theirs == "" && v.Type.TestQuery == nil ||
			!strings.HasSuffix(strings.TrimSuffix(own.Path, "/"), strings.TrimSuffix(theirs, "/")) {
			continue
		}
		query, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range v.Type.TestQuery {
			query.Set(name, value)
		}
		for _, name := range slices.Sorted(maps.Keys(query)) {
			if strings.Contains(query.Get(name), "{") ||
				slices.Contains([]string{"limit", "size", "per_page", "page_size"}, name) {
				continue // the credential, or how long a list may be
			}
			held++
			if !own.Query().Has(name) {
				t.Errorf("%s: n8n's test call has %s=%s, and %s has not", p.Name, name, query.Get(name), p.Test.Path)
			}
		}
	}
	if held < 5 {
		t.Errorf("only %d parameters were compared", held)
	}
}

// regional is a further place of an API in a note: another region, cloud or owner of it.
var regional = regexp.MustCompile(`upstream (https://[A-Za-z0-9.-]+)`)

// TestRegionsOfBothKinds: a preset with OAuth names the regions that the one with a key of the same API names.
func TestRegionsOfBothKinds(t *testing.T) {
	pairs := 0
	for _, p := range presetkeys.All() {
		key, ok := presetkeys.Lookup(strings.TrimSuffix(p.Name, "-oauth2"))
		if !ok || key.Name == p.Name || key.Upstream == "" || key.Upstream != p.Upstream {
			continue
		}
		pairs++
		for _, m := range regional.FindAllStringSubmatch(key.Notes, -1) {
			if where := strings.TrimRight(m[1], "."); !strings.Contains(p.Notes, where) {
				t.Errorf("%s names %s, and %s does not", key.Name, where, p.Name)
			}
		}
	}
	if pairs < 10 {
		t.Errorf("only %d pairs were compared", pairs)
	}
}
