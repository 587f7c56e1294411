package app_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/config/preset"
	"sallyport/internal/testkit/presetkeys"
)

// body is what the caller sends: JSON, or a form where the credential is a field of one.
func (p *play) body() string {
	if p.form() {
		return "a=1&b=two+words"
	}
	return `{"a":1}`
}

func (p *play) form() bool { return p.Placements()[0].As == "form" }

func (p *play) contentType() string {
	if p.form() {
		return "application/x-www-form-urlencoded"
	}
	return "application/json"
}

// upstream is where the API is.
func (p *play) upstream() string {
	if p.UpstreamEg != "" {
		return p.UpstreamEg
	}
	return p.Upstream
}

// there is a URL as the stand-in gets it: the host, and then the path. One that begins with a slash is on the
// upstream's host.
func (p *play) there(t *testing.T, target string) string {
	t.Helper()
	base, err := url.Parse(p.upstream())
	if err != nil {
		t.Fatal(err)
	}
	u, err := base.Parse(p.filled(target))
	if err != nil {
		t.Fatal(err)
	}
	return "/" + u.Host + u.RequestURI()
}

// filled puts what was given in place of names in braces.
func (p *play) filled(text string) string {
	text = strings.ReplaceAll(text, "{upstream}", strings.TrimSuffix(p.upstream(), "/"))
	for name := range p.Needs {
		text = strings.ReplaceAll(text, "{"+name+"}", p.input(name))
	}
	return text
}

// wire is a request by its parts, as tests compare it.
type wire struct {
	Method, URI string
	Header      map[string]string
	Body        any // the values of a form or of JSON
}

// wanted is the request that the API is to get, with the token of that number in it: what the caller sent, the preset's
// headers, and the credentials, each written from what the preset says.
func (p *play) wanted(t *testing.T, serial int) wire {
	t.Helper()
	w := wire{Method: http.MethodPost, Header: map[string]string{
		"X-Own": "own", "User-Agent": "n8n",
		"Content-Type": p.contentType(),
	}, Body: parsed(t, p.contentType(), p.body())}
	for name, value := range p.Headers {
		if overrides := slices.Contains(p.Overrides, name); w.Header[http.CanonicalHeaderKey(name)] == "" || overrides {
			name = http.CanonicalHeaderKey(name)
			w.Header[name] = value
		}
	}
	for name := range p.HeadersNeeds {
		w.Header[http.CanonicalHeaderKey(name)] = givenHeader
	}
	base, prefix, query := strings.TrimSuffix(p.there(t, p.upstream()), "/"), "", "?a=1"
	for i, c := range p.Placements() {
		secret := p.secrets[secretName(i)]
		if c.Derived() {
			secret = p.token(serial)
		}
		goes := c.Goes()
		value := strings.ReplaceAll(orSecret(goes.Format), "{secret}", secret)
		switch goes.Kind {
		case "bearer":
			w.Header["Authorization"] = "Bearer " + secret
		case "header":
			w.Header[http.CanonicalHeaderKey(goes.Header)] = value
		case "basic":
			w.Header["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(p.pair(c, secret)))
		case "query":
			query += "&" + url.QueryEscape(goes.Param) + "=" + url.QueryEscape(value)
		case "path":
			prefix = p.filled(value)
		case "body":
			w.Body = with(w.Body, c.Pointer, value)
		default: // a signature, which comparable verifies and takes out
		}
	}
	w.URI = base + prefix + callPath + query
	return w
}

func orSecret(format string) string {
	if format == "" {
		return "{secret}"
	}
	return format
}

// pair is a user and a password.
func (p *play) pair(c presetkeys.Credential, secret string) string {
	switch {
	case c.UserPass != "":
		return strings.ReplaceAll(c.UserPass, "{secret}", secret)
	case c.Username != "":
		return c.Username + ":" + secret
	}
	return p.username() + ":" + secret
}

// comparable is a request by its parts, without what every request has, and without a signature, once that has been
// verified.
func (p *play) comparable(t *testing.T, got arrival) wire {
	t.Helper()
	header := got.Header.Clone()
	for _, name := range p.verified(t, got) {
		header.Del(name)
	}
	for _, name := range []string{"Content-Length", "Accept-Encoding"} {
		header.Del(name)
	}
	w := wire{
		Method: got.Method, URI: got.URI, Header: make(map[string]string),
		Body: parsed(t, header.Get("Content-Type"), got.Body),
	}
	for name, values := range header {
		w.Header[name] = strings.Join(values, "; and a second one: ")
	}
	return w
}

// parsed is the values of a body.
func parsed(t *testing.T, contentType, body string) any {
	t.Helper()
	if strings.HasPrefix(contentType, "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(body)
		if err != nil {
			t.Errorf("the body %q is no form: %v", body, err)
		}
		return form
	}
	if body == "" {
		return nil
	}
	var doc any
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Errorf("the body %q is no JSON: %v", body, err)
	}
	return doc
}

