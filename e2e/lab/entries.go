package lab

import (
	"context"
	"strings"
)

// Entry is a credential that a person enters.
type Entry struct {
	Name, Kind string
	Data       map[string]any
}

// Enter makes the credentials, in their order.
func (n *N8N) Enter(ctx context.Context, entries []Entry) ([]Credential, error) {
	made := make([]Credential, len(entries))
	for i, e := range entries {
		var err error
		if made[i], err = n.NewCredential(ctx, e.Name, e.Kind, e.Data); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// Entries are one of each type that matters, with what is hard to carry: characters beyond ASCII, quotes and
// backslashes, line breaks, and almost the 64 KiB of ciphertext that n8n's column takes on MariaDB.
func Entries() []Entry {
	return []Entry{
		{
			Name: "Header", Kind: "httpHeaderAuth",
			Data: map[string]any{"name": "Authorization", "value": "Bearer recorded-0123456789"},
		},
		{
			Name: "Basic Ğüş 密码", Kind: "httpBasicAuth",
			Data: map[string]any{"user": "çağrı", "password": "şifre-пароль-密码-🔑-\"\\\n\t\u2028</script>"},
		},
		{Name: "OAuth2", Kind: "oAuth2Api", Data: map[string]any{
			"grantType": "clientCredentials", "accessTokenUrl": "https://idp.example.com/token",
			"clientId":     "recorded-client",
			"clientSecret": "recorded-client-secret", "scope": "read write", "authentication": "header",
		}},
		{Name: "AWS", Kind: "aws", Data: map[string]any{
			"region": "eu-central-1", "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
			"secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		}},
		{Name: "Postgres", Kind: "postgres", Data: map[string]any{
			"host": "db.example.com", "database": "shop", "user": "shop", "password": "p'w\"d;--",
			"port": float64(5432), "ssl": "require",
		}},
		{Name: "SMTP", Kind: "smtp", Data: map[string]any{
			"user": "mail", "password": "recorded-smtp",
			"host": "smtp.example.com", "port": float64(465), "secure": true,
		}},
		{Name: "GitHub", Kind: "githubApi", Data: map[string]any{
			"server": "https://github.example.com/api/v3",
			"user":   "octo", "accessToken": "ghp_recorded0123456789",
		}},
		{Name: "Slack", Kind: "slackApi", Data: map[string]any{
			"accessToken":     "xoxb-recorded-0123456789",
			"signatureSecret": "recorded-signature",
		}},
		{Name: "OpenAI", Kind: "openAiApi", Data: map[string]any{
			"apiKey": "sk-recorded-0123456789",
			"url":    "https://api.openai.example.com/v1",
		}},
		{Name: "Query", Kind: "httpQueryAuth", Data: map[string]any{"name": "key", "value": "recorded?&=+%20"}},
		{
			Name: "Large", Kind: "jwtAuth",
			Data: map[string]any{
				"keyType": "pemKey", "privateKey": strings.Repeat("recorded, 48 KiB\n", 2700),
				"algorithm": "RS256",
			},
		},
	}
}
