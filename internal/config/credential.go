package config

import (
	"reflect"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
	"sallyport/internal/secret"
)

// CredentialKind is all that this package knows of a kind of credential. The folder of a kind, below
// internal/boundary/credential, declares its own; internal/app has the one list of them.
type CredentialKind struct {
	Name    string // what the configuration says for `kind`; the folder's name is the same without '_'
	Summary string // one sentence, for the reference and for editors
	Page    string // Markdown, which begins with `# NAME`: its section in docs/credentials.md, from where links count

	// Settings returns empty settings: a pointer to a struct whose fields are the keys that credentials of this kind
	// have. Its tags are those of this package; structs that several kinds share are embedded.
	Settings func() CredentialSettings

	// Shown writes what the keys of a preset's credential say, for the table of presets: what goes onto the wire, with
	// {secret} for the secret; of a kind that obtains a token, where that comes from. It is handed the text at a key,
	// which is "" where there is none. nil: the name says it all.
	Shown func(text func(path ...string) string) string

	Usual bool // it is the kind of a credential of which nothing but the secret is written; exactly one kind is
}

// CredentialSettings are what one credential of a kind is set up with. What goes onto requests, and how a token is
// obtained, are methods for the packages above this one.
type CredentialSettings interface {
	// Class tells how the credential is used.
	Class() Class
	// Slot is where it goes; of a kind that obtains a token, where the token goes.
	Slot() Slot
	// Check reports what is wrong with single values and with what they say of each other. Shapes, bounds, references
	// and keys that have to be there are the declaration's; with a value that could not be read, a zero value stands
	// here.
	Check(r *CredentialReport)
}

// Implying are settings of which some follow from others, or from the service.
type Implying interface {
	// Imply fills in what nobody has set and no tag says. It is called once presets are filled in, before inputs are.
	Imply(i Implied)
}

// Class is how a credential is used.
type Class int

// The classes. Nothing is the kind for APIs that want no credential.
const (
	Static  Class = iota // the secret itself goes onto the request
	Derived              // a token is obtained, and goes onto the request
	Signing              // each request is signed
	Nothing
)

// Slot is where a credential goes. At most one field is set; the zero Slot is nowhere.
type Slot struct {
	Header  string // as it is written
	Param   string // of the query
	Cookie  string
	Pointer string // a field of the body
	Path    bool   // before the path
}

// String names the slot, so that two of the same place have the same name: "header x-api-key", "parameter key".
func (s Slot) String() string {
	switch {
	case s.Header != "":
		return "header " + strings.ToLower(s.Header)
	case s.Param != "":
		return "parameter " + s.Param
	case s.Cookie != "":
		return "cookie " + s.Cookie
	case s.Path:
		return "path"
	case s.Pointer != "":
		return "body " + s.Pointer
	}
	return ""
}

// Name is what the place is called in the request: the header, the parameter, the cookie or the field; "" where it has
// no name.
func (s Slot) Name() string { return s.Header + s.Param + s.Cookie + s.Pointer }

// Inputs are what a preset asks for, by name.
type Inputs map[string]notation.Text

// Credential says what is injected, and where. After Load the settings are complete: what the kind implies is filled
// in, inputs are in their places, and URLs are absolute.
type Credential struct {
	Kind     string             `yaml:"kind" doc:"How the API wants to be shown who calls, which says what other keys there are. docs/credentials.md has an example of each. Default: bearer, if there is a secret."`
	Settings CredentialSettings `of:"kind"` // nil where the kind is not known

	unread []string // the keys that were written without a kind
}

// LeaveUnread notes keys that are there without a kind that they would go with.
func (c *Credential) LeaveUnread(keys []string) { c.unread = keys }

// Derived tells kinds that obtain a token from kinds that put the secret itself on the wire.
func (c *Credential) Derived() bool { return c.Settings != nil && c.Settings.Class() == Derived }

// Signing tells kinds that sign each request.
func (c *Credential) Signing() bool { return c.Settings != nil && c.Settings.Class() == Signing }

// Slot is where the credential goes.
func (c *Credential) Slot() Slot {
	if c.Settings == nil {
		return Slot{}
	}
	return c.Settings.Slot()
}

// Refs returns every reference in the credential, in the order of the declaration and of names. Inputs are left out:
// they are in their places.
func (c *Credential) Refs() []secret.Ref { return c.appendRefs(nil) }

func (c *Credential) appendRefs(out []secret.Ref) []secret.Ref {
	if c.Settings == nil {
		return out
	}
	return appendRefs(out, reflect.ValueOf(c.Settings).Elem())
}

// ClientTLS is a client certificate for the upstream, and for token endpoints that know the client by it.
type ClientTLS struct {
	Cert secret.Ref `yaml:"cert" eg:"ref+file://sallyport-client.crt" doc:"The certificate chain, PEM, leaf first."`
	Key  secret.Ref `yaml:"key" eg:"ref+file://sallyport-client.key" doc:"Its private key, PEM."`
}

// Replay is how much of a request's body is kept, for sending it once more or for signing it.
type Replay struct {
	Memory notation.Size `yaml:"memory" default:"1MiB" max:"1GiB" doc:"In memory. All requests together keep no more than 256MiB there and 4GiB in files; what finds no room is as if it were too long. The beginnings of bodies (32KiB) that are kept for a dead connection count as well."`
	Total  notation.Size `yaml:"total" default:"64MiB" max:"64GiB" doc:"In memory and in an unlinked temporary file. A longer body streams: it is not sent once more, and where it has to be signed it is refused."`
}

// Placements returns the service's credentials as a list: one, or several.
func (s *Service) Placements() []Credential {
	if len(s.Credentials) > 0 {
		return s.Credentials
	}
	return []Credential{s.Credential}
}

// Refs returns every reference of the service: of its credentials, client certificate and proxy.
func (s *Service) Refs() []secret.Ref {
	var out []secret.Ref
	if s.TLS != nil {
		out = appendRefs(out, reflect.ValueOf(s.TLS).Elem())
	}
	if !s.ProxySecret.IsZero() {
		out = append(out, s.ProxySecret)
	}
	if len(s.Credentials) == 0 {
		return s.Credential.appendRefs(out)
	}
	for i := range s.Credentials {
		out = s.Credentials[i].appendRefs(out)
	}
	return out
}

// appendRefs makes no copy of what it looks at: a reload asks for the references of every service several times.
func appendRefs(out []secret.Ref, v reflect.Value) []secret.Ref {
	if x, ok := reflect.TypeAssert[secret.Ref](v); ok {
		if !x.IsZero() {
			out = append(out, x)
		}
		return out
	}
	if x, ok := reflect.TypeAssert[notation.Text](v); ok {
		return append(out, x.Refs()...)
	}
	if v.Type() == reflect.TypeFor[Inputs]() {
		return out
	}
	switch v.Kind() { //nolint:exhaustive // the declaration has references nowhere else
	case reflect.Struct:
		for i := range v.NumField() {
			switch v.Field(i).Kind() { // most fields are, and this is asked for often
			case reflect.String, reflect.Bool:
			default:
				out = appendRefs(out, v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out = appendRefs(out, v.Elem())
		}
	case reflect.Map:
		for _, key := range declare.MapKeys(v) {
			out = appendRefs(out, v.MapIndex(reflect.ValueOf(key)))
		}
	case reflect.Interface:
		return notation.RefsWithin(out, v.Interface())
	}
	return out
}
