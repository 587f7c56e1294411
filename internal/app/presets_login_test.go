package app_test

import (
	"cmp"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	gocmp "github.com/google/go-cmp/cmp"

	"sallyport/internal/testkit/presetkeys"
)

// wantLogin holds the login call of that number to what the preset says, with everything that was given in its place.
func (p *play) wantLogin(t *testing.T, got arrival, serial int) {
	t.Helper()
	c := p.Credential
	switch c.Kind {
	case presetkeys.KindExchange:
		p.wantExchange(t, got)
		return
	case presetkeys.KindGitHubApp:
		if want := p.there(t, c.APIURL+"/app/installations/456/access_tokens"); got.Method != http.MethodPost ||
			got.URI != want {
			t.Errorf("the login call is %s %s, want POST %s", got.Method, got.URI, want)
		}
		assertion, _ := strings.CutPrefix(got.Header.Get("Authorization"), "Bearer ")
		p.wantClaims(t, assertion, map[string]any{"iss": "123"})
		return
	}
	if want := p.there(t, cmp.Or(c.RefreshURL, c.TokenURL)); got.Method != http.MethodPost || got.URI != want {
		t.Errorf("the token request is %s %s, want POST %s", got.Method, got.URI, want)
	}
	form, err := url.ParseQuery(got.Body)
	if err != nil || got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("the token request is no form: %s %q, %v", got.Header.Get("Content-Type"), got.Body, err)
	}
	want := p.wantedForm(serial)
	if c.Kind == presetkeys.KindJWTBearer {
		p.wantAssertion(t, form.Get("assertion"))
		form.Del("assertion")
	}
	user := p.wantedClient(want)
	if got.Header.Get("Authorization") != user {
		t.Errorf("the token request has Authorization %q, want %q", got.Header.Get("Authorization"), user)
	}
	if diff := gocmp.Diff(want, form); diff != "" {
		t.Errorf("the form of the token request (-want +got):\n%s", diff)
	}
}

// wantedClient puts the client into the form, or returns the Authorization header that says who it is.
func (p *play) wantedClient(form url.Values) (authorization string) {
	switch {
	case p.Credential.Kind == presetkeys.KindJWTBearer: // the assertion says who it is
		return ""
	case p.byPost():
		form.Set("client_id", p.secrets["client_id"])
		form.Set("client_secret", p.secrets["client_secret"])
		return ""
	}
	return "Basic " +
		base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(p.secrets["client_id"])+":"+
			url.QueryEscape(p.secrets["client_secret"])))
}

// byPost tells how the client shows who it is: as n8n has it, where n8n has this grant.
func (p *play) byPost() bool {
	for _, n := range n8nTypes(p.Preset) {
		if n.OAuth2 != nil && p.Deviates == "" {
			return n.OAuth2.Auth == "post"
		}
	}
	return p.Credential.Auth == "post"
}

func (p *play) wantedForm(serial int) url.Values {
	c := p.Credential
	form := url.Values{}
	switch c.Kind {
	case presetkeys.KindClientCredentials:
		form.Set("grant_type", "client_credentials")
	case presetkeys.KindRefreshToken:
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", p.refreshToken(serial))
	case presetkeys.KindJWTBearer:
		form.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
	}
	scopes := slices.Clone(c.Scopes)
	if c.Kind == presetkeys.KindJWTBearer && p.Needs["issuer"] == "" {
		scopes = append(scopes, googleScope)
	}
	for i := range scopes {
		scopes[i] = p.filled(scopes[i])
	}
	if len(scopes) > 0 && c.Kind != presetkeys.KindRefreshToken {
		form.Set("scope", strings.Join(scopes, " "))
	}
	for name, value := range c.Params {
		form.Set(name, p.filled(value))
	}
	return form
}

