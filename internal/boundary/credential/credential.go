// Package credential knows how each kind of credential goes onto a request: one file for each kind.
//
// A Part is one credential: a Spec, which says where it goes, with the secret's value, with a Source of derived tokens,
// or with a Signer. An Assembly is all that the requests of one service are given, a Material is an Assembly with the
// tokens of this moment, and a Holder keeps the active Assembly. The package reads no store and makes no calls; where
// the request goes is not its business.
//
// Invariant: a Material's bytes reach a request through Inject only, and its Forms are every shape they could come back
// in.
package credential

import (
	"fmt"
	"net/http"
	"strings"

	"sallyport/internal/boundary/scrub"
	"sallyport/internal/secret"
)

// The kinds that put a secret somewhere.
const (
	KindBearer = "bearer"
	KindHeader = "header"
	KindBasic  = "basic"
	KindQuery  = "query"
	KindCookie = "cookie"
	KindPath   = "path"
	KindBody   = "body"
	KindNone   = "none"
)

// placeholder is where a format takes the secret.
const placeholder = "{secret}"

// minSecret is the shortest secret, in bytes, that is injected: a shorter one could not be told from ordinary text when
// it comes back, so it could not be scrubbed.
const minSecret = scrub.MinLength

// Spec is where a credential goes, without its secret. Of a kind that signs it is where the signature goes: Header, or
// Param.
type Spec struct {
	Kind     string
	Header   string // kind header (default for bearer, basic and what signs: Authorization)
	Param    string // kind query
	Cookie   string // kind cookie: its name
	Pointer  string // kind body: a JSON pointer to the field; in a form /name
	As       string // kind body: json or form
	Username string // kind basic
	UserPass string // kind basic: the pair before base64, such as "{secret}:X"; "": Username and the secret
	HideUser bool   // kind basic: the user name comes from a store and must not come back either
	// how the secret is dressed; "" is the kind's default. Kind path: what is put before the path, /bot{secret}
	Format string
}

// Slot is where the service's own credential stands in a request: a caller may put its proxy token there, and whatever
// a caller put there is taken out.
type Slot struct {
	Header string // canonical header name, or ""
	Param  string // query parameter, or ""
	Cookie string // name of a cookie, or ""
	Path   string // what the path begins with, with {secret} in it, or ""
}

// Slot returns where this kind of credential stands.
func (s Spec) Slot() Slot {
	switch s.Kind {
	case KindQuery:
		return Slot{Param: s.Param}
	case KindHeader:
		return Slot{Header: http.CanonicalHeaderKey(s.Header)}
	case KindCookie:
		return Slot{Cookie: s.Cookie}
	case KindPath:
		return Slot{Path: s.Format}
	case KindBody, KindNone, "":
		return Slot{}
	default:
		if s.Param != "" {
			return Slot{Param: s.Param}
		}
		return Slot{Header: authorization(s.Header)}
	}
}

func authorization(header string) string {
	if header == "" {
		return "Authorization"
	}
	return http.CanonicalHeaderKey(header)
}

// placement is one secret, dressed, and where it goes.
type placement struct {
	header, param, cookie, prefix string     // the one that is not empty; param is "key=escaped secret"
	values                        []string   // of header
	value                         string     // of cookie
	field                         *bodyField // or this
	forms                         [][]byte   // what must not come back
}

// place dresses a secret for its kind. The error says what is wrong with the secret and never quotes it.
func place(s Spec, value secret.Value) (placement, error) {
	if s.Kind == KindNone {
		return placement{}, nil
	}
	if value.Len() < minSecret {
		return placement{}, fmt.Errorf("the secret has %d bytes; under %d it could not be kept from coming back",
			value.Len(), minSecret)
	}
	p := placement{}
	var err error
	switch s.Kind {
	case KindBearer:
		p, err = bearer(s, value)
	case KindHeader:
		p, err = header(s, value)
	case KindBasic:
		p, err = basic(s, value)
	case KindQuery:
		p = query(s, value)
	case KindCookie:
		p, err = cookie(s, value)
	case KindPath:
		p, err = path(s, value)
	case KindBody:
		p, err = field(s, value)
	default:
		err = fmt.Errorf("no credential kind %q", s.Kind)
	}
	if err != nil {
		return placement{}, err
	}
	p.forms = append(p.forms, value.Reveal())
	return p, nil
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
			return fmt.Errorf("the secret has a line break at byte %d, which cannot stand in a header: set it again "+
				"without", i)
		case c < ' ' || c >= 0x7f || c == ' ' && edge:
			return fmt.Errorf("the secret has a character at byte %d that cannot stand in a header", i)
		}
	}
	return nil
}
