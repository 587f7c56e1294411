package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/fault"
)

// Outgoing is a request on its way out, as far as credentials see and change it.
type Outgoing struct {
	Method   string
	Scheme   string // http or https
	Host     string // as sent
	Base     string // the service's base path, escaped
	Path     string // escaped, below Base; "" for Base itself
	RawQuery string
	Header   http.Header
	Body     sign.Body // nil: none. A credential that goes into the body puts another one here.
	Now      time.Time
}

// Target is the escaped path as it goes on the wire.
func (o *Outgoing) Target() string {
	if o.Path == "" && o.Base == "" {
		return "/"
	}
	return o.Base + o.Path
}

// Material is a credential ready for requests: an Assembly with the tokens of one moment. It is immutable and safe for
// concurrent use.
type Material struct {
	Versions []string // "openai@3": names and versions, for the audit log

	signers []sign.Signer // those of the assembly for one request, which answer its own challenge; nil: the assembly's

	assembly *Assembly
	places   []placement
	tokens   []derive.Token // one for each of assembly.derived

	hidden *hidden // what must not come back: it, and the tokens that were active before it
}

// carries tells whether m has a token that other has too.
func (m *Material) carries(other *Material) bool {
	return slices.ContainsFunc(m.tokens, func(t derive.Token) bool {
		return slices.ContainsFunc(other.tokens, func(o derive.Token) bool { return o.Secret.Equal(t.Secret) })
	})
}

// Forms is every form of what must not come back.
func (m *Material) Forms() *scrub.Set { return m.hidden.forms() }

// hidden is secrets, and the matcher of their forms from its first use on. A matcher takes some 25 KiB, and of 10,000
// services few are called at one time.
type hidden struct {
	secrets [][]byte
	once    sync.Once
	set     *scrub.Set
}

func hide(secrets [][]byte) *hidden { return &hidden{secrets: secrets} }

func (h *hidden) forms() *scrub.Set {
	h.once.Do(func() { h.set = scrub.Compile(h.secrets...) })
	return h.set
}

// covering is m, among whose Forms are those of used as well: a request that was sent with used is sent again with m.
func (m *Material) covering(used *Material) *Material {
	covered := func(secret []byte) bool {
		return len(secret) == 0 || slices.ContainsFunc(m.hidden.secrets, func(own []byte) bool {
			return bytes.Equal(own, secret)
		})
	}
	if !slices.ContainsFunc(used.hidden.secrets, func(secret []byte) bool { return !covered(secret) }) {
		return m
	}
	both := *m
	both.hidden = hide(slices.Concat(m.hidden.secrets, used.hidden.secrets))
	return &both
}

// Format keeps fmt from looking inside.
func (*Material) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[credential]")) }

// LogValue keeps slog from looking inside.
func (*Material) LogValue() slog.Value { return slog.StringValue("[credential]") }

// Inject puts the credential on o, and then signs what o has become. The caller's own values in the slots must be gone
// already. With a fault o must not be sent.
func (m *Material) Inject(ctx context.Context, o *Outgoing) *fault.Fault {
	for i := range m.places {
		if f := m.places[i].put(ctx, o); f != nil {
			return f
		}
	}
	if len(m.assembly.signers) == 0 {
		return nil
	}
	return m.sign(ctx, o)
}

func (p *placement) put(ctx context.Context, o *Outgoing) *fault.Fault {
	switch {
	case p.header != "":
		o.Header[p.header] = p.values
	case p.param != "" && o.RawQuery == "":
		o.RawQuery = p.param
	case p.param != "":
		o.RawQuery += "&" + p.param
	case p.cookie != "":
		o.Header["Cookie"] = withCookie(o.Header["Cookie"], p.cookie, p.value)
	case p.prefix != "":
		o.Path = p.prefix + o.Path
	case p.field != nil:
		return p.field.put(ctx, o)
	}
	return nil
}

func (m *Material) sign(ctx context.Context, o *Outgoing) *fault.Fault {
	r := sign.Request{
		Method: o.Method, Scheme: o.Scheme, Host: o.Host, Path: o.Target(), RawQuery: o.RawQuery, Header: o.Header,
		Body: o.Body, Now: o.Now,
	}
	for _, s := range m.signing() {
		if err := s.Sign(ctx, &r); err != nil {
			return faultOf(ctx, "signing the request", err)
		}
	}
	o.RawQuery = r.RawQuery
	return nil
}

// faultOf puts an error of reading a body or of signing into the taxonomy.
func faultOf(ctx context.Context, doing string, err error) *fault.Fault {
	f, known := errors.AsType[*fault.Fault](err)
	switch {
	case known:
		return f
	case ctx.Err() != nil:
		return fault.New(fault.ClientGone, "the caller left before the request was complete").Wrap(err)
	case fault.HintOf(err) != "":
		return fault.New(fault.CredentialMissing,
			"the request could not be signed: "+err.Error()).WithHint(fault.HintOf(err)).Wrap(err)
	}
	return fault.New(fault.Internal, doing+" did not work").Wrap(err)
}

// NeedsBody tells whether Inject may need all of the body: it goes into it, or signs it.
func (m *Material) NeedsBody() bool { return m.assembly.needsBody }

// Renewable tells whether an expired Material can be replaced by a newer one.
func (m *Material) Renewable() bool { return len(m.tokens) > 0 }

// challenged is a signer that answers what a server asks it: Digest.
type challenged interface {
	Challenge(h http.Header) (answer sign.Signer, stale bool)
	Next(h http.Header)
}

// Challenge reads the header of a 401 and returns what the same request is worth sending once more with: m, that
// answers this very challenge. nil where nothing was asked. stale tells that the server refused nothing but the nonce.
func (m *Material) Challenge(h http.Header) (answering *Material, stale bool) {
	for i, s := range m.signing() {
		c, ok := s.(challenged)
		if !ok {
			continue
		}
		answer, old := c.Challenge(h)
		if answer == nil {
			continue
		}
		if answering == nil {
			own := *m
			own.signers = slices.Clone(m.signing())
			answering = &own
		}
		answering.signers[i], stale = answer, stale || old
	}
	return answering, stale
}

// signing are the signers of the request.
func (m *Material) signing() []sign.Signer {
	if m.signers != nil {
		return m.signers
	}
	return m.assembly.signers
}

// Next learns from the header of any other answer.
func (m *Material) Next(h http.Header) {
	for _, s := range m.signing() {
		if c, ok := s.(challenged); ok {
			c.Next(h)
		}
	}
}

// TrimPath takes what the credential put before a path off it again. escaped is below the service's base path. ok is
// false when it does not begin with that, however it is escaped: such a path is not the service's.
func (m *Material) TrimPath(escaped string) (rest string, ok bool) {
	for _, p := range slices.Backward(m.places) {
		if p.prefix == "" {
			continue
		}
		if escaped, ok = trimSegments(escaped, p.prefix); !ok {
			return "", false
		}
	}
	return escaped, true
}

// trimSegments takes as many segments off path as prefix has, if they are the same once decoded.
func trimSegments(path, prefix string) (string, bool) {
	if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || rest[0] == '/') {
		return rest, true
	}
	end := 0
	for range strings.Count(prefix, "/") {
		next := strings.IndexByte(path[min(end+1, len(path)):], '/')
		if next < 0 {
			end = len(path)
			break
		}
		end += 1 + next
	}
	got, err1 := url.PathUnescape(path[:end])
	want, err2 := url.PathUnescape(prefix)
	return path[end:], err1 == nil && err2 == nil && got == want
}