func with(body any, pointer, value string) any {
	switch b := body.(type) {
	case url.Values:
		b.Set(strings.TrimPrefix(pointer, "/"), value)
	case map[string]any:
		set(b, pointer, value)
	}
	return body
}

// wantLogins wants so many login calls by now, if the kind has any; the last one is as the preset says.
func (p *play) wantLogins(t *testing.T, want int) {
	t.Helper()
	if !p.derived() {
		want = 0
	}
	if got := p.minted(); got != want {
		t.Fatalf("%d login calls by now, want %d", got, want)
	}
	if want == 0 {
		return
	}
	p.mu.Lock()
	last := p.logins[want-1]
	p.mu.Unlock()
	p.wantAgent(t, last)
	p.wantLogin(t, last, want)
}

// wantAgent wants a call of the gate's own to name Sallyport, or what the preset's API wants to hear, and no library.
func (p *play) wantAgent(t *testing.T, login arrival) {
	t.Helper()
	want := cmp.Or(p.Headers["User-Agent"], "Sallyport")
	if got := login.Header.Values("User-Agent"); !slices.Equal(got, []string{want}) {
		t.Errorf("the login call is from %q, want %q", got, want)
	}
}

var braced = regexp.MustCompile(`\{.*\}`) // from the first to the last: what is fixed stands before and after

// n8nTypes are n8n's definitions that the preset stands for.
func n8nTypes(p presetkeys.Preset) (types []preset.Type) {
	all, err := preset.ReadCatalogue()
	if err != nil {
		panic(err) // a test of package preset reads it
	}
	for _, v := range all.Verdicts {
		if v.Preset == p.Name {
			types = append(types, v.Type)
		}
	}
	return types
}

// wantFacts holds a request to n8n's own definition: each place that n8n puts a credential into has it, in that form.
func (p *play) wantFacts(t *testing.T, got arrival) {
	t.Helper()
	if p.Deviates != "" || p.Credential.Kind == presetkeys.KindSigV4 || p.Credential.Kind == presetkeys.KindOAuth1 {
		return // verified by its signature; or the preset says why it is not n8n's, and what it is was held to that
	}
	for _, n := range n8nTypes(p.Preset) {
		for _, place := range n.Places {
			if strings.Contains(place.Format, "{") && !p.stands(got, place) {
				t.Errorf("n8n puts %+v, and that is not in %+v", place, got)
			}
		}
	}
}

// stands tells whether a secret, a token or a header that was asked for stands in the place, in n8n's format.
func (p *play) stands(got arrival, place preset.TypePlace) bool {
	_, query, _ := strings.Cut(got.URI, "?")
	values, _ := url.ParseQuery(query)
	switch place.In {
	case "header":
		value := got.Header.Get(place.Name)
		if p.HeadersNeeds[place.Name] != "" || got.Header.Get(place.Name) == givenHeader {
			return value == givenHeader
		}
		return p.formatted(value, place.Format)
	case "query":
		return len(values[place.Name]) == 1 && p.formatted(values.Get(place.Name), place.Format)
	case "basic":
		text, _ := strings.CutPrefix(got.Header.Get("Authorization"), "Basic ")
		pair, err := base64.StdEncoding.DecodeString(text)
		return err == nil && p.formattedPair(string(pair), place.Format)
	case "body":
		if p.form() {
			values, _ := url.ParseQuery(got.Body)
			return p.formatted(values.Get(place.Name), place.Format)
		}
		var doc map[string]string
		_ = json.Unmarshal([]byte(strings.Replace(got.Body, `"a":1`, `"a":""`, 1)), &doc)
		return p.formatted(doc[place.Name], place.Format)
	}
	return false
}

// formatted tells whether value is one of the secrets, or a token, in n8n's format. A scheme is written in any case
// (RFC 9110, section 11.1).
func (p *play) formatted(value, format string) bool {
	before, after, _ := strings.Cut(braced.ReplaceAllLiteralString(strings.TrimSpace(format), "\x00"), "\x00")
	if len(value) < len(before)+len(after) || !strings.EqualFold(value[:len(before)], before) ||
		value[len(value)-len(after):] != after {
		return false
	}
	held := value[len(before) : len(value)-len(after)]
	if p.derived() {
		return slices.Contains(p.tokens(), held)
	}
	for _, s := range p.secrets {
		if held == s {
			return true
		}
	}
	return false
}

// tokens are those that have been minted.
func (p *play) tokens() (list []string) {
	for n := range p.minted() {
		list = append(list, p.token(n+1))
	}
	return list
}

// formattedPair tells whether a pair has the user and the secret where n8n has its fields.
func (p *play) formattedPair(pair, format string) bool {
	user, password, _ := strings.Cut(format, ":")
	secret := p.secrets[secretName(0)]
	switch {
	case !strings.Contains(password, "{"):
		return pair == secret+":"+password
	case strings.Contains(user, "{"):
		return pair == braced.ReplaceAllLiteralString(user, "someone+else@example.com")+":"+secret
	}
	return pair == user+":"+secret
}
