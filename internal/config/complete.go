package config

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/preset"
	"sallyport/internal/secret"
)

const (
	fromDefault = "default"
	fromPreset  = "preset "
)

func (c *Config) has(key string) bool { _, ok := c.places[key]; return ok }

// at returns where key stands, or the nearest key around it that stands anywhere in a file, or the flag that set it.
func (c *Config) at(key string) place {
	for key != "" {
		switch p, ok := c.places[key]; {
		case ok && p.from == "":
			return p
		case ok && p.from != fromDefault && !strings.HasPrefix(p.from, fromPreset):
			return place{file: p.from}
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return place{file: c.files[0]}
}

// applyDefaults gives every key that nobody set the declaration's default.
func (c *Config) applyDefaults(v reflect.Value, path keyPath) {
	fields, _ := fieldsOf(v.Type())
	for i := range fields {
		f, fv, child := &fields[i], v.Field(fields[i].index), path.child(fields[i].name)
		switch {
		case f.def != "":
			c.applyDefault(f, fv, child)
		case fv.Kind() == reflect.Struct && !isLeaf(fv.Type()):
			c.applyDefaults(fv, child)
		case fv.Kind() == reflect.Pointer && !isLeaf(fv.Type()) && !fv.IsNil():
			c.applyDefaults(fv.Elem(), child)
		case fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct && !isLeaf(fv.Type().Elem()):
			for i := range fv.Len() {
				c.applyDefaults(fv.Index(i), child.child(strconv.Itoa(i)))
			}
		case fv.Kind() == reflect.Map && fv.Type().Elem().Kind() == reflect.Pointer:
			for _, key := range mapKeys(fv) {
				c.applyDefaults(fv.MapIndex(reflect.ValueOf(key)).Elem(), child.child(key))
			}
		}
	}
}

func isLeaf(t reflect.Type) bool { _, ok := leafOf(t); return ok }

// mapKeys returns the keys of a map of the declaration, sorted.
func mapKeys(v reflect.Value) []string {
	out := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		out = append(out, k.String())
	}
	slices.Sort(out)
	return out
}

func (c *Config) applyDefault(f *field, v reflect.Value, path keyPath) {
	key := path.String()
	if c.has(key) {
		return
	}
	c.places[key] = place{from: fromDefault}
	if v.Kind() == reflect.Slice {
		for text := range strings.SplitSeq(f.def, ",") {
			elem := reflect.New(v.Type().Elem()).Elem()
			mustSet(elem, f, text)
			v.Set(reflect.Append(v, elem))
		}
		return
	}
	mustSet(v, f, f.def)
	if f.path != "" {
		v.SetString(c.placeFile(key, c.dir, f.def))
	}
}

func mustSet(v reflect.Value, f *field, text string) {
	l, _ := leafOf(v.Type())
	if err := setLeaf(v, f, l, text); err != nil {
		panic(fmt.Sprintf("the declaration's default %q of %s: %v", text, f.name, err)) // Default's test meets it
	}
}

// settle places the files below the data directory, once that is known, and lets key_env replace the default key_file.
func (c *Config) settle() {
	if c.Seal.KeyEnv != "" && c.places["seal.key_file"].from == fromDefault {
		c.Seal.KeyFile = ""
		delete(c.places, "seal.key_file")
		delete(c.underData, "seal.key_file")
	}
	for key, rest := range c.underData {
		if v, _, ok := c.find(key); ok {
			v.SetString(filepath.Join(c.Data, rest))
		}
	}
}

// find returns the settable value at a dotted key.
func (c *Config) find(key string) (reflect.Value, *field, bool) {
	v := reflect.ValueOf(c).Elem()
	var last *field
	for name := range strings.SplitSeq(key, ".") {
		if v.Kind() == reflect.Pointer && !isLeaf(v.Type()) {
			if v.IsNil() {
				return v, nil, false
			}
			v = v.Elem()
		}
		switch {
		case v.Kind() == reflect.Map:
			v = v.MapIndex(reflect.ValueOf(name))
			if !v.IsValid() {
				return v, nil, false
			}
		case v.Kind() == reflect.Slice && !isLeaf(v.Type()):
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= v.Len() {
				return v, nil, false
			}
			v = v.Index(i)
		case v.Kind() == reflect.Struct && !isLeaf(v.Type()):
			fields, _ := fieldsOf(v.Type())
			i := indexOf(fields, name)
			if i < 0 {
				return v, nil, false
			}
			v, last = v.Field(fields[i].index), &fields[i]
		default:
			return v, nil, false
		}
	}
	return v, last, v.CanSet()
}

// applyPresets fills services from the presets they name, and gives credentials what their kind implies.
func (c *Config) applyPresets(rep *report) {
	for _, name := range c.ServiceNames() {
		s, key := c.Services[name], "services."+name
		c.shortSecret(rep, s, key)
		if s.Preset != "" {
			if p, ok := preset.Lookup(s.Preset); ok {
				(&merger{cfg: c, key: key, from: fromPreset + p.Name}).merge(s, p)
			} else {
				rep.fail(c.at(key+".preset"), fmt.Sprintf("preset of service %q: there is no preset %s", name, show(s.Preset)), presetHint(s.Preset))
			}
		}
		c.implied(s, key+".credential")
	}
}

func presetHint(got string) string {
	if word := didYouMean(got, preset.Names()); word != "" {
		return "did you mean " + strconv.Quote(word) + "?"
	}
	return "docs/presets.md lists them; without one, give upstream and credential"
}

// shortSecret moves secret to credential.secret.
func (c *Config) shortSecret(rep *report, s *Service, key string) {
	long := key + ".credential.secret"
	if s.Secret.IsZero() {
		return
	}
	if c.has(long) {
		rep.fail(c.at(key+".secret"), keyPath(strings.Split(key, ".")).subject()+" has both secret and credential.secret", "keep one; secret is short for the other")
		return
	}
	s.Credential.Secret, s.Secret = s.Secret, secret.Ref{}
	c.places[long] = c.places[key+".secret"]
	delete(c.places, key+".secret")
}

// implied fills in the kind and what the kind says of header and format.
func (c *Config) implied(s *Service, key string) {
	cred := &s.Credential
	if cred.Kind == "" && !cred.Secret.IsZero() {
		cred.Kind = KindBearer
		c.places[key+".kind"] = place{from: fromDefault}
	}
	if cred.Kind == KindBearer && cred.Header == "" {
		cred.Header = "Authorization"
		c.places[key+".header"] = place{from: fromDefault}
	}
	format := map[string]string{KindBearer: "Bearer {secret}", KindHeader: "{secret}", KindQuery: "{secret}"}[cred.Kind]
	if cred.Format == "" && format != "" {
		cred.Format = format
		c.places[key+".format"] = place{from: fromDefault}
	}
	if s.Limits.Burst == 0 && !s.Limits.Rate.IsZero() {
		s.Limits.Burst = max(1, int(s.Limits.Rate.PerSecond()))
		c.places[strings.TrimSuffix(key, "credential")+"limits.burst"] = place{from: fromDefault}
	}
}

// merger writes a preset's values where the service left them open.
type merger struct {
	cfg  *Config
	key  string
	from string
}

func (m *merger) open(key string) bool {
	if m.cfg.has(m.key + "." + key) {
		return false
	}
	m.cfg.places[m.key+"."+key] = place{from: m.from}
	return true
}

func (m *merger) text(key string, to *string, value string) {
	if value != "" && m.open(key) {
		*to = value
	}
}

func (m *merger) merge(s *Service, p preset.Preset) {
	if p.Upstream != "" && m.open("upstream") {
		s.Upstream, _ = url.Parse(p.Upstream)
	}
	if own := s.Credential.Kind; own == "" || own == p.Credential.Kind {
		m.text("credential.kind", &s.Credential.Kind, p.Credential.Kind)
		m.text("credential.header", &s.Credential.Header, p.Credential.Header)
		m.text("credential.param", &s.Credential.Param, p.Credential.Param)
		m.text("credential.format", &s.Credential.Format, p.Credential.Format)
		if s.Credential.UsernameSecret.IsZero() {
			m.text("credential.username", &s.Credential.Username, p.Credential.Username)
		}
	}
	m.headers(s, p)
	if p.EncodedSlash && m.open("encoded_slash") {
		s.EncodedSlash = true
	}
	if p.Test.Path != "" && s.Test == nil {
		s.Test = &Test{}
		m.text("test.path", &s.Test.Path, p.Test.Path)
		m.text("test.method", &s.Test.Method, p.Test.Method)
		if len(p.Test.Status) > 0 && m.open("test.status") {
			s.Test.Status = p.Test.Status
		}
	}
}

func (m *merger) headers(s *Service, p preset.Preset) {
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
		m.cfg.places[m.key+".headers."+name] = place{from: m.from}
	}
}

// ServiceNames returns the services' names, sorted.
func (c *Config) ServiceNames() []string { return sortedKeys(c.Services) }

// TokenNames returns the tokens' labels, sorted.
func (c *Config) TokenNames() []string { return sortedKeys(c.Tokens) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
