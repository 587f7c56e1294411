// Package preset holds the services that ship with Sallyport: where an API is, where its credential goes, how a token
// for it is obtained, and how the API says that the token has expired.
//
// An API of which more is known than that is one file under data/, written from its own documentation, which it names.
// The others are entries of the files under table/, of the same form: what they say is held against n8n's definitions,
// whose facts are under catalogue/. It is all data: package config fills a service from it, and nothing here talks to a
// network.
//
// Invariant: a preset never holds a secret, its upstream is https, and a credential type of n8n has exactly one
// verdict.
package preset

// Preset is one API. What is empty is left to the service that names the preset, or to its defaults.
type Preset struct {
	Name     string   `yaml:"-"` // the file's name, or the entry's
	Title    string   `yaml:"title"`
	Docs     string   `yaml:"docs"` // the API's own page on authentication
	N8N      []string `yaml:"n8n"`  // the n8n credential types that it stands for
	Upstream string   `yaml:"upstream"`
	// what the user has to know to write upstream, such as "subdomain"; then Upstream is empty
	UpstreamNeeds []string `yaml:"upstream_needs"`
	UpstreamEg    string   `yaml:"upstream_example"`
	UsernameNeeds string   `yaml:"username_needs"` // what the user has to give as credential.username
	// what the user has to give besides: "{name}" stands for it in URLs, parameters and login calls
	Needs       map[string]string `yaml:"needs"`
	Credential  Credential        `yaml:"credential"`
	Credentials []Credential      `yaml:"credentials"` // several in one request; then Credential is empty
	Headers     map[string]string `yaml:"headers"`     // set unless the caller sends them
	// those of Headers and HeadersNeeds that replace what the caller sends
	Overrides []string `yaml:"override_headers"`
	// headers that hold no secret, which the user has to give, and what each is
	HeadersNeeds map[string]string `yaml:"headers_needs"`
	EncodedSlash bool              `yaml:"encoded_slash"`
	DoubleSlash  bool              `yaml:"double_slash"`
	Test         Test              `yaml:"test"`
	Notes        string            `yaml:"notes"`
	// the page that says what goes beyond n8n's definition, such as expiry
	Verified string  `yaml:"verified"`
	Deviates string  `yaml:"deviates"` // why the credential goes elsewhere than n8n puts it
	Checked  Checked `yaml:"checked"`
	Expect   Expect  `yaml:"expect"`
}

// Checked is when a person held the whole preset, its test call and its hosts included, against what someone else says.
// Against is the vendor's own page, or CheckedN8N, which is weaker: n8n's definitions outlive APIs. The zero value
// means that nobody has, beyond the comparison with n8n's facts that the tests make.
type Checked struct {
	Date    string `yaml:"date"` // as 2006-01-02
	Against string `yaml:"against"`
}

// CheckedN8N as Checked.Against is n8n's own code for the type, its test call and its nodes.
const CheckedN8N = "n8n"

// AgainstVendor tells presets that were held against a page of the vendor.
func (c Checked) AgainstVendor() bool { return c.Date != "" && c.Against != CheckedN8N }

// Placements returns the preset's credentials as a list: one, or several.
func (p Preset) Placements() []Credential {
	if len(p.Credentials) > 0 {
		return p.Credentials
	}
	return []Credential{p.Credential}
}

// Test is a call that changes nothing and needs the credential. Path "" means that the API has none that fits everyone.
type Test struct {
	Method string `yaml:"method"` // "" is GET
	Path   string `yaml:"path"`
	Status []int  `yaml:"status"` // nil is [200]

	Expires Expires `yaml:"expires"`
}

// Expires is where the response to a test call says when the credential expires: a header, or a member of its JSON.
type Expires struct {
	Header  string `yaml:"header"`
	Pointer string `yaml:"pointer"`
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
