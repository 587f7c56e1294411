package config_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/exchange"
	"sallyport/internal/config"
	"sallyport/internal/config/notation"
	"sallyport/internal/secret"
)

func kinds(t *testing.T) map[string]*config.Service {
	t.Helper()
	return parse(t, string(read(t, "testdata/valid-kinds.yaml"))).Services
}

func builtin(path, field string) secret.Ref {
	return secret.Ref{Store: "builtin", Path: path, Field: field}
}

// TestCredentialIsComplete: what a kind implies is filled in, URLs are whole, inputs are in their places.
func TestCredentialIsComplete(t *testing.T) {
	all := kinds(t)
	client := of(all["client"].Credential)
	want := view{
		Kind: "oauth2_client_credentials", TokenURL: "https://a.example.com/oauth/token",
		ClientID: notation.RefText(builtin("c", "id")),
		Key:      builtin("c", "key"), KeyID: notation.PlainText("2026"), Alg: "ES256",
		Auth: "private_key_jwt", Audience: notation.PlainText("https://a.example.com"),
		Scopes: []string{"a", "b"},
		Params: map[string]config.Text{
			"resource": notation.PlainText("https://a.example.com"),
			"tenant":   notation.PlainText("https://a.example.com/v1"),
		},
		TokenHeaders: map[string]config.Text{"X-Tenant": notation.PlainText("acme")},
		Lifetime:     "1h", Place: &credential.Place{Kind: "query", Param: "access_token", Format: "{secret}"},
		ExpiredWhen: &credential.ExpiredWhen{
			Status: []int{401, 403},
			Body: &credential.ExpiredBody{
				Pointer: "/errors/0/code", In: []string{"1", "expired", "true"},
				Within: 16 << 10,
			},
		},
	}
	if diff := cmp.Diff(want, client); diff != "" {
		t.Errorf("client (-want +got):\n%s", diff)
	}
	if auth := of(all["mtls"].Credential).Auth; auth != "mtls" {
		t.Errorf("auth %q, want mtls with a client certificate", auth)
	}
	if auth := allOf(all["several"].Placements())[2].Auth; auth != "basic" {
		t.Errorf("auth %q, want basic with a client secret", auth)
	}
	if auth := of(all["assertion"].Credential).Auth; auth != "" {
		t.Errorf("auth %q, want none at all: the assertion says who asks", auth)
	}
	if u := of(all["app"].Credential).APIURL; u != "https://api.github.com" {
		t.Errorf("api_url %q", u)
	}
	hook := of(all["hook"].Credential)
	if hook.Algorithm != "sha256" || hook.Encoding != "hex" ||
		hook.Message != "{method}\n{target}\n{timestamp}\n{header:X-Id}\n{body_sha256}{{}}" {
		t.Errorf("%+v", hook)
	}
	if r := all["cookie"].Replay; r.Memory != 1<<20 || r.Total != 64<<20 {
		t.Errorf("replay %+v", r)
	}
}

// TestCredentialOfAUser: what a token endpoint wants beyond the standard is there, and the service's User-Agent goes to
// it as well.
func TestCredentialOfAUser(t *testing.T) {
	user := kinds(t)["user"]
	want := view{
		Kind: "oauth2_refresh_token", TokenURL: "https://a.example.com/token",
		RefreshURL:   "https://a.example.com/refresh",
		AuthorizeURL: "https://a.example.com/authorize", PKCE: "off", Token: "/authed_user/access_token",
		ClientID: notation.PlainText("c"), ClientSecret: builtin("a", ""), Auth: "basic", Rotates: true,
		TokenHeaders: map[string]config.Text{
			"X-T":        notation.PlainText("1"),
			"User-Agent": notation.PlainText("linux:example:v1"),
		},
	}
	if diff := cmp.Diff(want, of(user.Credential)); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
	all := parse(t, `services:
  own: {preset: reddit, headers: {User-Agent: mine}, credential: {client_id: c, client_secret: ref+builtin://a}}
  preset: {preset: reddit, credential: {client_id: c, client_secret: ref+builtin://a, token_headers: {user-agent: theirs}}}
  login: {upstream: "https://a.example.com", headers: {User-Agent: mine}, credential: {kind: exchange, request: {url: /login}, token: /token}}
  elsewhere: {preset: figma-oauth2, credential: {client_id: c, client_secret: ref+builtin://a, token_url: "https://b.example.com/token"}}
`).Services
	if got := of(all["own"].Credential).TokenHeaders["User-Agent"].String(); got != "mine" ||
		!slices.Equal(all["own"].Override, []string{"User-Agent"}) {
		t.Errorf("the token endpoint gets %q, and the API overriding %q", got, all["own"].Override)
	}
	if got := of(all["preset"].Credential).TokenHeaders; len(got) != 1 || got["user-agent"].String() != "theirs" {
		t.Errorf("the token endpoint gets %v", got)
	}
	if got := of(all["login"].Credential).Request.Headers["User-Agent"].String(); got != "mine" {
		t.Errorf("the login call gets %q", got)
	}
	if got := of(all["elsewhere"].Credential).RefreshURL; got != "" {
		t.Errorf("refresh tokens of a provider of one's own go to %s", got)
	}
}

