package preset_test

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/testkit/presetkeys"
)

// lasting is what a provider wants before it issues a refresh token: a scope, or parameters of the page of consent.
type lasting struct {
	page   string // of the page of consent: its URL begins with it
	scopes []string
	params map[string]string
}

// lastings are the providers that issue none unasked, as their documentation says.
func lastings() []lasting {
	return []lasting{
		// not of the first version, without v2.0 in the path
		{page: "https://login.microsoftonline.com/", scopes: []string{"offline_access"}},
		{page: "https://auth.atlassian.com/", scopes: []string{"offline_access"}},
		{page: "https://login.xero.com/", scopes: []string{"offline_access"}},
		{page: "https://api.getgrist.com/", scopes: []string{"offline_access"}},
		{page: "https://x.com/", scopes: []string{"offline.access"}},
		{page: "https://login.salesforce.com/", scopes: []string{"refresh_token", "offline_access"}},
		{page: "https://api.typeform.com/", scopes: []string{"offline"}},
		{page: "https://accounts.google.com/", params: map[string]string{"access_type": "offline", "prompt": "consent"}},
		{page: "https://accounts.zoho.com/", params: map[string]string{"access_type": "offline", "prompt": "consent"}},
		{page: "https://www.dropbox.com/", params: map[string]string{"token_access_type": "offline"}},
		{page: "https://www.reddit.com/", params: map[string]string{"duration": "permanent"}},
	}
}

// TestRefreshTokensAreAskedFor: who connects a service by a preset gets a refresh token, or reads in its note what to
// ask for.
func TestRefreshTokensAreAskedFor(t *testing.T) {
	met := map[string]bool{}
	for _, p := range presetkeys.All() {
		c := p.Credential
		for _, rule := range lastings() {
			if !strings.HasPrefix(c.AuthorizeURL, rule.page) || rule.page == "https://login.microsoftonline.com/" &&
				!strings.Contains(c.AuthorizeURL, "/v2.0/") {
				continue
			}
			met[rule.page] = true
			for name, want := range rule.params {
				if c.AuthorizeParams[name] != want {
					t.Errorf("%s: the page of consent has %s=%s, and there is no refresh token without %s", p.Name,
						name, c.AuthorizeParams[name], want)
				}
			}
			if len(rule.scopes) > 0 && !asksFor(p, func(scope string) bool {
				return slices.Contains(rule.scopes, scope)
			}, rule.scopes[0]) {
				t.Errorf("%s: neither scopes nor note have %s, without which there is no refresh token",
					p.Name, rule.scopes[0])
			}
		}
	}
	for _, rule := range lastings() {
		if !met[rule.page] {
			t.Errorf("no preset is of %s", rule.page)
		}
	}
}

// asksFor tells whether a preset asks for a scope; one that leaves the scopes to the user has to name it.
func asksFor(p presetkeys.Preset, good func(scope string) bool, named string) bool {
	if len(p.Credential.Scopes) == 0 {
		return strings.Contains(p.Notes, named)
	}
	for _, scopes := range p.Credential.Scopes {
		if slices.ContainsFunc(strings.Split(scopes, ","), good) { // some providers separate them by commas
			return true
		}
	}
	return false
}

