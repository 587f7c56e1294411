package derive_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
)

// counting answers always the same, and counts.
type counting struct {
	answering

	calls int
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.calls++
	return c.answering.RoundTrip(r)
}

// TestDeadRefreshTokens: whatever words a provider has for it, a dead refresh token is told as such and not shown
// again; and what is not about the refresh token goes on being tried.
func TestDeadRefreshTokens(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		dead   bool
		told   string
	}{
		"RFC 6749":                    {400, `{"error":"invalid_grant"}`, true, "invalid_grant"},
		"Google":                      {400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, true, "invalid_grant"},
		"Microsoft":                   {400, `{"error":"invalid_grant","error_description":"AADSTS700082: The refresh token has expired due to inactivity.","error_codes":[700082]}`, true, "invalid_grant"},
		"Microsoft, sign in":          {400, `{"error":"interaction_required","error_description":"AADSTS50076: Due to a configuration change, you must use multi-factor authentication","suberror":"basic_action"}`, true, "interaction_required"},
		"GitHub":                      {200, `{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}`, true, "bad_refresh_token"},
		"Slack":                       {200, `{"ok":false,"error":"invalid_refresh_token"}`, true, "invalid_refresh_token"},
		"Slack, revoked":              {200, `{"ok":false,"error":"token_revoked"}`, true, "token_revoked"},
		"Slack, expired":              {200, `{"ok":false,"error":"token_expired"}`, true, "token_expired"},
		"Slack, a member who left":    {200, `{"ok":false,"error":"account_inactive"}`, true, "account_inactive"},
		"HubSpot":                     {400, `{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token","correlationId":"4ab2"}`, true, "BAD_REFRESH_TOKEN"},
		"Zoho":                        {200, `{"error":"invalid_code"}`, true, "invalid_code"},
		"Salesforce":                  {400, `{"error":"invalid_grant","error_description":"expired access/refresh token"}`, true, "invalid_grant"},
		"Atlassian":                   {403, `{"error":"unauthorized_client","error_description":"refresh_token is invalid"}`, true, "unauthorized_client"},
		"Fitbit":                      {400, `{"errors":[{"errorType":"invalid_grant","message":"Refresh token invalid: x"}],"success":false}`, true, "invalid_grant"},
		"Twitch":                      {400, `{"error":"Bad Request","status":400,"message":"Invalid refresh token"}`, true, "in words"},
		"Strava":                      {400, `{"message":"Bad Request","errors":[{"resource":"RefreshToken","field":"refresh_token","code":"invalid"}]}`, true, "invalid"},
		"WeChat":                      {200, `{"errcode":42002,"errmsg":"refresh_token expired"}`, true, "42002"},
		"Lark":                        {200, `{"code":20026,"msg":"refresh token invalid or expired"}`, true, "20026"},
		"X":                           {400, `{"error":"invalid_request","error_description":"Value passed for the token was invalid."}`, true, "invalid_request"},
		"Zoom":                        {400, `{"reason":"Invalid Token!","error":"invalid_request"}`, true, "invalid_request"},
		"LinkedIn":                    {400, `{"error":"invalid_request","error_description":"The provided authorization grant or refresh token is invalid, expired or revoked."}`, true, "invalid_request"},
		"Webex":                       {400, `{"message":"x","errors":[{"description":"The refresh token provided is expired, revoked, malformed, or invalid."}]}`, true, "in words"},
		"Spring":                      {401, `{"error":"invalid_token","error_description":"Invalid refresh token (expired): x"}`, true, "invalid_token"},
		"league/oauth2-server":        {401, `{"error":"invalid_request","message":"The refresh token is invalid.","hint":"Token has been revoked"}`, true, "invalid_request"},
		"a bare word":                 {400, `invalid_grant`, true, "invalid_grant"},
		"a form":                      {200, `error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect`, true, "bad_refresh_token"},
		"nested":                      {400, `{"error":{"code":"REFRESH_TOKEN_EXPIRED","message":"x"}}`, true, "REFRESH_TOKEN_EXPIRED"},
		"camel case":                  {400, `{"errorCode":"InvalidRefreshToken"}`, true, "InvalidRefreshToken"},
		"not found":                   {404, `{"message":"Refresh token not found"}`, true, "in words"},
		"with a word and status 500":  {500, `{"error":"invalid_grant"}`, true, "invalid_grant"},
		"HTML":                        {400, `<html>invalid refresh token`, false, ""},
		"client":                      {401, `{"error":"invalid_client","error_description":"client of the refresh token is invalid"}`, false, ""},
		"GitHub, client":              {200, `{"error":"incorrect_client_credentials"}`, false, ""},
		"Slack, client":               {200, `{"ok":false,"error":"bad_client_secret"}`, false, ""},
		"Slack, too many":             {200, `{"ok":false,"error":"ratelimited"}`, false, ""},
		"too many":                    {429, `{"error":"invalid_grant","error_description":"refresh token invalid"}`, false, ""},
		"too many, in words":          {400, `{"error":"access_denied","error_description":"Too many refresh token requests: invalid"}`, false, ""},
		"down":                        {503, `{"error":"invalid_grant"}`, false, ""},
		"grant type":                  {400, `{"error":"invalid_request","error_description":"Invalid grant_type: refresh_token"}`, false, ""},
		"scope":                       {400, `{"error":"invalid_scope","error_description":"scope of the refresh token is invalid"}`, false, ""},
		"parameter":                   {400, `{"error":"invalid_request","error_description":"refresh_token is required"}`, false, ""},
		"access token":                {400, `{"error":"invalid_request","error_description":"the access token has expired"}`, false, ""},
		"unknown error":               {400, `{"error":"invalid_request","error_description":"unknown error of a refresh token"}`, false, ""},
		"success false and no reason": {200, `{"success":false}`, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &counting{answering: answering{status: c.status, body: c.body}}
				m := must(derive.NewRefreshToken(derive.RefreshTokenOptions{
					Endpoint: derive.Endpoint{URL: "https://tokens.test/token", Transport: a},
					Client:   derive.ClientAuth{ID: "client", Secret: value(canary)}, Refresh: value("refresh-canary"),
				}))
				v := &derive.Memory{}
				want, hint, calls := fault.CredentialMintFailed, "", 3
				if c.dead {
					want, hint, calls = fault.CredentialRejected, reconnect, 1
				}
				for range 3 {
					_, err := derive.New(derive.Options{Name: "lark", Minter: m, Vault: v, Owner: v}).Token(t.Context())
					f := wantFault(t, err, want, hint)
					if f != nil && (!strings.Contains(f.Error(), c.told) || strings.Contains(f.Error(), "canary")) {
						t.Errorf("told %q, want %q in it", f.Error(), c.told)
					}
					time.Sleep(10 * time.Minute)
				}
				if a.calls != calls {
					t.Errorf("%d calls, want %d", a.calls, calls)
				}
			})
		})
	}
}