func (p *play) wantAssertion(t *testing.T, assertion string) {
	t.Helper()
	want := map[string]any{"aud": p.Credential.Audience}
	if p.Needs["issuer"] != "" {
		want["iss"], want["sub"] = p.input("issuer"), p.input("subject")
	} else {
		want["iss"], want["scope"] = "n8n@project.example", googleScope
	}
	p.wantClaims(t, assertion, want)
}

// wantClaims verifies a JWT, and wants these claims and those of time in it, and no other.
func (p *play) wantClaims(t *testing.T, assertion string, want map[string]any) {
	t.Helper()
	signed, signature, _ := strings.Cut(assertion, ".")
	middle, signature, _ := strings.Cut(signature, ".")
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	sum := sha256.Sum256([]byte(signed + "." + middle))
	if err != nil || rsa.VerifyPKCS1v15(&p.key.private.PublicKey, crypto.SHA256, sum[:], sig) != nil {
		t.Errorf("the assertion %q is not signed with the key", assertion)
		return
	}
	text, _ := base64.RawURLEncoding.DecodeString(middle)
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Error(err)
		return
	}
	for _, name := range []string{"iat", "exp"} {
		if at, _ := claims[name].(float64); time.Since(time.Unix(int64(at), 0)).Abs() > 11*time.Minute {
			t.Errorf("claim %s is %v", name, claims[name])
		}
	}
	for _, name := range []string{"iat", "exp", "nbf", "jti"} {
		delete(claims, name)
	}
	if diff := gocmp.Diff(want, claims); diff != "" {
		t.Errorf("the claims (-want +got):\n%s", diff)
	}
}

func (p *play) wantExchange(t *testing.T, got arrival) {
	t.Helper()
	r := p.Credential.Request
	want := wire{Method: r.Method, URI: p.there(t, r.URL), Header: map[string]string{}}
	if want.Method == "" {
		want.Method = http.MethodPost
	}
	if len(r.Query) > 0 {
		query := url.Values{}
		for name, value := range r.Query {
			query.Set(name, p.filled(value))
		}
		want.URI += "?" + query.Encode()
	}
	for name, value := range r.Headers {
		want.Header[name] = p.filled(value)
	}
	if r.Basic != nil {
		want.Header["Authorization"] = "Basic " +
			base64.StdEncoding.EncodeToString([]byte(p.filled(r.Basic.Username+":"+r.Basic.Password)))
	}
	switch {
	case r.JSON != nil:
		want.Header["Content-Type"], want.Body = "application/json", p.tree(r.JSON)
	case r.Form != nil:
		form := url.Values{}
		for name, value := range r.Form {
			form.Set(name, p.filled(value))
		}
		want.Header["Content-Type"], want.Body = "application/x-www-form-urlencoded", form
	}
	have := wire{
		Method: got.Method, URI: got.URI, Header: map[string]string{},
		Body: parsed(t, got.Header.Get("Content-Type"), got.Body),
	}
	for _, name := range append(slices.Collect(maps.Keys(want.Header)), "Authorization") {
		if value := got.Header.Get(name); value != "" {
			have.Header[name] = value
		}
	}
	if diff := gocmp.Diff(want, have); diff != "" {
		t.Errorf("the login call (-want +got):\n%s", diff)
	}
	p.wantLoginFacts(t, got)
}

// tree fills in the JSON of a login call.
func (p *play) tree(node any) any {
	switch n := node.(type) {
	case string:
		return p.filled(n)
	case map[string]any:
		out := make(map[string]any, len(n))
		for name, inner := range n {
			out[name] = p.tree(inner)
		}
		return out
	}
	return node
}

// wantLoginFacts holds a login call to n8n's.
func (p *play) wantLoginFacts(t *testing.T, got arrival) {
	t.Helper()
	for _, n := range n8nTypes(p.Preset) {
		if n.Login == nil || n.Login.Method == "" || p.Deviates != "" {
			continue
		}
		if got.Method != n.Login.Method {
			t.Errorf("n8n signs in by %s, and this is %s", n.Login.Method, got.Method)
		}
		if basic := strings.HasPrefix(got.Header.Get("Authorization"), "Basic "); basic != (n.Login.Basic != "") {
			t.Errorf("n8n's login call has Basic authentication: %v, and this one: %v", n.Login.Basic != "", basic)
		}
	}
}

