package boundary

import (
	"iter"
	"net/http"
	"net/netip"
)

// View is all of a request that the decision (steps 1 to 4) may look at. The ways in fill it from whatever engine parsed the
// request; nothing in it has been decoded, joined or cleaned.
type View struct {
	Method   string
	Service  string // the service's name as the way in found it
	Path     string // escaped path below the service, beginning with a slash
	RawQuery string
	Header   Header
	Source   netip.Addr // the address the connection comes from
	Refusal  string     // set by the way in: why the request was malformed before it had a reading at all
	Body     Framing    // set by the way in where a body can turn out malformed while it is read; may be nil
	Mount    string     // what stands before Path in the caller's URL: Location headers are rewritten to it
}

// Framing watches over the body of a request.
type Framing interface {
	// BodyViolation says what is wrong with the framing of the body, or "". It may be called while the body is read.
	BodyViolation() string
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
