package boundary

import (
	"iter"
	"net/http"
	"net/netip"

	"sallyport/internal/fault"
)

// View is all of a request that the decision (steps 1 to 4) may look at. The ways in fill it from whatever engine
// parsed the request; nothing in it has been decoded, joined or cleaned.
type View struct {
	Method   string
	Service  string // the service's name as the way in found it
	Path     string // escaped path below the service, beginning with a slash
	Bare     bool   // the caller's URL has no slash there: Path is "/", and the base path alone is meant
	RawQuery string
	Header   Header
	// of Header as the caller wrote them, each with a colon behind it, where that is not the canonical form
	Names      string
	Source     netip.Addr // the address the connection comes from
	Refusal    string     // set by the way in: why the request was malformed before it had a reading at all
	Broken     error      // set by the way in: a panic (*fault.Panic) kept it from having one
	Body       Body       // set by the way in for a request with a body; else nil
	Connection Connection // set by the way in: what the request came on; nil when nobody counts
	Mount      string     // what stands before Path in the caller's URL: Location headers are rewritten to it
}

// Connection is what a request came on.
type Connection interface {
	// Prove is called once a valid token was presented on it: it no longer counts as a stranger's.
	Prove()
}

// Body is what the way in knows of a request's body, beside its bytes. All of it may be called while the body is read.
type Body interface {
	// BodyViolation says what is wrong with the framing of the body, or "".
	BodyViolation() string
	// Broken is the panic that ended the reading of the body, or nil.
	Broken() *fault.Panic
	// Settle reads what is left of a small body that nobody needs, within bounds, so that the connection can be used
	// again.
	Settle()
	// Finish ends the reading of the body, whoever does it, and waits for that. It reports false when the connection
	// has to be broken off then.
	Finish() bool
}

// Header is a look-up over header fields by canonical name.
type Header interface {
	// Values returns the values of a field in order; the slice is not changed.
	Values(name string) []string
	// All ranges over all fields.
	All() iter.Seq2[string, []string]
}

// NetHTTP is the Header of net/http.
type NetHTTP http.Header

// Values implements Header; name is in canonical form.
func (h NetHTTP) Values(name string) []string { return h[name] }

// All implements Header.
func (h NetHTTP) All() iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for name, values := range h {
			if !yield(name, values) {
				return
			}
		}
	}
}
