package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/config/preset"
	"sallyport/internal/testkit/setting"
)

// TestRotates: what a service says counts before what its preset says, and that before what its token endpoint is known
// for.
func TestRotates(t *testing.T) {
	const own = ", client_id: c, client_secret: ref+builtin://a, refresh_token: ref+builtin://b"
	for text, want := range map[string]bool{
		"preset: google-drive, credential: {auth: post":                                                                    false,
		"preset: google-drive, credential: {token_url: https://proxy.example.com/token":                                    false,
		"preset: google-drive, credential: {rotates: true":                                                                 true,
		"preset: gmail, credential: {auth: basic":                                                                          false,
		"preset: microsoft, credential: {auth: post":                                                                       false,
		"preset: microsoft-dataverse, upstream: https://a.crm4.dynamics.com, credential: {auth: post, inputs: {tenant: t}": false,
		"preset: salesforce, upstream: https://a.my.salesforce.com, credential: {auth: post":                               false,
		"preset: hubspot-oauth2, credential: {auth: post":                                                                  true,
		// it ends them where PKCE is used
		"preset: spotify, credential: {auth: post":                                                                                             true,
		"preset: zoho-crm, credential: {token_url: https://accounts.zoho.eu/oauth/v2/token":                                                    false,
		"preset: servicenow-oauth2, upstream: https://a.service-now.com, credential: {auth: post":                                              false,
		"preset: box, credential: {auth: post":                                                                                                 true,
		"preset: github-oauth2, credential: {auth: post":                                                                                       true,
		"preset: slack-oauth2, credential: {auth: post":                                                                                        true,
		"upstream: https://www.googleapis.com, credential: {kind: oauth2_refresh_token, token_url: https://oauth2.googleapis.com/token":        false,
		"upstream: https://a.example.com, credential: {kind: oauth2_refresh_token, token_url: https://a.example.com/token":                     true,
		"upstream: https://a.example.com, credential: {kind: oauth2_refresh_token, token_url: https://a.example.com/token, rotates: false":     false,
		"upstream: https://a.example.com, credential: {kind: oauth2_refresh_token, token_url: https://oauth2.googleapis.com.example.com/token": true,
	} {
		if got := *setting.At[bool](&parse(t, "services: {a: {"+text+own+"}}}\n").Services["a"].Credential,
			"rotates"); got != want {
			t.Errorf("%s: rotates %t, want %t", text, got, want)
		}
	}
}

// TestReusableAreInTheDocs: docs/credentials.md names the token endpoints whose refresh tokens may be used again, and
// no other.
func TestReusableAreInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/credentials.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| provider | token endpoint |")
	table, _, _ = strings.Cut(table, "\n\n")
	var named []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(table, -1) {
		named = append(named, m[1])
	}
	if diff := cmp.Diff(preset.ReusableEndpoints(), named); diff != "" {
		t.Errorf("in the code, and on the page: %s", diff)
	}
}
