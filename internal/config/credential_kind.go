package config

import (
	"regexp"
	"strings"
)

// CredentialKind is all that this package knows of a kind of credential. The folder of a kind, below
// internal/boundary/credential, declares its own; internal/app has the one list of them.
type CredentialKind struct {
	Name    string // what the configuration says for `kind`; the folder's name is the same without '_'
	Summary string // one sentence, for the reference and for editors
	Page    string // Markdown, which begins with `# NAME`: its section in docs/credentials.md, from where links count

	// Settings returns empty settings: a pointer to a struct whose fields are the keys that credentials of this kind
	// have. Its tags are those of package declare; structs that several kinds share are embedded.
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
type Inputs map[string]Text

// inputName is where an input stands in a text.
var inputName = regexp.MustCompile(`\{[a-z][a-z0-9_]*\}`)
