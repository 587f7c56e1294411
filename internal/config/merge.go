package config

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"sallyport/internal/config/preset"
	"sallyport/internal/secret"
)

// applyPresets fills services from the presets they name, gives credentials what their kind implies, and puts inputs in their
// places.
func (c *Config) applyPresets(rep *report) {
	for _, name := range c.ServiceNames() {
		s, key := c.Services[name], "services."+name
		c.shortSecret(rep, s, key)
		p := c.preset(s)
		switch {
		case p.Name != "":
			(&merger{cfg: c, rep: rep, key: key, from: fromPreset + p.Name}).merge(s, p)
		case s.Preset != "":
			rep.fail(c.at(key+".preset"), fmt.Sprintf("preset of service %q: there is no preset %s", name, show(s.Preset)), presetHint(s.Preset))
		}
		if s.Limits.Burst == 0 && !s.Limits.Rate.IsZero() {
			s.Limits.Burst = max(1, int(s.Limits.Rate.PerSecond()))
			c.positions.set(key+".limits.burst", position{from: fromDefault})
		}
		eachCredential(s, key, func(cred *Credential, at string) {
			c.implied(s, cred, at)
			(&filler{cfg: c, rep: rep, service: s, preset: p, cred: cred, key: at}).fill()
		})
	}
}

// preset returns the preset that a service names; an empty one where there is none.
func (c *Config) preset(s *Service) *preset.Preset {
	p, ok := c.presets[s.Preset]
	if !ok {
		found, _ := preset.Lookup(s.Preset)
		p = &found
		c.presets[s.Preset] = p
	}
	return p
}

// eachCredential calls do for the service's credentials, with the key of each.
func eachCredential(s *Service, key string, do func(cred *Credential, at string)) {
	if len(s.Credentials) == 0 {
		do(&s.Credential, key+".credential")
		return
	}
	for i := range s.Credentials {
		do(&s.Credentials[i], key+".credentials."+strconv.Itoa(i))
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
	c.positions.set(long, c.positionOf(key+".secret"))
	c.positions.drop(key + ".secret")
}

// implied fills in the kind and what the kind says of its other keys.
func (c *Config) implied(s *Service, cred *Credential, key string) {
	if !cred.Secret.IsZero() {
		orText(c, key+".kind", &cred.Kind, KindBearer)
	}
	switch cred.Kind {
	case KindBearer:
		orText(c, key+".header", &cred.Header, "Authorization")
		orText(c, key+".format", &cred.Format, "Bearer {secret}")
	case KindHeader, KindQuery, KindCookie:
		orText(c, key+".format", &cred.Format, "{secret}")
	case KindBody:
		orText(c, key+".format", &cred.Format, "{secret}")
		orText(c, key+".as", &cred.As, "json")
	case KindRefreshToken:
		c.impliedAuth(s, cred, key)
		if !c.has(key + ".rotates") {
			cred.Rotates = !preset.Reusable(cred.TokenURL)
			c.positions.set(key+".rotates", position{from: fromDefault})
		}
	case KindClientCredentials, KindJWTBearer:
		c.impliedAuth(s, cred, key)
	case KindGitHubApp:
		orText(c, key+".api_url", &cred.APIURL, "https://api.github.com")
	case KindHMAC:
		orText(c, key+".format", &cred.Format, "{signature}")
		orText(c, key+".algorithm", &cred.Algorithm, "sha256")
		orText(c, key+".encoding", &cred.Encoding, "hex")
	case KindOAuth1:
		orText(c, key+".signature_method", &cred.SignatureMethod, "HMAC-SHA1")
	}
	if cred.Request != nil {
		orText(c, key+".request.method", &cred.Request.Method, "POST")
	}
	c.impliedAgent(s, cred, key)
	if p := cred.Place; p != nil {
		orText(c, key+".place.kind", &p.Kind, KindBearer)
		orText(c, key+".place.format", &p.Format, map[string]string{KindBearer: "Bearer {secret}"}[p.Kind])
		orText(c, key+".place.format", &p.Format, "{secret}")
	}
}

// impliedAgent gives calls to token endpoints the User-Agent that the service's requests have.
func (c *Config) impliedAgent(s *Service, cred *Credential, key string) {
	agent, to, at := "", &cred.TokenHeaders, key+".token_headers"
	for name, value := range s.Headers {
		if strings.EqualFold(name, "User-Agent") {
			agent = value
		}
	}
	switch {
	case agent == "" || !cred.Derived() || cred.Kind == KindExchange && cred.Request == nil:
		return
	case cred.Kind == KindExchange:
		to, at = &cred.Request.Headers, key+".request.headers"
	}
	for name := range *to {
		if strings.EqualFold(name, "User-Agent") {
			return
		}
	}
	if *to == nil {
		*to = map[string]Text{}
	}
	(*to)["User-Agent"] = PlainText(agent)
	c.positions.set(at+".User-Agent", position{from: fromDefault})
}

// impliedAuth says how a client shows who it is. A JWT bearer grant without a client needs nothing of the kind.
func (c *Config) impliedAuth(s *Service, cred *Credential, key string) {
	auth := "none"
	switch {
	case cred.Kind == KindJWTBearer && cred.ClientID.IsZero():
		return
	case !cred.ClientSecret.IsZero():
		auth = "basic"
	case cred.Kind != KindJWTBearer && !cred.Key.IsZero():
		auth = "private_key_jwt"
	case s.TLS != nil:
		auth = "mtls"
	}
	orText(c, key+".auth", &cred.Auth, auth)
}

// orText sets a key that nobody has set, if there is something to set it to.
func orText(c *Config, key string, to *string, value string) {
	if *to == "" && value != "" {
		*to = value
		c.positions.set(key, position{from: fromDefault})
	}
}

// merger writes a preset's values where the service left them open.
type merger struct {
	cfg  *Config
	rep  *report
	key  string
	from string
}

func (m *merger) open(key string) bool {
	if m.cfg.has(m.key + "." + key) {
		return false
	}
	m.cfg.positions.set(m.key+"."+key, position{from: m.from})
	return true
}

func (m *merger) text(key string, to *string, value string) {
	if value != "" && m.open(key) {
		*to = value
	}
}

func (m *merger) list(key string, to *[]string, value []string) {
	if len(value) > 0 && m.open(key) {
		*to = value
	}
}

// texts merges maps entry by entry. What a preset says is never a reference.
func (m *merger) texts(key string, to *map[string]Text, value map[string]string) {
	own := map[string]bool{}
	for name := range *to {
		own[strings.ToLower(name)] = true
	}
	for name, text := range value {
		if own[strings.ToLower(name)] || !m.open(key+"."+name) {
			continue
		}
		if *to == nil {
			*to = map[string]Text{}
		}
		(*to)[name] = PlainText(text)
	}
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
		m.cfg.positions.set(m.key+".headers."+name, position{from: m.from})
	}
	m.list("override_headers", &s.Override, p.Overrides)
}

