package credential

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// maxWaiting is how many requests of one service may wait for a token. A provider that hangs must not fill the gate
// with them: other services need the room.
const maxWaiting = 512

// Source keeps one derived token fresh; *derive.Source is one.
type Source interface {
	// Current returns the active token, from memory. A fault says that there is none; then Token is to be called.
	Current() (derive.Token, *fault.Fault)
	// Token returns the active token, or waits until there is one. The error is a *fault.Fault or the context's.
	Token(ctx context.Context) (derive.Token, error)
	// Expired returns a newer token than the one that the API says is expired, and waits for it. The error is as of
	// Token.
	Expired(ctx context.Context, used derive.Token) (derive.Token, error)
}

// Part is one credential of a request: a static one with Value, a derived one with Source, or one that signs with
// Signer.
type Part struct {
	Spec     Spec // where the secret, the token or the signature goes
	Value    secret.Value
	Versions []string       // names and versions of the secrets that it is made of, for the audit log
	Hidden   []secret.Value // further secrets in Spec or behind Source that must not come back either

	Source Source
	Name   string // of what Source makes, for the audit log; "" is "token"

	Signer sign.Signer
}

// Assembly is what the requests of one service are given. It is immutable but for the Material that it remembers, and
// is for one Holder.
type Assembly struct {
	static   []placement // one for each Part; the zero placement where it has none
	versions []string
	secrets  [][]byte
	derived  []derivedPart
	signers  []sign.Signer

	needsBody bool
	hidden    *hidden // forms of secrets
	last      atomic.Pointer[Material]
	building  sync.Mutex
	waiting   atomic.Int64
}

// derivedPart is a Part whose placement is new with each token.
type derivedPart struct {
	at     int // in Assembly.static
	spec   Spec
	source Source
	name   string
}

// NewAssembly builds and checks everything that does not hang on a token. The error says what is wrong and quotes no
// secret.
func NewAssembly(parts []Part) (*Assembly, error) {
	r := &Assembly{static: make([]placement, len(parts))}
	taken := make(map[Slot]bool)
	for i := range parts {
		if err := r.add(i, &parts[i]); err != nil {
			return nil, err
		}
		slot := parts[i].Spec.Slot()
		if slot != (Slot{}) && taken[slot] {
			return nil, errors.New("two credentials go to the same place: " + slot.String())
		}
		taken[slot] = true
	}
	r.hidden = hide(r.secrets)
	if len(r.derived) == 0 {
		m := &Material{Versions: r.versions, hidden: r.hidden, assembly: r, places: r.places(nil)}
		r.last.Store(m)
	}
	return r, nil
}

// String names the place for a person.
func (s Slot) String() string {
	switch {
	case s.Header != "":
		return "the header " + s.Header
	case s.Param != "":
		return "the query parameter " + s.Param
	case s.Cookie != "":
		return "the cookie " + s.Cookie
	case s.Path != "":
		return "the path"
	}
	return "nowhere"
}

func (r *Assembly) add(i int, p *Part) error {
	r.versions = append(r.versions, p.Versions...)
	for _, v := range p.Hidden {
		r.secrets = append(r.secrets, v.Reveal())
	}
	switch {
	case p.Signer != nil:
		r.signers = append(r.signers, p.Signer)
		r.secrets = append(r.secrets, p.Signer.Secrets()...)
		r.needsBody = true
	case p.Source != nil:
		sample, err := place(p.Spec, secret.NewValue([]byte("sample")))
		if err != nil {
			return err
		}
		r.needsBody = r.needsBody || sample.field != nil
		name := p.Name
		if name == "" {
			name = "token"
		}
		r.derived = append(r.derived, derivedPart{i, p.Spec, p.Source, name})
	default:
		placed, err := place(p.Spec, p.Value)
		if err != nil {
			return err
		}
		r.needsBody = r.needsBody || placed.field != nil
		r.static[i] = placed
		r.secrets = append(r.secrets, placed.forms...)
	}
	return nil
}

// places are the static placements with those of the tokens among them, in the order of the parts.
func (r *Assembly) places(tokens []placement) []placement {
	all := slices.Clone(r.static)
	for i, d := range r.derived {
		all[d.at] = tokens[i]
	}
	return slices.DeleteFunc(all, func(p placement) bool { return p.forms == nil })
}

