package preset

import "strings"

// reusable are the token endpoints of providers at which the use of a refresh token does not end it, each with where
// that is said: the answer brings no new refresh token, the same one, or one beside which the old one stays valid. An
// address counts with everything that begins with it; one that begins with a slash is a path of the service's own host.
//
// Spotify is not among them: it ends a refresh token with its use where PKCE was used to obtain it, as it is here. A
// provider of which nothing was found belongs to the others, which costs little: after one refresh Sallyport knows.
var reusable = []struct{ url, source string }{
	{
		"https://oauth2.googleapis.com/token",
		"https://developers.google.com/identity/protocols/oauth2/web-server#offline",
	},
	{
		"https://www.googleapis.com/oauth2/v4/token",
		"https://developers.google.com/identity/protocols/oauth2/web-server#offline",
	},
	{
		"https://accounts.google.com/o/oauth2/",
		"https://developers.google.com/identity/protocols/oauth2/web-server#offline",
	},
	{"https://login.microsoftonline.com/", "https://learn.microsoft.com/entra/identity-platform/refresh-tokens"},
	{"https://login.microsoftonline.us/", "https://learn.microsoft.com/entra/identity-platform/refresh-tokens"},
	{"https://login.partner.microsoftonline.cn/", "https://learn.microsoft.com/entra/identity-platform/refresh-tokens"},
	{
		"https://login.salesforce.com/services/oauth2/token",
		"https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_refresh_token_flow.htm",
	},
	{
		"https://test.salesforce.com/services/oauth2/token",
		"https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_refresh_token_flow.htm",
	},
	{
		"https://accounts.zoho.",
		"https://help.zoho.com/portal/en/kb/accounts/faqs-troubleshooting/faqs/oauth/articles/will-the-refresh-tokens-expire",
	},
	{"https://api.dropboxapi.com/oauth2/token", "https://dropbox.tech/developers/using-oauth-2-0-with-offline-access"},
	{"https://api.dropbox.com/oauth2/token", "https://dropbox.tech/developers/using-oauth-2-0-with-offline-access"},
	{"https://api.figma.com/v1/oauth/", "https://arcticjs.dev/providers/figma"},
	{
		"https://www.linkedin.com/oauth/v2/accessToken",
		"https://learn.microsoft.com/linkedin/shared/authentication/programmatic-refresh-tokens",
	},
	{
		"https://api.ebay.com/identity/v1/oauth2/token",
		"https://developer.ebay.com/api-docs/static/oauth-refresh-token-request.html",
	},
	{"/oauth_token.do", "https://snpro.dev/2025/04/01/servicenow-oauth-refresh-token-issue"},
	{"/oauth/token-request", "https://docs.snowflake.com/user-guide/single-use-refresh-tokens"},
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