// credentials merges one credential, or several entry by entry.
func (m *merger) credentials(s *Service, p *preset.Preset) {
	switch {
	case len(p.Credentials) == 0 && len(s.Credentials) == 0:
		m.credential("credential.", &s.Credential, &p.Credential)
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
			m.rep.fail(m.cfg.at(m.key+".credentials"), fmt.Sprintf("%s needs %d credentials in each request, in this order: %s", subject(m.key), len(p.Credentials), meanings(p)), severalHint(p))
			m.rep.broken[m.key], m.rep.broken[m.key+".credentials"] = true, true
		}
		return
	}
	for i := range s.Credentials {
		m.credential("credentials."+strconv.Itoa(i)+".", &s.Credentials[i], &p.Credentials[i])
	}
}

// oneForAll takes a single secret for several places, where the preset says that it is the same for all.
func (m *merger) oneForAll(s *Service, p *preset.Preset) bool {
	for i := range p.Credentials {
		if i > 0 && !strings.HasPrefix(p.Credentials[i].Is, "the same ") {
			return false
		}
	}
	if s.Credential.Secret.IsZero() {
		return false
	}
	from := m.cfg.positionOf(m.key + ".credential.secret")
	for i := range p.Credentials {
		s.Credentials = append(s.Credentials, Credential{Secret: s.Credential.Secret})
		m.cfg.positions.set(m.key+".credentials."+strconv.Itoa(i)+".secret", from)
		m.credential("credentials."+strconv.Itoa(i)+".", &s.Credentials[i], &p.Credentials[i])
	}
	s.Credential = Credential{}
	m.cfg.positions.drop(m.key + ".credential.secret")
	return true
}

func meanings(p *preset.Preset) string {
	out := make([]string, len(p.Credentials))
	for i := range p.Credentials {
		out[i] = p.Credentials[i].Is
	}
	return strings.Join(out, ", ")
}

func severalHint(p *preset.Preset) string {
	out := make([]string, len(p.Credentials))
	for i := range out {
		out[i] = fmt.Sprintf("{secret: ref+builtin://%s-%d}", p.Name, i+1)
	}
	return "write credentials: [" + strings.Join(out, ", ") + "]"
}