// verified verifies the signature of a kind that signs, and returns the headers it consists of.
func (p *play) verified(t *testing.T, got arrival) []string {
	t.Helper()
	switch p.Credential.Kind {
	case presetkeys.KindSigV4:
		return p.verifySigV4(t, got)
	case presetkeys.KindOAuth1:
		p.verifyOAuth1(t, got)
		return []string{"Authorization"}
	case presetkeys.KindHMAC:
		c := p.Credential // the one preset with it signs the query
		_, query, _ := strings.Cut(got.URI, "?")
		mac := hmac.New(sha256.New, []byte(p.secrets[secretName(0)]))
		mac.Write([]byte(query))
		if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); c.Message != "{query}" ||
			got.Header.Get(c.Header) != want {
			t.Errorf("%s is %q, want %q", c.Header, got.Header.Get(c.Header), want)
		}
		return []string{c.Header}
	}
	return nil
}

// verifySigV4 has AWS's own code sign what arrived, and compares.
func (p *play) verifySigV4(t *testing.T, got arrival) []string {
	t.Helper()
	own := got.Header.Get("Authorization")
	_, names, _ := strings.Cut(own, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	service := cmp.Or(p.Credential.Service, awsService)
	// without the length, which is not signed
	req, err := http.NewRequestWithContext(t.Context(), got.Method, "http://"+got.Host+"/"+p.Name+got.URI, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(names, ";") {
		if name != "host" && name != "content-length" {
			req.Header[http.CanonicalHeaderKey(name)] = got.Header[http.CanonicalHeaderKey(name)]
		}
	}
	at, err := time.Parse("20060102T150405Z", got.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("X-Amz-Date is %q", got.Header.Get("X-Amz-Date"))
	}
	sum := sha256.Sum256([]byte(got.Body))
	key := aws.Credentials{
		AccessKeyID: p.secrets["access_key"], SecretAccessKey: p.secrets["secret_key"],
		SessionToken: p.secrets["session_token"],
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if err := signer.SignHTTP(t.Context(), key, req, hex.EncodeToString(sum[:]), service, awsRegion, at); err != nil {
		t.Fatal(err)
	}
	if want := req.Header.Get("Authorization"); own != want {
		t.Errorf("Authorization is %q, want %q", own, want)
	}
	return []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}
}

// verifyOAuth1 is RFC 5849, section 3.4.
func (p *play) verifyOAuth1(t *testing.T, got arrival) {
	t.Helper()
	text, _ := strings.CutPrefix(got.Header.Get("Authorization"), "OAuth ")
	params := map[string]string{"a": "1"} // the query's
	for pair := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		params[name], _ = url.PathUnescape(strings.Trim(value, `"`))
	}
	signature := params["oauth_signature"]
	delete(params, "oauth_signature")
	if params["oauth_consumer_key"] != p.secrets["consumer_key"] ||
		params["oauth_token"] != p.secrets["access_token"] || params["oauth_signature_method"] != "HMAC-SHA1" {
		t.Errorf("the parameters are %v", params)
	}
	var pairs []string
	for name, value := range params {
		pairs = append(pairs, percent(name)+"="+percent(value))
	}
	slices.Sort(pairs)
	path, _, _ := strings.Cut(got.URI, "?")
	base := got.Method + "&" + percent("http://"+got.Host+"/"+p.Name+path) + "&" + percent(strings.Join(pairs, "&"))
	mac := hmac.New(sha1.New, []byte(percent(p.secrets["consumer_secret"])+"&"+percent(p.secrets["token_secret"])))
	mac.Write([]byte(base))
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); signature != want {
		t.Errorf("oauth_signature is %q, want %q over %s", signature, want, base)
	}
}

// percent is the encoding of RFC 5849, section 3.6.
func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
