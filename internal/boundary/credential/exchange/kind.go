// Package exchange is the kind exchange of credential: its settings, their check, and what it puts onto requests.
package exchange

import (
	_ "embed" // the page
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind exchange.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "exchange", Summary: "A login call of any form, JSON or form, that returns a token.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return text("request", "url") },
	}
}

// Settings are the keys of a credential of kind exchange.
type Settings struct {
	Request   *LoginRequest `yaml:"request" needed:"write request: {url: /login, json: {…}}" doc:"The login call."`
	TokenAt   string        `yaml:"token" needed:"write token: /tenant_access_token" eg:"/tenant_access_token" doc:"Where the answer has the token: a JSON pointer, header:NAME, cookie:NAME, or body."`
	Lifetime  string        `yaml:"lifetime" yields:"expires_at" eg:"/expire" doc:"How long a token lives: a duration, or a JSON pointer to a number of seconds in the answer."`
	ExpiresAt string        `yaml:"expires_at" yields:"lifetime:/" eg:"/expires" doc:"A JSON pointer to the point in time at which the token ends."`

	credential.Token
}

// LoginRequest is a login call. At most one of JSON and Form is its body.
type LoginRequest struct {
	Method  string                 `yaml:"method" default:"POST" doc:"The method."`
	URL     string                 `yaml:"url" inputs:"url" eg:"/open-apis/auth/v3/tenant_access_token/internal" doc:"Where: https://…, or a path on the upstream's host."`
	Headers map[string]config.Text `yaml:"headers" free:"true" keys:"header" eg:"{X-API-Version: \"2\"}" doc:"Headers."`
	Query   map[string]config.Text `yaml:"query" free:"true" keys:"text" eg:"{grant_type: client_credentials}" doc:"Query parameters."`
	Basic   *LoginBasic            `yaml:"basic" doc:"User and password of Basic authentication."`
	// leaves are config.Text, json.Number, bool and nil
	JSON any                    `yaml:"json" eg:"{app_id: cli_1, app_secret: \"ref+builtin://lark#app_secret\"}" doc:"A JSON body: objects, lists, strings, numbers. A string that is a reference stands for the secret."`
	Form map[string]config.Text `yaml:"form" free:"true" keys:"text" eg:"{user: n8n, password: \"ref+builtin://erp#password\"}" doc:"A form as body."`
}

// LoginBasic is the pair of Basic authentication.
type LoginBasic struct {
	Username config.Text `yaml:"username" free:"true" eg:"n8n" doc:"The user."`
	Password config.Text `yaml:"password" free:"true" eg:"ref+builtin://erp#password" doc:"The password."`
}

// Imply implements config.Implying.
func (s *Settings) Imply(i config.Implied) {
	if s.Request != nil {
		i.Text("request.method", &s.Request.Method, http.MethodPost)
		i.Agent("request.headers", &s.Request.Headers)
	}
	s.ImplyPlace(i)
}

// Minter implements credential.Minting.
func (s *Settings) Minter(m *credential.Mint) (derive.Minter, error) {
	r := s.Request
	if r == nil {
		return nil, errors.New("there is no login call: `request` says which")
	}
	headers := m.Texts(r.Headers)
	if r.Basic != nil {
		headers = maps.Clone(headers)
		if headers == nil {
			headers = make(map[string]secret.Value, 1)
		}
		headers["Authorization"] = basic(m, r.Basic)
	}
	o := derive.ExchangeOptions{
		Endpoint: m.Endpoint(r.URL, headers, m.Texts(r.Query)), Method: r.Method, JSON: m.Tree(r.JSON),
		Form:  m.Texts(r.Form),
		Token: s.TokenAt, ExpiresAt: s.ExpiresAt,
	}
	if o.Endpoint.Lifetime = credential.Duration(s.Lifetime); strings.HasPrefix(s.Lifetime, "/") {
		o.Lifetime = s.Lifetime
	}
	return credential.Minted(m, func() (derive.Minter, error) { return derive.NewExchange(o) })
}

// basic is RFC 7617.
func basic(m *credential.Mint, b *LoginBasic) secret.Value {
	pair := slices.Concat(m.Text(b.Username).Reveal(), []byte{':'}, m.Text(b.Password).Reveal())
	defer clear(pair)
	return secret.NewValue([]byte("Basic " + base64.StdEncoding.EncodeToString(pair)))
}