// TestTestsAreAllowed: the call that a preset is tested with works with the scopes that it asks for. The scopes are the
// vendors': what the documentation of that call wants.
func TestTestsAreAllowed(t *testing.T) {
	for name, c := range map[string]struct{ test, scope string }{
		"calendly-oauth2":          {"/users/me", `users:read`},
		"discord-oauth2":           {"/api/v10/users/@me", `identify`},
		"dropbox-oauth2":           {"/2/users/get_current_account", `account_info\.read`},
		"figma-oauth2":             {"/v1/me", `current_user:read`},
		"gitlab-oauth2":            {"/api/v4/user", `api|read_user`},
		"gong-oauth2":              {"/v2/users", `api:users:read`},
		"google":                   {"/oauth2/v3/userinfo", `openid|email|profile`},
		"google-business-profile":  {"/v1/accounts", `.*/business\.manage`},
		"google-calendar":          {"/calendar/v3/users/me/calendarList", `.*/calendar`},
		"google-chat":              {"/v1/spaces", `.*/chat\.spaces`},
		"google-drive":             {"/drive/v3/about?fields=user", `.*/drive`},
		"google-tasks":             {"/tasks/v1/users/@me/lists", `.*/tasks`},
		"linkedin":                 {"/v2/userinfo", `profile`},
		"linkedin-community":       {"/v2/me", `r_basicprofile`},
		"microsoft":                {"/v1.0/me", `User\.Read`},
		"microsoft-entra":          {"/v1.0/me", `User\.Read.*`},
		"microsoft-excel":          {"/v1.0/me/drive", `Files\.Read.*`},
		"microsoft-graph-security": {"/v1.0/security/secureScores?$top=1", `SecurityEvents\.Read.*`},
		"microsoft-onedrive":       {"/v1.0/me/drive", `Files\.Read.*`},
		"microsoft-outlook":        {"/v1.0/me/mailFolders", `Mail\.Read.*`},
		"microsoft-teams":          {"/v1.0/me", `User\.Read.*`},
		"microsoft-to-do":          {"/v1.0/me/todo/lists", `Tasks\.Read.*`},
		"reddit":                   {"/api/v1/me", `identity`},
		"surveymonkey-oauth2":      {"/v3/surveys?per_page=1", `surveys_read`},
		"twist":                    {"/api/v3/workspaces/get", `workspaces:read`},
		"typeform-oauth2":          {"/me", `accounts:read`},
		"webex":                    {"/v1/rooms?max=1", `spark:rooms_read`},
		"webflow-oauth2":           {"/v2/sites", `sites:read`},
		"x":                        {"/2/users/me", `users\.read`},
		"zoom":                     {"/v2/users/me", `user:read:user`},
	} {
		p, ok := presetkeys.Lookup(name)
		if !ok || p.Test.Path != c.test {
			t.Errorf("%s is tested by %s, want %s; another call may want another scope", name, p.Test.Path, c.test)
		}
		scope := regexp.MustCompile(`^(` + c.scope + `)$`)
		if !asksFor(p, scope.MatchString,
			strings.NewReplacer(`\`, "", "|", ", ").Replace(strings.SplitN(c.scope, "|", 2)[0])) {
			t.Errorf("%s asks for %q, and %s wants %s", name, p.Credential.Scopes, c.test, c.scope)
		}
	}
}

// TestNothingIsToEnd: no preset leads to what its vendor has named a day for, or asks for scopes of a product that is
// closed.
func TestNothingIsToEnd(t *testing.T) {
	ends := map[string]string{
		"https://api.hubapi.com/oauth/v1": "2027-02-16", "https://app.posthog.com": "events go to us.i.posthog.com",
		"/v2/user/remaining_quota": "2026-10-31", "/ocs/v1.php/cloud/capabilities": "answered to anyone",
		"/api/v2/collections": "deprecated by Zep", "/api/v1/api_key/fe_user": "of another host", "r_liteprofile": "2023-08-01", "r_emailaddress": "2023-08-01",
	}
	for _, p := range presetkeys.All() {
		c := p.Credential
		texts := append([]string{
			p.Upstream, c.AuthorizeURL, c.TokenURL, c.RefreshURL, p.Test.Path,
			p.Notes,
		}, c.Scopes...)
		for where, when := range ends {
			if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, where) }) {
				t.Errorf("%s leads to %s: %s", p.Name, where, when)
			}
		}
	}
}

// TestHeadersReachTheAPI: n8n's HTTP Request node sends some headers with every request, so a preset's own of that name
// has to replace it.
func TestHeadersReachTheAPI(t *testing.T) {
	always := []string{"accept", "user-agent"} // n8n 2.41.1, nodes/HttpRequest
	for _, p := range presetkeys.All() {
		for name := range p.Headers {
			if slices.Contains(always, strings.ToLower(name)) && !slices.Contains(p.Overrides, name) {
				t.Errorf("%s: %s never applies: n8n always sends one", p.Name, name)
			}
		}
	}
}

// TestWithoutPKCE: LinkedIn answers 401 to a code_verifier, Slack takes one only from an app that is marked as a public
// client, and Facebook drops the code_challenge and then refuses the verifier ("provided without a code_challenge").
// Everybody else takes one, or does not look at it (RFC 7636 section 5).
func TestWithoutPKCE(t *testing.T) {
	without := []string{"www.facebook.com", "www.linkedin.com", "slack.com"}
	for _, p := range presetkeys.All() {
		u, err := url.Parse(p.Credential.AuthorizeURL)
		if refuses := err == nil && slices.Contains(without, u.Host); refuses != (p.Credential.PKCE == "off") {
			t.Errorf("%s: pkce %q", p.Name, p.Credential.PKCE)
		}
	}
}
