package secret

import (
	"context"
	"net/url"
	"time"
)

// Builtin is the name of the store in Sallyport's own database, which is there without an entry in the configuration.
const Builtin = "builtin"

// DefaultRefresh is how often secrets in use are read again from a store whose kind says nothing else.
const DefaultRefresh = time.Minute

// Kind is all that the rest of Sallyport knows of a kind of store. The folder of an adapter declares its own;
// internal/app has the one list of them.
type Kind struct {
	Name    string // what the configuration says for `kind`, and the name of the folder
	Summary string // one sentence, for the reference and for editors
	Page    string // Markdown: its page in docs/stores, from where links count

	// Settings returns empty settings: a pointer to a struct whose fields are the keys that stores of this kind have
	// beside the common ones. Its tags are those of package config.
	Settings func() Settings
	// Always returns the settings of the store that is there, by the kind's name, without an entry in the
	// configuration. nil: there is none.
	Always func() Settings

	Refresh time.Duration // the default of the key refresh; 0 is DefaultRefresh
	// such stores are only read, whatever they are set up with: a secret in one is not rotated
	ReadOnly bool
	Fixed    bool // what a store has been opened with never changes: it takes neither refresh nor max_stale
	// it is Sallyport's own database: changes are told, uses are on record, and it takes no refresh
	Own bool

	// Moving tells which versions are names that can come to mean another version. nil: none is.
	Moving func(version string) bool

	// Withhold lists the variables with which such stores are entered, NAME or PREFIX*: a program that is started does
	// not get them.
	Withhold []string

	ByKind  bool // references of others (a bare ARN) name the kind, and mean the one store of it, whatever it is called
	AnyFile bool // a path that begins with a slash is a file's, which `sallyport run` reads wherever it lies
}

// Settings are what one store of a kind is set up with.
type Settings interface {
	// Check reports what is wrong with single values and with what they say of each other. Shapes, bounds and keys that
	// have to be there are the declaration's; with a value that could not be read, a zero value stands here.
	Check(r Report)
	// Files lists what is read once, when the store is opened: it is opened again after one has changed.
	Files() []string
	// Variables lists the variables, by name, from which the store has its own credentials, of those in environ.
	Variables(environ []string) []string
	// Open makes the store. It contacts nobody, and is called only with settings that Check has found nothing wrong
	// with.
	Open(ctx context.Context, on Host) (Store, error)
}

// Host is what a store finds where it is opened.
type Host struct {
	Environ []string                                 // NAME=VALUE each, as the process was started
	Own     func(ctx context.Context) (Store, error) // opens the store in Sallyport's own database
}

// Report takes what is wrong with settings. A key is dotted and counts from the settings ("auth.token_env"); "" is the
// store as a whole. A message goes on after the key's name ("is not …"); a hint says what to write. Neither ever quotes
// a value that may be a secret. The other methods check what many settings have, and leave out what is empty.
type Report interface {
	Fail(key, message, hint string)
	Warn(key, message, hint string)

	// URL wants http:// or https:// and a host, without user, query and fragment.
	URL(key, text string)
	// Address wants HOST or HOST:PORT; example is one.
	Address(key, text, example string)
	// Plain warns of plain HTTP to a public host. u may be nil.
	Plain(key string, u *url.URL)
	// Certificates wants a file of PEM certificates.
	Certificates(key, file string)
	// Pair wants a PEM certificate and its key, which stand in cert_file and key_file below key.
	Pair(key, certFile, keyFile string)
	// Variable wants the name of an environment variable, and not the value itself.
	Variable(key, name string)
}

// Remote are settings of a store that is reached over the network.
type Remote interface {
	// Servers lists where it is, as URLs with a scheme and a host; without those that the store finds by itself when it
	// is opened.
	Servers() []Server
}

// Server is an address of a store.
type Server struct {
	URL    *url.URL
	CAFile string // PEM certificates to trust instead of the system's
}
