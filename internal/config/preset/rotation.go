package preset

import "strings"

// reusable are the token endpoints of providers at which the use of a refresh token does not end it, each with where that is
// said: the answer brings no new refresh token, the same one, or one beside which the old one stays valid. An address counts
// with everything that begins with it; one that begins with a slash is a path of the service's own host.
var reusable = []struct{ url, source string }{
	{"https://oauth2.googleapis.com/token", "https://developers.google.com/identity/protocols/oauth2/web-server#offline"},
	{"https://www.googleapis.com/oauth2/v4/token", "https://developers.google.com/identity/protocols/oauth2/web-server#offline"},
	{"https://accounts.google.com/o/oauth2/", "https://developers.google.com/identity/protocols/oauth2/web-server#offline"},
	{"https://login.microsoftonline.com/", "https://learn.microsoft.com/entra/identity-platform/refresh-tokens"},
	{"https://login.microsoftonline.us/", "https://learn.microsoft.com/entra/identity-platform/refresh-tokens"},
	{"https://login.partner.microsoftonline.cn/", "https://learn.microsoft.com/entra/identity-platform/refresh-tokens"},
	{"https://login.salesforce.com/services/oauth2/token", "https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_refresh_token_flow.htm"},
	{"https://test.salesforce.com/services/oauth2/token", "https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_refresh_token_flow.htm"},
	{"https://api.hubapi.com/oauth/", "https://developers.hubspot.com/docs/api-reference/auth-oauth-v1/guide"},
	{"https://accounts.zoho.", "https://www.zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html"},
	{"https://api.dropboxapi.com/oauth2/token", "https://developers.dropbox.com/oauth-guide"},
	{"https://api.dropbox.com/oauth2/token", "https://developers.dropbox.com/oauth-guide"},
	{"https://accounts.spotify.com/api/token", "https://developer.spotify.com/documentation/web-api/tutorials/refreshing-tokens"},
	{"https://www.reddit.com/api/v1/access_token", "https://github.com/reddit-archive/reddit/wiki/OAuth2#refreshing-the-token"},
	{"https://app.asana.com/-/oauth_token", "https://developers.asana.com/docs/oauth"},
	{"https://webexapis.com/v1/access_token", "https://developer.webex.com/docs/integrations"},
	{"https://api.figma.com/v1/oauth/", "https://developers.figma.com/docs/rest-api/authentication/"},
	{"https://www.linkedin.com/oauth/v2/accessToken", "https://learn.microsoft.com/linkedin/shared/authentication/programmatic-refresh-tokens"},
	{"https://api.amazon.com/auth/o2/token", "https://developer.amazon.com/docs/login-with-amazon/refresh-token.html"},
	{"https://api.ebay.com/identity/v1/oauth2/token", "https://developer.ebay.com/api-docs/static/oauth-refresh-token-request.html"},
	{"/oauth_token.do", "https://www.servicenow.com/docs/csh?topicname=c_OAuthApplications.html"},
	{"/oauth/token-request", "https://docs.snowflake.com/en/user-guide/oauth-custom"},
}

// Reusable tells whether a token endpoint is known to take a refresh token again after it was used.
func Reusable(tokenURL string) bool {
	for _, r := range reusable {
		if strings.HasPrefix(tokenURL, r.url) {
			return true
		}
	}
	return false
}

// ReusableEndpoints lists what Reusable knows.
func ReusableEndpoints() []string {
	out := make([]string, len(reusable))
	for i, r := range reusable {
		out[i] = r.url
	}
	return out
}

// Rotating tells whether a credential's refresh tokens have to be taken for such that are used once: as the preset says, or as
// its token endpoint is known for.
func (c *Credential) Rotating() bool {
	if c.Rotates != nil {
		return *c.Rotates
	}
	return !Reusable(c.TokenURL)
}
