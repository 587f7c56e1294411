// Package presetkeys is how tests read presets: a struct of the keys that the presets' credentials have, so that what a
// preset says is held against the vendors' facts without the code that services are filled with.
package presetkeys

import (
	"fmt"

	"github.com/goccy/go-yaml"

	"sallyport/internal/config/preset"
)

// Preset is a preset, and its credentials as structs.
type Preset struct {
	preset.Preset

	Credential  Credential
	Credentials []Credential
}

// All returns every preset, sorted by name.
func All() []Preset {
	all := preset.All()
	out := make([]Preset, len(all))
	for i := range all {
		out[i] = Of(all[i])
	}
	return out
}

// Lookup returns the preset of that name.
func Lookup(name string) (Preset, bool) {
	p, ok := preset.Lookup(name)
	return Of(p), ok
}

// Of reads a preset. It panics over a key that it does not know.
func Of(p preset.Preset) Preset {
	out := Preset{Preset: p, Credential: read(p.Credential)}
	for _, c := range p.Credentials {
		out.Credentials = append(out.Credentials, read(c))
	}
	return out
}

func read(from preset.Credential) Credential {
	c := Credential{}
	text, err := yaml.Marshal(from.Keys)
	if err == nil {
		err = yaml.UnmarshalWithOptions(text, &c, yaml.Strict())
	}
	if err != nil {
		panic(fmt.Sprintf("reading a preset of kind %s: %v", from.Kind, err))
	}
	c.Kind, c.Is = from.Kind, from.Is
	return c
}

// Placements returns the preset's credentials as a list: one, or several.
func (p Preset) Placements() []Credential {
	if len(p.Credentials) > 0 {
		return p.Credentials
	}
	return []Credential{p.Credential}
}

// The kinds of credential that are more than a place.
const (
	KindRefreshToken      = "oauth2_refresh_token"
	KindClientCredentials = "oauth2_client_credentials"
	KindJWTBearer         = "jwt_bearer"
	KindGitHubApp         = "github_app"
	KindExchange          = "exchange"
	KindSigV4             = "aws_sigv4"
	KindOAuth1            = "oauth1"
	KindHMAC              = "hmac"
)

// Credential is where the secret goes, and for a derived kind how it is obtained: the form of a service's credential
// without the secret. URLs may begin with a slash, for a path of the upstream's host.
type Credential struct {
	Kind     string `yaml:"kind"` // bearer, header, basic, query, cookie, path, body, or one of the constants
	Header   string `yaml:"header"`
	Param    string `yaml:"param"`
	Username string `yaml:"username"`
	// basic: the pair before base64, where the secret is not the password, such as "{secret}:X"
	UserPass string `yaml:"user_pass"`
	Format   string `yaml:"format"`
	Pointer  string `yaml:"pointer"` // body: the field, as a JSON pointer
	As       string `yaml:"as"`      // body: json or form
	Is       string `yaml:"is"`      // one of several: what the secret is

	AuthorizeURL    string            `yaml:"authorize_url"`
	AuthorizeParams map[string]string `yaml:"authorize_params"`
	TokenURL        string            `yaml:"token_url"`
	RefreshURL      string            `yaml:"refresh_url"` // where refresh tokens go; "" is TokenURL
	PKCE            string            `yaml:"pkce"`        // "off" where the provider refuses it
	TokenHeaders    map[string]string `yaml:"token_headers"`
	Scopes          []string          `yaml:"scopes"`
	// how the client shows who it is at the token endpoint: basic or post
	Auth   string            `yaml:"auth"`
	Params map[string]string `yaml:"params"` // further ones for the token endpoint
	// false: the use of a refresh token does not end it; nil: as the token endpoint is known for
	Rotates  *bool    `yaml:"rotates"`
	APIURL   string   `yaml:"api_url"`
	Audience string   `yaml:"audience"`
	Request  *Request `yaml:"request"`
	// the JSON pointer of the token in the answer; exchange: or header: and the name of a header
	Token string `yaml:"token"`
	// exchange: the JSON pointer of a number of seconds, or a duration
	Lifetime    string       `yaml:"lifetime"`
	ExpiresAt   string       `yaml:"expires_at"` // exchange: the JSON pointer of a point in time
	Place       *Place       `yaml:"place"`      // nil is bearer
	Algorithm   string       `yaml:"algorithm"`  // hmac
	Encoding    string       `yaml:"encoding"`   // hmac, of the signature
	Message     string       `yaml:"message"`    // hmac: what is signed
	Region      string       `yaml:"region"`
	Service     string       `yaml:"service"`
	ExpiredWhen *ExpiredWhen `yaml:"expired_when"` // nil is status 401
}

// Request is a login call. "{name}" stands for one of the preset's Needs.
type Request struct {
	Method  string            `yaml:"method"` // "" is POST
	URL     string            `yaml:"url"`
	Headers map[string]string `yaml:"headers"`
	Basic   *Basic            `yaml:"basic"`
	Query   map[string]string `yaml:"query"`
	JSON    map[string]any    `yaml:"json"` // maps and strings
	Form    map[string]string `yaml:"form"`
}

// Place is where a token goes once it is obtained.
type Place struct {
	Kind   string `yaml:"kind"` // bearer, header, query or cookie
	Header string `yaml:"header"`
	Param  string `yaml:"param"`
	Format string `yaml:"format"`
}

// ExpiredWhen is how the API says that a token has expired: by one of these statuses, or by a value in the body
// whatever the status.
type ExpiredWhen struct {
	Status []int     `yaml:"status"`
	Body   *BodyRule `yaml:"body"`
}

// BodyRule is a field of a JSON body and the values, numbers and strings alike, that say that the token has expired.
type BodyRule struct {
	Pointer string   `yaml:"pointer"`
	In      []string `yaml:"in"`
}

// Basic is the pair of a login call.
type Basic struct {
	Username string `yaml:"username"`
	Password string `yaml:"password"`
}

// Derived tells kinds that mint a token from kinds that put the secret itself on the wire.
func (c Credential) Derived() bool {
	switch c.Kind {
	case KindRefreshToken, KindClientCredentials, KindJWTBearer, KindGitHubApp, KindExchange:
		return true
	}
	return false
}

// Goes returns where the value goes once it is obtained: for a derived kind its place.
func (c Credential) Goes() Place {
	if !c.Derived() {
		return Place{c.Kind, c.Header, c.Param, c.Format}
	}
	if c.Place != nil {
		return *c.Place
	}
	return Place{Kind: "bearer"}
}

// Rotating tells whether a credential's refresh tokens have to be taken for such that are used once: as the preset
// says, or as its token endpoint is known for.
func (c Credential) Rotating() bool {
	if c.Rotates != nil {
		return *c.Rotates
	}
	return !preset.Reusable(c.TokenURL)
}
