package main

import "strings"

// credentials are what a person enters, one of each type that matters, with what is hard to carry: characters beyond ASCII, quotes
// and backslashes, line breaks, and almost the 64 KiB of ciphertext that n8n's column takes on MariaDB.
func credentials() []Credential {
	return []Credential{
		{Name: "Header", Type: "httpHeaderAuth", Data: map[string]any{"name": "Authorization", "value": "Bearer recorded-0123456789"}},
		{Name: "Basic Ğüş 密码", Type: "httpBasicAuth", Data: map[string]any{"user": "çağrı", "password": "şifre-пароль-密码-🔑-\"\\\n\t\u2028</script>"}},
		{Name: "OAuth2", Type: "oAuth2Api", Data: map[string]any{
			"grantType": "clientCredentials", "accessTokenUrl": "https://idp.example.com/token", "clientId": "recorded-client",
			"clientSecret": "recorded-client-secret", "scope": "read write", "authentication": "header",
		}},
		{Name: "AWS", Type: "aws", Data: map[string]any{
			"region": "eu-central-1", "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		}},
		{Name: "Postgres", Type: "postgres", Data: map[string]any{
			"host": "db.example.com", "database": "shop", "user": "shop", "password": "p'w\"d;--", "port": float64(5432), "ssl": "require",
		}},
		{Name: "SMTP", Type: "smtp", Data: map[string]any{"user": "mail", "password": "recorded-smtp", "host": "smtp.example.com", "port": float64(465), "secure": true}},
		{Name: "GitHub", Type: "githubApi", Data: map[string]any{"server": "https://github.example.com/api/v3", "user": "octo", "accessToken": "ghp_recorded0123456789"}},
		{Name: "Slack", Type: "slackApi", Data: map[string]any{"accessToken": "xoxb-recorded-0123456789", "signatureSecret": "recorded-signature"}},
		{Name: "OpenAI", Type: "openAiApi", Data: map[string]any{"apiKey": "sk-recorded-0123456789", "url": "https://api.openai.example.com/v1"}},
		{Name: "Query", Type: "httpQueryAuth", Data: map[string]any{"name": "key", "value": "recorded?&=+%20"}},
		{Name: "Large", Type: "jwtAuth", Data: map[string]any{"keyType": "pemKey", "privateKey": strings.Repeat("recorded, 48 KiB\n", 2700), "algorithm": "RS256"}},
	}
}