// credential merges what is the kind's, unless the service has a credential of another kind.
func (m *merger) credential(at string, to *Credential, p *preset.Credential) {
	if to.Kind != "" && to.Kind != p.Kind {
		return
	}
	m.text(at+"kind", &to.Kind, p.Kind)
	m.text(at+"header", &to.Header, p.Header)
	m.text(at+"param", &to.Param, p.Param)
	m.text(at+"format", &to.Format, p.Format)
	m.text(at+"pointer", &to.Pointer, p.Pointer)
	m.text(at+"as", &to.As, p.As)
	if to.UsernameSecret.IsZero() && to.UserPass == "" {
		m.text(at+"username", &to.Username, p.Username)
	}
	if to.UsernameSecret.IsZero() && to.Username == "" {
		m.text(at+"user_pass", &to.UserPass, p.UserPass)
	}
	m.text(at+"algorithm", &to.Algorithm, p.Algorithm)
	m.text(at+"encoding", &to.Encoding, p.Encoding)
	m.text(at+"message", &to.Message, p.Message)
	m.text(at+"region", &to.Region, p.Region)
	m.text(at+"service", &to.Service, p.Service)
	m.grant(at, to, p)
}

// grant merges how a token is obtained. A login call, a place and a rule of expiry are taken whole, or not at all.
func (m *merger) grant(at string, to *Credential, p *preset.Credential) {
	if to.ServiceAccount.IsZero() { // it has its own
		own := to.TokenURL != ""
		m.text(at+"token_url", &to.TokenURL, p.TokenURL)
		if !own { // whoever has another provider refreshes there too
			m.text(at+"refresh_url", &to.RefreshURL, p.RefreshURL)
		}
	}
	m.text(at+"pkce", &to.PKCE, p.PKCE)
	m.texts(at+"token_headers", &to.TokenHeaders, p.TokenHeaders)
	m.text(at+"authorize_url", &to.AuthorizeURL, p.AuthorizeURL)
	m.texts(at+"authorize_params", &to.AuthorizeParams, p.AuthorizeParams)
	m.list(at+"scopes", &to.Scopes, p.Scopes)
	m.text(at+"auth", &to.Auth, p.Auth)
	m.texts(at+"params", &to.Params, p.Params)
	m.text(at+"api_url", &to.APIURL, p.APIURL)
	if p.Kind == KindRefreshToken && m.open(at+"rotates") {
		to.Rotates = p.Rotating()
	}
	if p.Audience != "" && m.open(at+"audience") {
		to.Audience = PlainText(p.Audience)
	}
	m.text(at+"token", &to.Token, p.Token)
	if to.ExpiresAt == "" {
		m.text(at+"lifetime", &to.Lifetime, p.Lifetime)
	}
	if to.Lifetime == "" || !strings.HasPrefix(to.Lifetime, "/") {
		m.text(at+"expires_at", &to.ExpiresAt, p.ExpiresAt)
	}
	if p.Request != nil && to.Request == nil {
		to.Request = &LoginRequest{}
		m.login(at+"request.", to.Request, p.Request)
	}
	if p.Place != nil && to.Place == nil {
		to.Place = &Place{}
		m.text(at+"place.kind", &to.Place.Kind, p.Place.Kind)
		m.text(at+"place.header", &to.Place.Header, p.Place.Header)
		m.text(at+"place.param", &to.Place.Param, p.Place.Param)
		m.text(at+"place.format", &to.Place.Format, p.Place.Format)
	}
	if p.ExpiredWhen != nil && to.ExpiredWhen == nil {
		to.ExpiredWhen = &ExpiredWhen{}
		m.expiry(at+"expired_when.", to.ExpiredWhen, p.ExpiredWhen)
	}
}

func (m *merger) login(at string, to *LoginRequest, p *preset.Request) {
	m.text(at+"method", &to.Method, p.Method)
	m.text(at+"url", &to.URL, p.URL)
	m.texts(at+"headers", &to.Headers, p.Headers)
	m.texts(at+"query", &to.Query, p.Query)
	m.texts(at+"form", &to.Form, p.Form)
	if user, password, ok := strings.Cut(p.Basic, ":"); ok {
		m.open(at + "basic.username")
		m.open(at + "basic.password")
		to.Basic = &LoginBasic{Username: PlainText(user), Password: PlainText(password)}
	}
	if len(p.JSON) > 0 {
		m.open(at + "json")
		to.JSON = textTree(p.JSON)
	}
}

// textTree turns a preset's tree of strings into one of Texts.
func textTree(node any) any {
	switch n := node.(type) {
	case string:
		return PlainText(n)
	case map[string]any:
		out := make(map[string]any, len(n))
		for name := range n {
			out[name] = textTree(n[name])
		}
		return out
	case []any:
		out := make([]any, len(n))
		for i := range n {
			out[i] = textTree(n[i])
		}
		return out
	}
	return node
}

func (m *merger) expiry(at string, to *ExpiredWhen, p *preset.ExpiredWhen) {
	if len(p.Status) > 0 && m.open(at+"status") {
		to.Status = p.Status
	}
	if p.Body != nil {
		to.Body = &ExpiredBody{}
		m.text(at+"body.pointer", &to.Body.Pointer, p.Body.Pointer)
		m.list(at+"body.in", &to.Body.In, p.Body.In)
	}
}
