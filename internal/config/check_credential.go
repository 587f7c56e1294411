package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
	"sallyport/internal/secret"
)

// credentials checks the service's one credential, or each of several and how they go together.
func (k *checker) credentials(s *Service, owner string) {
	if len(s.Credentials) > 0 && k.written[owner+".credential"] {
		k.fail(owner+".credential", "stands beside credentials",
			"keep one of the two; secret is short for credential.secret")
		return
	}
	s.eachCredential(owner, func(cred *Credential, key string) { k.credential(s, cred, key) })
	if len(s.Credentials) > 1 && !k.rep.Broken[owner+".credentials"] {
		k.together(s, owner+".credentials")
	}
}

// indexKeys notes every key of a service that is set, and every key around one: set by whatever means, or written by a
// person.
func (k *checker) indexKeys(owner string) {
	clear(k.set)
	clear(k.written)
	for rest, p := range k.cfg.positions.Within(owner) {
		key := owner + "." + rest
		own := p.Own()
		for i := len(key); i > len(owner); i = strings.LastIndexByte(key[:i], '.') {
			if k.set[key[:i]] && (!own || k.written[key[:i]]) {
				break
			}
			k.set[key[:i]] = true
			k.written[key[:i]] = k.written[key[:i]] || own
		}
	}
}

// together wants that several credentials do not stand in each other's way.
func (k *checker) together(s *Service, key string) {
	seen, signs, body := map[Slot]bool{}, false, ""
	for i := range s.Credentials {
		cred, at := &s.Credentials[i], key+"."+strconv.Itoa(i)
		if cred.Settings == nil {
			continue
		}
		slot, as := sameSlot(cred.Slot()), ""
		if in, ok := cred.Settings.(interface{ Body() string }); ok {
			as = in.Body()
		}
		switch {
		case cred.Settings.Class() == Nothing:
			k.fail(at, "is of kind "+cred.Kind+" beside others", "leave it out")
		case slot != Slot{} && seen[slot]:
			k.fail(at, "goes where one before it goes: "+slot.String(), "one of them has to go elsewhere")
		case signs && cred.Signing():
			k.fail(at, "signs, and so does one before it", "one signature goes into a request")
		case as != "" && body != "" && as != body:
			k.fail(at, "goes into a body of another kind than one before it", "write the same as")
		}
		seen[slot] = true
		signs = signs || cred.Signing()
		body = cmp.Or(body, as)
	}
}

// sameSlot is the slot without what does not tell it from another: the letters of a header's name.
func sameSlot(s Slot) Slot {
	s.Header = strings.ToLower(s.Header)
	return s
}

// goesInto tells whether one of the service's credentials goes into a header.
func goesInto(s *Service, header string) bool {
	return slices.ContainsFunc(s.Placements(), func(c Credential) bool {
		return strings.EqualFold(c.Slot().Header, header)
	})
}

func (k *checker) credential(s *Service, cred *Credential, key string) {
	if k.rep.Broken[key+".kind"] { // what goes with it is unknown
		return
	}
	if cred.Kind == "" || cred.Settings == nil {
		k.noKind(s, cred, k.ownerOf(key))
		return
	}
	p := k.cfg.preset(s)
	settings := reflect.ValueOf(cred.Settings).Elem()
	fields, _ := declare.Keys(settings.Type())
	known := credentialGround{settingsReport{k, key}}
	r := &CredentialReport{
		Report: known, Around: s.surroundings(), Kind: cred.Kind, keys: fields, preset: p, ground: known,
	}
	for i := range fields {
		if f := &fields[i]; f.Needed != "" && !k.set[key+"."+f.Name] {
			r.Lacks(f.Name)
		}
	}
	cred.Settings.Check(r)
	k.walk(settings, key)
}

// credentialGround is the checker as the report of one credential sees it.
type credentialGround struct{ settingsReport }

func (g credentialGround) lacks(message, hint string) { g.missing(g.ownerOf(g.owner), message, hint) }

