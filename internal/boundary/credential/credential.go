// Package credential knows how each kind of credential goes onto a request: one file for each kind.
//
// A Spec says what configuration asks for, Build joins it with the secret's value to a Material, and a Holder keeps the
// Material that is in force. The package reads no store and makes no calls; where the request goes is not its business.
//
// Invariant: a Material's bytes reach a request through Inject only, and its Forms are every shape they could come back in.
package credential

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"sallyport/internal/boundary/scrub"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// The kinds.
const (
	KindBearer = "bearer"
	KindHeader = "header"
	KindBasic  = "basic"
	KindQuery  = "query"
	KindNone   = "none"
)

// placeholder is where a format takes the secret.
const placeholder = "{secret}"

// minSecret is the shortest secret, in bytes, that is injected: a shorter one could not be told from ordinary text when it
// comes back, so it could not be scrubbed.
const minSecret = 4

// Spec is the shape of a credential, without its secret.
type Spec struct {
	Kind     string
	Header   string // kind header (default for bearer and basic: Authorization)
	Param    string // kind query
	Username string // kind basic
	HideUser bool   // kind basic: the user name comes from a store and must not come back either
	Format   string // how the secret is dressed; "" is the kind's default
}

// Slot is where the service's own credential stands in a request: a caller may put its proxy token there, and whatever a
// caller put there is taken out.
type Slot struct {
	Header string // canonical header name, or ""
	Param  string // query parameter, or ""
}

// Outgoing is the part of a request that a credential changes.
type Outgoing struct {
	Header   http.Header
	RawQuery string
}

// Material is a credential ready for requests. It is immutable and safe for concurrent use.
type Material struct {
	Versions []string   // "openai@3": names and versions, for the audit log
	Forms    *scrub.Set // every form of it that must not come back
	header   string
	values   []string
	param    string // "key=escaped secret"
}

// Format keeps fmt from looking inside.
func (*Material) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[credential]")) }

// LogValue keeps slog from looking inside.
func (*Material) LogValue() slog.Value { return slog.StringValue("[credential]") }

// Inject puts the credential on o. The caller's own value in the slot must be gone already.
func (m *Material) Inject(o *Outgoing) {
	if m.header != "" {
		o.Header[m.header] = m.values
	}
	switch {
	case m.param == "":
	case o.RawQuery == "":
		o.RawQuery = m.param
	default:
		o.RawQuery += "&" + m.param
	}
}

// Slot returns where this kind of credential stands.
func (s Spec) Slot() Slot {
	switch s.Kind {
	case KindQuery:
		return Slot{Param: s.Param}
	case KindHeader:
		return Slot{Header: http.CanonicalHeaderKey(s.Header)}
	case KindBearer, KindBasic:
		return Slot{Header: authorization(s.Header)}
	default:
		return Slot{}
	}
}

func authorization(header string) string {
	if header == "" {
		return "Authorization"
	}
	return http.CanonicalHeaderKey(header)
}

// Build joins the shape with the secret. The error says what is wrong with the secret and never quotes it.
func Build(s Spec, value secret.Value, versions ...string) (*Material, error) {
	if s.Kind == KindNone {
		return &Material{Forms: scrub.Compile()}, nil
	}
	if value.Len() < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes; under %d it could not be kept from coming back", value.Len(), minSecret)
	}
	var m *Material
	var err error
	switch s.Kind {
	case KindBearer:
		m, err = bearer(s, value)
	case KindHeader:
		m, err = header(s, value)
	case KindBasic:
		m, err = basic(s, value)
	case KindQuery:
		m = query(s, value)
	default:
		err = fmt.Errorf("no credential kind %q", s.Kind)
	}
	if err != nil {
		return nil, err
	}
	m.Versions = slices.Clone(versions)
	return m, nil
}

// dress puts the secret into the format; without one it stands alone.
func dress(format string, value secret.Value) string {
	if format == "" {
		format = placeholder
	}
	return strings.ReplaceAll(format, placeholder, string(value.Reveal()))
}

// checkHeaderBytes wants what may stand inside a header value (RFC 9110 section 5.5, visible ASCII and inner spaces).
func checkHeaderBytes(value secret.Value) error {
	b := value.Reveal()
	for i, c := range b {
		edge := i == 0 || i == len(b)-1
		switch {
		case c == '\n' || c == '\r':
			return fmt.Errorf("the secret has a line break at byte %d, which cannot stand in a header: set it again without", i)
		case c < ' ' || c >= 0x7f || c == ' ' && edge:
			return fmt.Errorf("the secret has a character at byte %d that cannot stand in a header", i)
		}
	}
	return nil
}

// Holder keeps the Material in force; the zero Holder has none.
type Holder struct{ current atomic.Pointer[held] }

type held struct {
	material *Material
	fault    *fault.Fault
}

// Set puts m in force: the next request uses it.
func (h *Holder) Set(m *Material) { h.current.Store(&held{material: m}) }

// Fail says why there is no Material. With one in force already and keep set, that one stays: the last known good.
func (h *Holder) Fail(f *fault.Fault, keep bool) {
	if old := h.current.Load(); keep && old != nil && old.material != nil {
		h.current.Store(&held{material: old.material, fault: f})
		return
	}
	h.current.Store(&held{fault: f})
}

// Current returns the Material in force, or why there is none.
func (h *Holder) Current() (*Material, *fault.Fault) {
	c := h.current.Load()
	switch {
	case c == nil:
		return nil, fault.New(fault.CredentialMissing, "the credential has not been loaded yet")
	case c.material == nil:
		return nil, c.fault
	}
	return c.material, nil
}

// Trouble returns the fault of the last failed refresh, also while the last known good is in force; nil when all is well.
func (h *Holder) Trouble() *fault.Fault {
	if c := h.current.Load(); c != nil {
		return c.fault
	}
	return nil
}
