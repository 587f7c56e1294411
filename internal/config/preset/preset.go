// Package preset holds the services that ship with Sallyport: where an API is, where its credential goes, how a token for it
// is obtained, and how the API says that the token has expired.
//
// An API of which more is known than that is one file under data/, written from its own documentation, which it names. The
// others are entries of the files under table/, of the same form: what they say is held against n8n's definitions, whose facts
// are under catalogue/. It is all data: package config fills a service from it, and nothing here talks to a network.
//
// Invariant: a preset never holds a secret, its upstream is https, and a credential type of n8n has exactly one verdict.
package preset

import (
	"bytes"
	"fmt"

	"github.com/goccy/go-yaml"
)

// Preset is one API. What is empty is left to the service that names the preset, or to its defaults.
type Preset struct {
	Name          string            `yaml:"-"` // the file's name, or the entry's
	Title         string            `yaml:"title"`
	Docs          string            `yaml:"docs"` // the API's own page on authentication
	N8N           []string          `yaml:"n8n"`  // the n8n credential types that it stands for
	Upstream      string            `yaml:"upstream"`
	UpstreamNeeds []string          `yaml:"upstream_needs"` // what the user has to know to write upstream, such as "subdomain"; then Upstream is empty
	UpstreamEg    string            `yaml:"upstream_example"`
	UsernameNeeds string            `yaml:"username_needs"` // what the user has to give as credential.username
	Needs         map[string]string `yaml:"needs"`          // what the user has to give besides: "{name}" stands for it in URLs, parameters and login calls
	Credential    Credential        `yaml:"credential"`
	Credentials   []Credential      `yaml:"credentials"`      // several in one request; then Credential is empty
	Headers       map[string]string `yaml:"headers"`          // set unless the caller sends them
	Overrides     []string          `yaml:"override_headers"` // those of Headers and HeadersNeeds that replace what the caller sends
	HeadersNeeds  map[string]string `yaml:"headers_needs"`    // headers that hold no secret, which the user has to give, and what each is
	EncodedSlash  bool              `yaml:"encoded_slash"`
	DoubleSlash   bool              `yaml:"double_slash"`
	Test          Test              `yaml:"test"`
	Notes         string            `yaml:"notes"`
	Verified      string            `yaml:"verified"` // the page that says what goes beyond n8n's definition, such as expiry
	Deviates      string            `yaml:"deviates"` // why the credential goes elsewhere than n8n puts it
	Checked       Checked           `yaml:"checked"`
	Expect        Expect            `yaml:"expect"`
}

// Checked is when a person held the whole preset, its test call and its hosts included, against what someone else says. Against
// is the vendor's own page, or CheckedN8N, which is weaker: n8n's definitions outlive APIs. The zero value means that nobody
// has, beyond the comparison with n8n's facts that the tests make.
type Checked struct {
	Date    string `yaml:"date"` // as 2006-01-02
	Against string `yaml:"against"`
}

// CheckedN8N as Checked.Against is n8n's own code for the type, its test call and its nodes.
const CheckedN8N = "n8n"

// AgainstVendor tells presets that were held against a page of the vendor.
func (c Checked) AgainstVendor() bool { return c.Date != "" && c.Against != CheckedN8N }

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

// Credential is where the secret goes, and for a derived kind how it is obtained: the form of a service's credential without
// the secret. URLs may begin with a slash, for a path of the upstream's host.
type Credential struct {
	Kind     string `yaml:"kind"` // bearer, header, basic, query, cookie, path, body, or one of the constants
	Header   string `yaml:"header"`
	Param    string `yaml:"param"`
	Username string `yaml:"username"`
	UserPass string `yaml:"user_pass"` // basic: the pair before base64, where the secret is not the password, such as "{secret}:X"
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
	Auth            string            `yaml:"auth"`    // how the client shows who it is at the token endpoint: basic or post
	Params          map[string]string `yaml:"params"`  // further ones for the token endpoint
	Rotates         *bool             `yaml:"rotates"` // false: the use of a refresh token does not end it; nil: as the token endpoint is known for
	APIURL          string            `yaml:"api_url"`
	Audience        string            `yaml:"audience"`
	Request         *Request          `yaml:"request"`
	Token           string            `yaml:"token"`      // the JSON pointer of the token in the answer; exchange: or header: and the name of a header
	Lifetime        string            `yaml:"lifetime"`   // exchange: the JSON pointer of a number of seconds, or a duration
	ExpiresAt       string            `yaml:"expires_at"` // exchange: the JSON pointer of a point in time
	Place           *Place            `yaml:"place"`      // nil is bearer
	Algorithm       string            `yaml:"algorithm"`  // hmac
	Encoding        string            `yaml:"encoding"`   // hmac, of the signature
	Message         string            `yaml:"message"`    // hmac: what is signed
	Region          string            `yaml:"region"`
	Service         string            `yaml:"service"`
	ExpiredWhen     *ExpiredWhen      `yaml:"expired_when"` // nil is status 401
}

// Request is a login call. "{name}" stands for one of the preset's Needs.
type Request struct {
	Method  string            `yaml:"method"` // "" is POST
	URL     string            `yaml:"url"`
	Headers map[string]string `yaml:"headers"`
	Basic   string            `yaml:"basic"` // the pair before base64
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

// ExpiredWhen is how the API says that a token has expired: by one of these statuses, or by a value in the body whatever the
// status.
type ExpiredWhen struct {
	Status []int     `yaml:"status"`
	Body   *BodyRule `yaml:"body"`
}

// BodyRule is a field of a JSON body and the values, numbers and strings alike, that say that the token has expired.
type BodyRule struct {
	Pointer string   `yaml:"pointer"`
	In      []string `yaml:"in"`
}

// Placements returns the preset's credentials as a list: one, or several.
func (p Preset) Placements() []Credential {
	if len(p.Credentials) > 0 {
		return p.Credentials
	}
	return []Credential{p.Credential}
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

// Test is a call that changes nothing and needs the credential. Path "" means that the API has none that fits everyone.
type Test struct {
	Method string `yaml:"method"` // "" is GET
	Path   string `yaml:"path"`
	Status []int  `yaml:"status"` // nil is [200]
}

// Expect is what the API's documentation says it wants to receive for the secret "s3cret" and, where UsernameNeeds asks
// for one, the user "us3r". It is written by hand and never computed, so that tests can hold the code against it.
type Expect struct {
	Header string `yaml:"header"` // a header's name, or
	Param  string `yaml:"param"`  // a query parameter's
	Value  string `yaml:"value"`  // the whole value
}

// The stand-ins that Expect is written for.
const (
	ExpectSecret   = "s3cret"
	ExpectUsername = "us3r"
)

// All returns every preset, sorted by name.
func All() []Preset {
	names := Names()
	all := make([]Preset, len(names))
	for i, name := range names {
		all[i], _ = Lookup(name)
	}
	return all
}

// Lookup returns the preset of that name.
func Lookup(name string) (Preset, bool) {
	src, ok := embeddedLibrary().text[name]
	if !ok {
		return Preset{}, false
	}
	p := Preset{Name: name}
	if err := yaml.NewDecoder(bytes.NewReader(src), yaml.Strict()).Decode(&p); err != nil {
		panic(fmt.Sprintf("reading the embedded preset %q: %v", name, err)) // a test reads them all
	}
	return p, true
}
