package config

import (
	"cmp"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
	"sallyport/internal/secret"
)

// shortSecret moves secret to credential.secret.
func (c *Config) shortSecret(rep *finding.Report, s *Service, key string) {
	long := key + ".credential.secret"
	if s.Secret.IsZero() {
		return
	}
	if c.has(long) {
		rep.Fail(c.at(key+".secret"),
			place.Path(strings.Split(key, ".")).Subject()+" has both secret and credential.secret",
			"keep one; secret is short for the other")
		return
	}
	kind := cmp.Or(s.Credential.Kind, c.preset(s).Credential.Kind)
	if usual, ok := c.kinds.usual(); ok && kind == "" {
		kind = usual.Name
	}
	c.settingsFor(&s.Credential, kind)
	to, ok := settingOf[secret.Ref](&s.Credential, "secret")
	if !ok {
		if s.Credential.Settings != nil {
			all := c.kinds.familyOf(reflect.TypeFor[Credential]())
			m, _ := all.Named(kind)
			rep.Fail(c.at(key+".secret"), place.Subject(long)+" does not go with kind "+kind,
				all.Misplaced("secret", m, nil))
		}
		return
	}
	*to, s.Secret = s.Secret, secret.Ref{}
	c.positions.Set(long, c.positionOf(key+".secret"))
	c.positions.Drop(key + ".secret")
}

// settingOf returns the setting of a credential that a key is for, if its kind has that key.
func settingOf[T any](cred *Credential, key string) (*T, bool) {
	if cred.Settings == nil {
		return nil, false
	}
	v, f := declare.FieldNamed(reflect.ValueOf(cred.Settings).Elem(), key)
	if f == nil {
		return nil, false
	}
	return reflect.TypeAssert[*T](v.Addr())
}

func (m *merger) merge(s *Service, p *preset.Preset) {
	if p.Upstream != "" && m.open("upstream") {
		s.Upstream, _ = url.Parse(p.Upstream)
	}
	m.credentials(s, p)
	m.headers(s, p)
	if p.EncodedSlash && m.open("encoded_slash") {
		s.EncodedSlash = true
	}
	if p.DoubleSlash && m.open("double_slash") {
		s.DoubleSlash = true
	}
	if p.Test.Path != "" && s.Test == nil {
		s.Test = &Test{}
		m.text("test.path", &s.Test.Path, p.Test.Path)
		m.text("test.method", &s.Test.Method, p.Test.Method)
		if len(p.Test.Status) > 0 && m.open("test.status") {
			s.Test.Status = p.Test.Status
		}
		m.text("test.expires.header", &s.Test.Expires.Header, p.Test.Expires.Header)
		m.text("test.expires.pointer", &s.Test.Expires.Pointer, p.Test.Expires.Pointer)
	}
}

func (m *merger) headers(s *Service, p *preset.Preset) {
	own := map[string]bool{}
	for name := range s.Headers {
		own[strings.ToLower(name)] = true
	}
	for name, value := range p.Headers {
		if own[strings.ToLower(name)] {
			continue
		}
		if s.Headers == nil {
			s.Headers = map[string]string{}
		}
		s.Headers[name] = value
		m.cfg.positions.Set(m.key+".headers."+name, place.Position{From: m.from})
	}
	m.list("override_headers", &s.Override, p.Overrides)
}

// credentials merges one credential, or several entry by entry.
func (m *merger) credentials(s *Service, p *preset.Preset) {
	switch {
	case len(p.Credentials) == 0 && len(s.Credentials) == 0:
		m.credential("credential", &s.Credential, &p.Credential)
		return
	case len(p.Credentials) == 0, s.Credential.Kind != "": // all of its own
		return
	}
	if len(s.Credentials) == 0 && m.oneForAll(s, p) {
		return
	}
	own := 0
	for i := range s.Credentials {
		if s.Credentials[i].Kind != "" {
			own++
		}
	}
	if len(s.Credentials) != len(p.Credentials) {
		if own == 0 || own < len(s.Credentials) {
			m.rep.Fail(m.cfg.at(m.key+".credentials"),
				fmt.Sprintf("%s needs %d credentials in each request, in this order: %s", place.Subject(m.key),
					len(p.Credentials), meanings(p)), severalHint(p))
			m.rep.Broken[m.key], m.rep.Broken[m.key+".credentials"] = true, true
		}
		return
	}
	for i := range s.Credentials {
		m.credential("credentials."+strconv.Itoa(i), &s.Credentials[i], &p.Credentials[i])
	}
}

// oneForAll takes a single secret for several places, where the preset says that it is the same for all.
func (m *merger) oneForAll(s *Service, p *preset.Preset) bool {
	for i := range p.Credentials {
		if i > 0 && !strings.HasPrefix(p.Credentials[i].Is, "the same ") {
			return false
		}
	}
	given, ok := settingOf[secret.Ref](&s.Credential, "secret")
	if !ok || given.IsZero() {
		return false
	}
	from := m.cfg.positionOf(m.key + ".credential.secret")
	for i := range p.Credentials {
		s.Credentials = append(s.Credentials, Credential{})
		m.cfg.settingsFor(&s.Credentials[i], p.Credentials[i].Kind)
		if to, ok := settingOf[secret.Ref](&s.Credentials[i], "secret"); ok {
			*to = *given
		}
		m.cfg.positions.Set(m.key+".credentials."+strconv.Itoa(i)+".secret", from)
		m.credential("credentials."+strconv.Itoa(i), &s.Credentials[i], &p.Credentials[i])
	}
	s.Credential = Credential{}
	m.cfg.positions.Drop(m.key + ".credential.secret")
	return true
}