func (g credentialGround) written(key string) bool { return g.checker.written[g.at(key)] }

func (g credentialGround) set(key string) bool { return g.checker.set[g.at(key)] }

func (g credentialGround) broken(key string) bool { return g.rep.Broken[g.at(key)] }

// noKind reports a credential of which too little is known.
func (k *checker) noKind(s *Service, cred *Credential, owner string) {
	p := k.cfg.preset(s)
	switch {
	case s.Preset != "" && p.Name == "": // what it would have filled in is unknown
	case len(p.Credentials) > 0:
		k.missing(owner, fmt.Sprintf("needs %d credentials in each request, in this order: %s", len(p.Credentials),
			meanings(p)), severalHint(p))
	case len(cred.unread) > 0:
		k.missing(owner, "has a credential without kind", "write kind: "+k.guessKind(cred.unread))
	default:
		k.missing(owner, "has no credential", "write secret: ref+builtin://NAME"+k.orNothing())
	}
}

// orNothing is what to write for an API that wants no credential.
func (k *checker) orNothing() string {
	for _, kind := range k.cfg.kinds.Credentials {
		if kind.Settings().Class() == Nothing {
			return ", or credential: {kind: " + kind.Name + "} if the API wants none"
		}
	}
	return ""
}

// guessKind names the first kind that takes all that was written.
func (k *checker) guessKind(written []string) string {
	for _, m := range k.cfg.kinds.familyOf(reflect.TypeFor[Credential]()) {
		takes := m.Takes(nil)
		if !slices.ContainsFunc(written, func(key string) bool { return !slices.Contains(takes, key) }) {
			return m.Name
		}
	}
	return "NAME; docs/credentials.md shows each"
}

// ownerOf is what lacks something that the credential at key lacks: the service, or the entry of a list.
func (k *checker) ownerOf(key string) string {
	if owner, ok := strings.CutSuffix(key, ".credential"); ok {
		return owner
	}
	return key
}

// walk checks every reference, and keeps secrets from standing where only their names are expected.
func (k *checker) walk(v reflect.Value, key string) {
	switch x := v.Interface().(type) {
	case secret.Ref:
		k.ref(key, x.Store)
		return
	case notation.Text:
		k.text(key, x)
		return
	case string, bool, int, time.Duration:
		return
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(x)) {
			if x[name] != nil {
				k.walk(reflect.ValueOf(x[name]), key+"."+name)
			}
		}
		return
	case []any:
		for i := range x {
			if x[i] != nil {
				k.walk(reflect.ValueOf(x[i]), key+"."+strconv.Itoa(i))
			}
		}
		return
	}
	switch v.Kind() { //nolint:exhaustive // the declaration has references nowhere else
	case reflect.Struct:
		fields, _ := declare.Keys(v.Type())
		for i := range fields {
			k.walk(v.FieldByIndex(fields[i].Index), key+"."+fields[i].Name)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			k.walk(v.Elem(), key)
		}
	case reflect.Map:
		for _, name := range declare.MapKeys(v) {
			k.walk(v.MapIndex(reflect.ValueOf(name)), key+"."+name)
		}
	}
}

func (k *checker) text(key string, t notation.Text) {
	for _, ref := range t.Refs() {
		k.ref(key, ref.Store)
	}
	plain, ok := t.Plain()
	if !ok || plain == "" {
		return
	}
	name := strings.ToLower(key[strings.LastIndexByte(key, '.')+1:])
	if holdsSecret(name) && !inputName.MatchString(plain) {
		k.fail(key, "is written out, and by its name it is a secret", "write a reference: ref+builtin://NAME")
	}
}

// holdsSecret tells names of fields that hold a secret.
func holdsSecret(name string) bool {
	name = strings.NewReplacer("-", "", "_", "").Replace(name)
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "apikey", "apitoken", "privatekey"},
		func(end string) bool {
			return strings.HasSuffix(name, end)
		})
}