func TestLoginCallIsComplete(t *testing.T) {
	all := kinds(t)
	user := notation.RefText(builtin("u", ""))
	want := &exchange.LoginRequest{
		Method: "POST", URL: "https://a.example.com/login",
		Headers: map[string]config.Text{"X-V": notation.PlainText("2")},
		Query:   map[string]config.Text{"type": notation.PlainText("normal")},
		Basic:   &exchange.LoginBasic{Username: user, Password: notation.RefText(builtin("p", ""))},
		JSON: map[string]any{
			"user": user, "text": notation.PlainText("007"), "empty": config.Text{{}},
			"nested": []any{json.Number("1"), json.Number("2.5"), true, nil, map[string]any{"deep": notation.RefText(builtin("q", ""))}},
		},
	}
	if diff := cmp.Diff(want, of(all["login"].Credential).Request); diff != "" {
		t.Errorf("login (-want +got):\n%s", diff)
	}
	private := of(all["private"].Credential)
	if diff := cmp.Diff(config.Text{{Plain: "k-x-"}, {Ref: builtin("b", "")}},
		private.Request.Query["key"]); diff != "" {
		t.Errorf("an input within a text (-want +got):\n%s", diff)
	}
}

func TestRefs(t *testing.T) {
	all := kinds(t)
	for name, want := range map[string][]secret.Ref{
		"cookie":  {builtin("a", "")},
		"several": {builtin("a", "a"), builtin("a", "b"), builtin("c", "")},
		"client":  {builtin("c", "id"), builtin("c", "key")},
		"mtls":    {builtin("m", "cert"), builtin("m", "key"), builtin("proxy", "")},
		"login":   {builtin("u", ""), builtin("p", ""), builtin("q", ""), builtin("u", "")},
		"private": {builtin("b", "")},
	} {
		if diff := cmp.Diff(want, all[name].Refs()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestSeveralOfAPreset: entries take from the preset by their order; a secret that the preset says is the same is given
// once.
func TestSeveralOfAPreset(t *testing.T) {
	c := parse(t, `services:
  two: {preset: datadog, credentials: [{secret: ref+builtin://a}, {secret: ref+builtin://b}]}
  same: {preset: supabase, upstream: "https://x.supabase.co", secret: ref+builtin://a}
  own: {preset: datadog, credential: {kind: bearer, secret: ref+builtin://a}}
  more: {preset: openai, credentials: [{secret: ref+builtin://a}, {kind: header, header: X-Team, secret: ref+builtin://b}]}
`)
	two := allOf(c.Services["two"].Placements())
	if len(two) != 2 || two[0].Header != "DD-API-KEY" || two[1].Header != "DD-APPLICATION-KEY" ||
		two[1].Secret.Path != "b" {
		t.Errorf("%+v", two)
	}
	same := c.Services["same"].Placements()
	if len(same) != 2 || same[0].Slot().Header != "apikey" || same[1].Slot().Header != "Authorization" ||
		of(same[0]).Secret != of(same[1]).Secret || !of(c.Services["same"].Credential).Secret.IsZero() {
		t.Errorf("%+v", same)
	}
	if own := c.Services["own"].Placements(); len(own) != 1 || own[0].Slot().Header != "Authorization" {
		t.Errorf("%+v", own)
	}
	if more := allOf(c.Services["more"].Placements()); len(more) != 2 || more[0].Kind != "bearer" ||
		c.Services["more"].Upstream.Host != "api.openai.com" {
		t.Errorf("%+v", more)
	}
}

// TestOwnBeforePreset: what the service says has precedence, key by key; a login call is taken whole.
func TestOwnBeforePreset(t *testing.T) {
	c := parse(t, `services:
  url: {preset: paypal, credential: {token_url: "https://api-m.sandbox.paypal.com/v1/oauth2/token", auth: post, client_id: a, client_secret: ref+builtin://a}}
  expiry: {preset: lark, credential: {inputs: {app_id: cli_1, app_secret: ref+builtin://a}, expired_when: {status: [401]}, lifetime: 1h}}
  upstream: {preset: taiga, upstream: "https://taiga.example.com/x", credential: {inputs: {username: u, password: ref+builtin://a}}}
  google: {preset: google-service-account, credential: {service_account: ref+builtin://g, scopes: [x]}}
`)
	if u := of(c.Services["url"].Credential); u.TokenURL != "https://api-m.sandbox.paypal.com/v1/oauth2/token" ||
		u.Auth != "post" {
		t.Errorf("%+v", u)
	}
	if e := of(c.Services["expiry"].Credential); e.ExpiredWhen.Body != nil || e.Lifetime != "1h" ||
		e.Request.URL == "" {
		t.Errorf("%+v", e)
	}
	if u := of(c.Services["upstream"].Credential); u.Request.URL != "https://taiga.example.com/api/v1/auth" {
		t.Errorf("a path is one on the upstream's host, and is %q", u.Request.URL)
	}
	if g := of(c.Services["google"].Credential); g.TokenURL != "" {
		t.Errorf("token_url %q: the file names it", g.TokenURL)
	}
}

func TestText(t *testing.T) {
	get := func(r secret.Ref) (secret.Value, error) {
		if r.Path == "gone" {
			return secret.Value{}, errors.New("gone")
		}
		return secret.NewValue([]byte("<" + r.Path + ">")), nil
	}
	for src, want := range map[string]string{
		"":                      "",
		"plain":                 "plain",
		"reference":             "reference",
		"ref+builtin://a":       "<a>",
		"op://vault/item/field": "<vault/item/field>",
		"arn:aws:iam::1:role/x": "arn:aws:iam::1:role/x",
		"file:///etc/x":         "file:///etc/x",
		"a ref+builtin://a":     "a ref+builtin://a",
	} {
		text, err := notation.ParseText(src)
		if err != nil {
			t.Errorf("ParseText(%q): %v", src, err)
			continue
		}
		got, err := text.Resolve(get)
		if err != nil || string(got.Reveal()) != want {
			t.Errorf("ParseText(%q) resolves to %q, %v; want %q", src, got.Reveal(), err, want)
		}
		if plain, ok := text.Plain(); ok != (len(text.Refs()) == 0) || ok && plain != want || text.IsRef() == ok {
			t.Errorf("%q: Plain %q, %v; Refs %v", src, plain, ok, text.Refs())
		}
	}
	for _, src := range []string{"ref+", "ref+" + canary, "op://x"} {
		if _, err := notation.ParseText(src); err == nil {
			t.Errorf("ParseText(%q): no error", src)
		}
	}
	joined := config.Text{{Plain: "a:"}, {Ref: builtin("b", "")}, {Plain: "!"}}
	if got, err := joined.Resolve(get); err != nil || string(got.Reveal()) != "a:<b>!" ||
		joined.String() != "a:ref+builtin://b!" {
		t.Errorf("%q, %v, %s", got.Reveal(), err, joined)
	}
	if _, err := (config.Text{{Plain: "a"}, {Ref: builtin("gone", "")}}).Resolve(get); err == nil {
		t.Error("a part that cannot be obtained is no error")
	}
}

// TestLoginIsNotShown: what stands in a login call by mistake is not listed with the origins.
func TestLoginIsNotShown(t *testing.T) {
	c := parse(t, `services:
  a:
    upstream: https://a.example.com
    credential:
      kind: exchange
      token: /t
      request: {url: /login, json: {user: `+canary+`, n: [1, ref+builtin://a]}, query: {user: `+canary+`}}
      inputs: {}
`)
	seen := false
	for _, o := range config.Origins(c) {
		if o.Key == "services.a.credential.request.json" {
			seen = o.Value == "{n: [1, ref+builtin://a], user: [not shown]}"
		}
		if o.Value == canary {
			t.Errorf("%s shows %s", o.Key, o.Value)
		}
	}
	if !seen {
		t.Error("the login call is not listed as it should be")
	}
}