// Material returns the Assembly with the active tokens, from memory if none has changed. It waits only while there is
// no token, or one has to be built into a Material.
func (r *Assembly) Material(ctx context.Context) (*Material, *fault.Fault) {
	if m := r.last.Load(); m != nil && m.fresh() {
		return m, nil
	}
	tokens := make([]derive.Token, len(r.derived))
	for i, d := range r.derived {
		t, f := d.source.Current()
		if f != nil {
			if t, f = r.wait(ctx, d.source.Token); f != nil {
				return nil, f
			}
		}
		tokens[i] = t
	}
	return r.build(tokens)
}

func (m *Material) fresh() bool {
	for i := range m.tokens {
		if t, f := m.assembly.derived[i].source.Current(); f != nil || t.Serial != m.tokens[i].Serial {
			return false
		}
	}
	return true
}

// renew replaces every token of used, which the API has said is expired, by a newer one.
func (r *Assembly) renew(ctx context.Context, used *Material) (*Material, *fault.Fault) {
	tokens := make([]derive.Token, len(r.derived))
	for i, d := range r.derived {
		t, f := r.wait(ctx, func(ctx context.Context) (derive.Token, error) {
			return d.source.Expired(ctx, used.tokens[i])
		})
		if f != nil {
			return nil, f
		}
		tokens[i] = t
	}
	return r.build(tokens)
}

// wait calls get, which may take as long as the provider does, unless too many wait already.
func (r *Assembly) wait(ctx context.Context,
	get func(context.Context) (derive.Token, error),
) (derive.Token, *fault.Fault) {
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > maxWaiting {
		return derive.Token{}, fault.New(fault.CredentialMintFailed,
			"too many requests of the service are waiting for a token already").WithRetryAfter(time.Second)
	}
	t, err := get(ctx)
	if err != nil {
		return derive.Token{}, mintFault(ctx, err)
	}
	return t, nil
}

func mintFault(ctx context.Context, err error) *fault.Fault {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f
	}
	if ctx.Err() != nil {
		return fault.New(fault.ClientGone, "the caller left while a token was being obtained").Wrap(err)
	}
	return fault.New(fault.CredentialMintFailed, "the token could not be obtained").Wrap(err)
}

// build joins the Assembly with tokens, once for all who have the same. The tokens before them can still come back in
// answers: they stay among the forms for one generation.
func (r *Assembly) build(tokens []derive.Token) (*Material, *fault.Fault) {
	r.building.Lock()
	defer r.building.Unlock()
	before := r.last.Load()
	if before != nil && !newer(tokens, before.tokens) {
		return before, nil
	}
	m := &Material{Versions: slices.Clone(r.versions), assembly: r, tokens: tokens}
	secrets := slices.Clone(r.secrets)
	placed := make([]placement, len(tokens))
	for i, d := range r.derived {
		p, err := place(d.spec, tokens[i].Secret)
		if err != nil {
			return nil, fault.New(fault.CredentialMintFailed, "the token that was minted cannot be sent: "+err.Error())
		}
		placed[i] = p
		secrets = append(append(secrets, p.forms...), tokens[i].Beside.Reveal())
		m.Versions = append(m.Versions, d.name+"@"+tokens[i].Expiry.UTC().Format("20060102T150405Z"))
		if before != nil && !before.tokens[i].Secret.Equal(tokens[i].Secret) {
			secrets = append(secrets, before.tokens[i].Secret.Reveal(), before.tokens[i].Beside.Reveal())
		}
	}
	m.places, m.hidden = r.places(placed), hide(secrets)
	r.last.Store(m)
	return m, nil
}

// newer tells whether any of the tokens is, and none is older.
func newer(tokens, than []derive.Token) bool {
	some := false
	for i := range tokens {
		if tokens[i].Serial < than[i].Serial {
			return false
		}
		some = some || tokens[i].Serial > than[i].Serial
	}
	return some
}

// Build is NewAssembly with one static Part. It returns the Material.
func Build(s Spec, value secret.Value, versions ...string) (*Material, error) {
	r, err := NewAssembly([]Part{{Spec: s, Value: value, Versions: slices.Clone(versions)}})
	if err != nil {
		return nil, err
	}
	return r.last.Load(), nil
}

// Assembly is the one that m was built from.
func (m *Material) Assembly() *Assembly { return m.assembly }

// Format keeps fmt from looking inside.
func (*Assembly) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[credential]")) }
