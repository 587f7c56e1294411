package config

import (
	"fmt"
	"net/textproto"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/config/preset"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/secret"
)

// credentialKeys is what each kind of credential takes beside kind, and what it must have.
func credentialKeys(kind string) (allowed, required []string) {
	token := []string{"place", "expired_when", "inputs"}
	endpoint := append([]string{"token_url", "client_id", "client_secret", "auth", "key", "key_id", "alg", "audience", "scopes", "params", "token_headers", "lifetime", "token"}, token...)
	switch kind {
	case KindBearer:
		return []string{"secret", "format"}, []string{"secret"}
	case KindHeader:
		return []string{"secret", "header", "format"}, []string{"secret", "header"}
	case KindBasic:
		return []string{"secret", "username", "username_secret", "user_pass"}, []string{"secret"}
	case KindQuery:
		return []string{"secret", "param", "format"}, []string{"secret", "param"}
	case KindCookie:
		return []string{"secret", "cookie", "format"}, []string{"secret", "cookie"}
	case KindPath:
		return []string{"secret", "format", "inputs"}, []string{"secret", "format"}
	case KindBody:
		return []string{"secret", "pointer", "as", "format"}, []string{"secret", "pointer"}
	case KindClientCredentials:
		return endpoint, []string{"token_url", "client_id"}
	case KindRefreshToken:
		return append([]string{"refresh_token", "reuse_grace", "rotates", "authorize_url", "authorize_params", "issuer", "refresh_url", "pkce"}, endpoint...), []string{"token_url", "client_id"}
	case KindJWTBearer:
		return append([]string{"service_account", "issuer", "subject", "claims"}, endpoint...), nil
	case KindGitHubApp:
		return append([]string{"app_id", "installation_id", "key", "api_url", "token_headers"}, token...), []string{"app_id", "installation_id", "key"}
	case KindExchange:
		return append([]string{"request", "token", "lifetime", "expires_at"}, token...), []string{"request", "token"}
	case KindSigV4:
		return []string{"access_key", "secret_key", "session_token", "region", "service", "unsigned_large"}, []string{"access_key", "secret_key"}
	case KindHMAC:
		return []string{"secret", "algorithm", "encoding", "message", "header", "param", "format", "set_headers", "secret_encoding"}, []string{"secret", "message"}
	case KindOAuth1:
		return []string{"consumer_key", "consumer_secret", "access_token", "token_secret", "signature_method", "realm"}, []string{"consumer_key", "consumer_secret"}
	case KindDigest:
		return []string{"secret", "username", "username_secret"}, []string{"secret"}
	}
	return nil, nil
}

// credentials checks the service's one credential, or each of several and how they go together.
func (k *checker) credentials(s *Service, owner string) {
	if len(s.Credentials) > 0 && k.written[owner+".credential"] {
		k.fail(owner+".credential", "stands beside credentials", "keep one of the two; secret is short for credential.secret")
		return
	}
	eachCredential(s, owner, func(cred *Credential, key string) { k.credential(s, cred, key) })
	if len(s.Credentials) > 1 && !k.rep.broken[owner+".credentials"] {
		k.together(s, owner+".credentials")
	}
}

