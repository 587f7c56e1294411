package credential

import (
	"slices"

	"sallyport/internal/config"
)

// Token is embedded by kinds that obtain a token: where it goes, and how it ends.
type Token struct {
	Where       *Place        `yaml:"place" doc:"Where the token goes. Default: Authorization: Bearer TOKEN."`
	ExpiredWhen *ExpiredWhen  `yaml:"expired_when" doc:"How the API says that a token has expired; then a new one is obtained and the request sent once more. Default: status 401."`
	Inputs      config.Inputs `yaml:"inputs" free:"true" keys:"text" eg:"{tenant: contoso.onmicrosoft.com}" doc:"What a preset asks for (docs/presets.md): {NAME} stands for it in URLs, scopes, parameters, claims, headers and login calls. {upstream} stands for the service's upstream."`
}

// Place is where a token goes.
type Place struct {
	Kind   string `yaml:"kind" default:"bearer" enum:"bearer header query cookie" doc:"As the credential's kinds of these names."`
	Header string `yaml:"header" eg:"X-Auth-Token" doc:"Kind header: the header's name."`
	Param  string `yaml:"param" eg:"access_token" doc:"Kind query: the query parameter's name."`
	Cookie string `yaml:"cookie" eg:"session" doc:"Kind cookie: the cookie's name."`
	Format string `yaml:"format" free:"true" eg:"\"Token {secret}\"" doc:"How the token is written; {secret} stands for it. Default: Bearer {secret} for bearer, {secret} for the others."`
}

// ExpiredWhen is how an API says that a token has expired: by one of the statuses, or by a value in the body whatever
// the status.
type ExpiredWhen struct {
	Status []int        `yaml:"status" default:"401" min:"400" max:"599" doc:"The statuses that say so."`
	Body   *ExpiredBody `yaml:"body" doc:"A field of a JSON body that says so, whatever the status."`
}

// ExpiredBody is a field of a JSON body and the values, numbers and strings alike, that say that the token has expired.
type ExpiredBody struct {
	Pointer string      `yaml:"pointer" eg:"/code" doc:"The field, as a JSON pointer."`
	In      []string    `yaml:"in" eg:"[99991663]" doc:"The values that say so: numbers, strings, true or false."`
	Within  config.Size `yaml:"within" default:"64KiB" min:"1KiB" max:"1MiB" doc:"How much of a body is looked at. The rest streams."`
}

// Class implements config.CredentialSettings.
func (*Token) Class() config.Class { return config.Derived }

// Spec implements Settings.
func (t *Token) Spec() Spec {
	if t.Where == nil {
		return Spec{Kind: KindBearer}
	}
	return Spec{
		Kind: t.Where.Kind, Header: t.Where.Header, Param: t.Where.Param, Cookie: t.Where.Cookie,
		Format: t.Where.Format,
	}
}

// Slot implements config.CredentialSettings.
func (t *Token) Slot() config.Slot { return t.Spec().Place() }

// Expires implements Minting.
func (t *Token) Expires() *ExpiredWhen { return t.ExpiredWhen }

// Replays says that a request may have to be sent twice: with a newer token.
func (*Token) Replays() bool { return true }

// ImplyPlace fills in the place's format.
func (t *Token) ImplyPlace(i config.Implied) {
	if t.Where == nil {
		return
	}
	i.Text("place.kind", &t.Where.Kind, KindBearer)
	format := placeholder
	if t.Where.Kind == KindBearer {
		format = "Bearer " + placeholder
	}
	i.Text("place.format", &t.Where.Format, format)
}

// CheckToken checks the place and the end of a token.
func (t *Token) CheckToken(r *config.CredentialReport) {
	t.checkExpiry(r)
	p := t.Where
	if p == nil {
		return
	}
	for _, one := range [][3]string{
		{KindHeader, "header", p.Header},
		{KindQuery, "param", p.Param},
		{KindCookie, "cookie", p.Cookie},
	} {
		switch kind, name, value := one[0], one[1], one[2]; {
		case kind == p.Kind && value == "":
			r.Fail("place", "is of kind "+kind+" and has no "+name, "name it")
		case kind != p.Kind && value != "":
			r.Fail("place."+name, "does not go with kind "+p.Kind, "write kind: "+kind)
		}
	}
	r.Header("place.header", p.Header)
	r.Param("place.param", p.Param)
	r.Cookie("place.cookie", p.Cookie)
	r.Format("place.format", p.Format, `"Token {secret}"`)
}

func (t *Token) checkExpiry(r *config.CredentialReport) {
	if t.ExpiredWhen == nil {
		return
	}
	if slices.Contains(t.ExpiredWhen.Status, 429) {
		r.Fail("expired_when.status",
			"has 429, which says that there were too many requests: another token does not help", "leave it out")
	}
	body := t.ExpiredWhen.Body
	if slices.Contains(t.ExpiredWhen.Status, 403) && body == nil && r.Written("expired_when.status") {
		r.Warn("expired_when.status", "has 403: every request that is forbidden for another reason is sent twice",
			"name the code in the body, if the API sends one: body: {pointer: /code, in: [expired]}")
	}
	if body == nil {
		return
	}
	if problem := r.PointerProblem(body.Pointer); problem != "" {
		r.Fail("expired_when.body", "has a pointer that "+problem, "write pointer: /code")
	}
	if len(body.In) == 0 {
		r.Fail("expired_when.body", "has no values", "write in: [99991663]")
	}
}