// indexKeys notes every key of a service that is set, and every key around one: set by whatever means, or written by a person.
func (k *checker) indexKeys(owner string) {
	clear(k.set)
	clear(k.written)
	for rest, p := range k.cfg.positions.of(owner) {
		key := owner + "." + rest
		own := p.from == "" || p.from != fromDefault && !strings.HasPrefix(p.from, fromPreset)
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
	seen, signs, bodies := map[string]bool{}, false, map[string]bool{}
	for i := range s.Credentials {
		cred, at := &s.Credentials[i], key+"."+strconv.Itoa(i)
		slot := slotOf(cred)
		switch {
		case cred.Kind == KindNone:
			k.fail(at, "is of kind none beside others", "leave it out")
		case slot != "" && seen[slot]:
			k.fail(at, "goes where one before it goes: "+slot, "one of them has to go elsewhere")
		case signs && cred.Signing():
			k.fail(at, "signs, and so does one before it", "one signature goes into a request")
		case cred.Kind == KindBody && bodies[cred.As] != (len(bodies) > 0):
			k.fail(at, "goes into a body of another kind than one before it", "write the same as")
		}
		seen[slot] = true
		signs = signs || cred.Signing()
		if cred.Kind == KindBody {
			bodies[cred.As] = true
		}
	}
}

// slotsOf returns where the service's credentials go.
func slotsOf(s *Service) []string {
	var out []string
	placements := s.Placements()
	for i := range placements {
		out = append(out, slotOf(&placements[i]))
	}
	return out
}

// slotOf names where a credential goes: "header x-api-key", "parameter key". "" where that is nowhere.
func slotOf(c *Credential) string {
	kind, header, param, cookie := c.Kind, c.Header, c.Param, c.Cookie
	if c.Derived() {
		kind = KindBearer
		if c.Place != nil {
			kind, header, param, cookie = c.Place.Kind, c.Place.Header, c.Place.Param, c.Place.Cookie
		}
	}
	switch kind {
	case KindBearer, KindBasic, KindSigV4, KindOAuth1, KindDigest:
		return "header authorization"
	case KindHeader:
		return "header " + strings.ToLower(header)
	case KindQuery:
		return "parameter " + param
	case KindCookie:
		return "cookie " + cookie
	case KindPath:
		return "path"
	case KindBody:
		return "body " + c.Pointer
	case KindHMAC:
		if header != "" {
			return "header " + strings.ToLower(header)
		}
		return "parameter " + param
	}
	return ""
}

func (k *checker) credential(s *Service, cred *Credential, key string) {
	owner := k.ownerOf(key)
	if k.rep.broken[key+".kind"] { // what goes with it is unknown
		return
	}
	if cred.Kind == "" {
		k.noKind(s, cred, owner)
		return
	}
	allowed, required := credentialKeys(cred.Kind)
	for _, f := range k.credentialFields() {
		if f != "kind" && k.written[key+"."+f] && !slices.Contains(allowed, f) {
			k.fail(key+"."+f, "does not go with kind "+cred.Kind, credentialKeyHint(f, cred.Kind, allowed))
		}
	}
	p := k.cfg.preset(s)
	for _, f := range required {
		if !k.set[key+"."+f] {
			k.missing(owner, "has a credential of kind "+cred.Kind+" without "+f, requiredHint(f, p))
		}
	}
	k.username(cred, key, p)
	k.placement(cred, key)
	k.derived(s, cred, key)
	k.signing(cred, key)
	k.texts(cred, key)
}

// credentialFields are the names of Credential's keys.
func (k *checker) credentialFields() []string {
	if k.fields == nil {
		fields, _ := fieldsOf(reflect.TypeFor[Credential]())
		k.fields = names(fields)
	}
	return k.fields
}

// noKind reports a credential of which too little is known.
func (k *checker) noKind(s *Service, cred *Credential, owner string) {
	p := k.cfg.preset(s)
	switch {
	case s.Preset != "" && p.Name == "": // what it would have filled in is unknown
	case len(p.Credentials) > 0:
		k.missing(owner, fmt.Sprintf("needs %d credentials in each request, in this order: %s", len(p.Credentials), meanings(p)), severalHint(p))
	case len(cred.Refs()) > 0 || cred.Request != nil || cred.TokenURL != "":
		k.missing(owner, "has a credential without kind", "write kind: "+guessKind(cred))
	default:
		k.missing(owner, "has no credential", "write secret: ref+builtin://NAME, or credential: {kind: none} if the API wants none")
	}
}

func guessKind(c *Credential) string {
	switch {
	case c.Request != nil:
		return KindExchange
	case !c.AccessKey.IsZero() || !c.SecretKey.IsZero():
		return KindSigV4
	case !c.ConsumerSecret.IsZero():
		return KindOAuth1
	case !c.AppID.IsZero():
		return KindGitHubApp
	case !c.ServiceAccount.IsZero() || !c.Issuer.IsZero() && c.AuthorizeURL == "":
		return KindJWTBearer
	case !c.RefreshToken.IsZero() || c.AuthorizeURL != "":
		return KindRefreshToken
	case c.TokenURL != "" || !c.ClientSecret.IsZero():
		return KindClientCredentials
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

// credentialKeyHint names the kinds that a key goes with, where they are few, and what this kind takes.
func credentialKeyHint(f, kind string, allowed []string) string {
	if len(allowed) == 0 {
		return "kind " + kind + " takes no other keys"
	}
	fields, _ := fieldsOf(reflect.TypeFor[Credential]())
	var kinds []string
	for _, other := range fields[indexOf(fields, "kind")].enum {
		if keys, _ := credentialKeys(other); slices.Contains(keys, f) {
			kinds = append(kinds, other)
		}
	}
	hint := "kind " + kind + " takes " + strings.Join(allowed, ", ")
	if len(kinds) < 3 {
		hint = f + " goes with " + strings.Join(kinds, " and ") + "; " + hint
	}
	return hint
}

// requiredHint says how a key is written; what a preset knows of it goes before.
func requiredHint(f string, p *preset.Preset) string {
	hint := map[string]string{
		"secret":  "write secret: ref+builtin://NAME",
		"header":  "name the header, such as header: X-API-Key",
		"param":   "name the query parameter, such as param: key",
		"format":  `write it as "/bot{secret}"`,
		"request": "write request: {url: /login, json: {…}}",
	}[f]
	fields, _ := fieldsOf(reflect.TypeFor[Credential]())
	if i := indexOf(fields, f); hint == "" && i >= 0 {
		hint = "write " + f + ": " + fields[i].eg
	}
	if what := p.Needs[f]; what != "" {
		hint += ": " + what
	}
	return hint
}

func (k *checker) username(cred *Credential, key string, p *preset.Preset) {
	if cred.Kind != KindBasic && cred.Kind != KindDigest {
		return
	}
	switch {
	case cred.Username != "" && !cred.UsernameSecret.IsZero():
		k.fail(key+".username", "stands beside username_secret", "keep one")
	case cred.UserPass != "" && (cred.Username != "" || !cred.UsernameSecret.IsZero()):
		k.fail(key+".user_pass", "stands beside a user", "keep one: user_pass is user and password in one")
	case strings.Contains(cred.Username, ":"):
		k.fail(key+".username", "has a colon, which "+cred.Kind+" authentication cannot carry (RFC 7617)", "")
	case cred.UserPass != "":
		k.format(key+".user_pass", cred.UserPass, `"{secret}:X"`)
	case cred.Username == "" && cred.UsernameSecret.IsZero():
		hint := "write username: NAME, or username_secret: ref+…"
		if p.UsernameNeeds != "" {
			hint = "write credential: {username: …}: " + p.UsernameNeeds
		}
		k.missing(k.ownerOf(key), "has a credential of kind "+cred.Kind+" without a user", hint)
	}
}

// placement checks the header, the parameter, the cookie, the field and the format.
func (k *checker) placement(cred *Credential, key string) {
	k.names(key, cred.Header, cred.Param, cred.Cookie)
	if cred.Pointer != "" {
		switch problem := pointerProblem(cred.Pointer); {
		case problem != "":
			k.fail(key+".pointer", problem, "write it as /api_key or /auth/api_key")
		case cred.As == "form" && strings.Count(cred.Pointer, "/") != 1:
			k.fail(key+".pointer", "leads into something, and a form is flat", "write /NAME")
		}
	}
	switch {
	case cred.Format == "" || cred.Kind == KindHMAC:
	case cred.Kind == KindPath && (!strings.HasPrefix(cred.Format, "/") || strings.HasSuffix(cred.Format, "/") || strings.Contains(cred.Format, "//")):
		k.fail(key+".format", "is not what goes before a path", `write it as "/bot{secret}": a slash in front and none at the end`)
	default:
		k.format(key+".format", cred.Format, `"Token {secret}"`)
	}
	if p := cred.Place; p != nil {
		k.place(p, key+".place")
	}
}

// names checks the names of a header, a parameter and a cookie.
func (k *checker) names(key, header, param, cookie string) {
	if header != "" {
		if problem := headerProblem(header); problem != "" {
			k.fail(key+".header", problem, "name the header that the API's documentation names for the key")
		}
	}
	if param != "" && strings.ContainsFunc(param, func(r rune) bool { return !isAlnum(r) && !strings.ContainsRune("._~-[]$", r) }) {
		k.fail(key+".param", "is not a plain parameter name", "write the name alone, such as param: key")
	}
	if cookie != "" && !headerName.MatchString(cookie) {
		k.fail(key+".cookie", "is not the name of a cookie", "write the name alone, such as cookie: session")
	}
}

func (k *checker) format(key, format, example string) {
	rest := strings.Replace(format, "{secret}", "", 1)
	switch {
	case rest == format:
		k.fail(key, "has no {secret} in it", "write it as "+example)
	case strings.ContainsAny(rest, "{}"):
		k.fail(key, "has braces beside the one {secret}", "write it as "+example)
	}
}

// place checks where a token goes.
func (k *checker) place(p *Place, key string) {
	for _, one := range [][3]string{{KindHeader, "header", p.Header}, {KindQuery, "param", p.Param}, {KindCookie, "cookie", p.Cookie}} {
		switch kind, name, value := one[0], one[1], one[2]; {
		case kind == p.Kind && value == "":
			k.missing(key, "is of kind "+kind+" and has no "+name, "name it")
		case kind != p.Kind && value != "":
			k.fail(key+"."+name, "does not go with kind "+p.Kind, "write kind: "+kind)
		}
	}
	k.names(key, p.Header, p.Param, p.Cookie)
	k.format(key+".format", p.Format, `"Token {secret}"`)
}

// pointerProblem says why a JSON pointer is none to a member, or "".
func pointerProblem(pointer string) string {
	switch _, err := jsonpointer.Parse(pointer); {
	case err != nil:
		return err.Error()
	case pointer == "/":
		return "leads to no member"
	}
	return ""
}

// texts checks every reference, and keeps secrets from standing where only their names are expected.
func (k *checker) texts(cred *Credential, key string) {
	k.walk(reflect.ValueOf(*cred), key)
}

func (k *checker) walk(v reflect.Value, key string) {
	switch x := v.Interface().(type) {
	case secret.Ref:
		k.ref(key, x.Store)
		return
	case Text:
		k.text(key, x)
		return
	case string, bool, int, time.Duration:
		return
	case map[string]any:
		for _, name := range sortedKeys(x) {
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
		fields, _ := fieldsOf(v.Type())
		for i := range fields {
			k.walk(v.Field(fields[i].index), key+"."+fields[i].name)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			k.walk(v.Elem(), key)
		}
	case reflect.Map:
		for _, name := range mapKeys(v) {
			k.walk(v.MapIndex(reflect.ValueOf(name)), key+"."+name)
		}
	}
}

func (k *checker) text(key string, t Text) {
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
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "apikey", "apitoken", "privatekey"}, func(end string) bool { return strings.HasSuffix(name, end) })
}

// headersOf checks the headers of a call of our own, which may be any but those of the connection.
func (k *checker) headersOf(key string, headers map[string]Text) {
	seen := map[string]bool{}
	for _, name := range sortedKeys(headers) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !headerName.MatchString(name):
			k.fail(key+"."+name, "is not a header name", "")
		case slices.Contains([]string{"Connection", "Content-Length", "Host", "Transfer-Encoding", "Upgrade", "Te", "Trailer"}, canonical):
			k.fail(key+"."+name, "is a header of the connection, which is not set by hand", "leave it out")
		case seen[canonical]:
			k.fail(key+"."+name, "stands there twice, in another case", "keep one")
		}
		seen[canonical] = true
	}
}
