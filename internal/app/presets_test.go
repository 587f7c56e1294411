package app_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/testkit/presetkeys"
	"sallyport/internal/testkit/setting"
)

// TestPresetsOnTheWire loads every preset with made-up inputs, serves them all, and looks at the bytes that arrive at
// the API and at the login call: what a preset says stands where it says, once, and nothing beside it.
func TestPresetsOnTheWire(t *testing.T) {
	w := newPresetWorld(t, presetkeys.All())
	t.Run("presets", func(t *testing.T) { // ends when all of them have
		for _, name := range slices.Sorted(maps.Keys(w.plays)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := w.plays[name]
				p.plainCall(t)
				if p.derived() {
					p.expiries(t)
				}
				p.otherRefusal(t)
				p.testCall(t)
			})
		}
	})
	w.wantNothingLeaks(t)
}

// presetWorld is a gate with a service for each preset. Every URL of theirs is the stand-in's, with the preset's name
// and the real host before the path.
type presetWorld struct {
	*bed

	at     string // the stand-in's URL
	gate   *app.App
	plays  map[string]*play
	client http.Client

	unconnected bool // nobody has a refresh token to begin with
}

func newPresetWorld(t *testing.T, presets []presetkeys.Preset) *presetWorld {
	t.Helper()
	w := emptyWorld(t)
	w.fill(t, presets)
	o := w.options()
	w.moveAll(t, o.Config)
	w.serve(t, o)
	return w
}

// fill writes the services, and what they are given.
func (w *presetWorld) fill(t *testing.T, presets []presetkeys.Preset) {
	t.Helper()
	secrets := filepath.Join(w.dir, "made")
	if err := os.Mkdir(secrets, 0o700); err != nil {
		t.Fatal(err)
	}
	text := listen + "stores:\n  made: {kind: file, dir: made}\nservices:\n"
	key := newPresetKey(t)
	for _, p := range presets {
		one := &play{world: w, Preset: p, key: key, secrets: make(map[string]string)}
		w.plays[p.Name] = one
		text += one.yaml()
		fields, err := json.Marshal(one.secrets)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(secrets, p.Name), fields, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.write(text)
}

// emptyWorld is one with a stand-in, and without services and a gate.
func emptyWorld(t *testing.T) *presetWorld {
	t.Helper()
	w := &presetWorld{bed: newBed(t, func(string) string { return listen }), plays: make(map[string]*play)}
	w.at = newStandIn(t, w.plays)
	w.client.Transport = &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func (w *presetWorld) moveAll(t *testing.T, c *config.Config) {
	t.Helper()
	for name, s := range c.Services {
		w.move(t, name, s)
	}
}

// serve runs a gate. Everything that it calls has been moved to the stand-in.
func (w *presetWorld) serve(t *testing.T, o app.Options) {
	t.Helper()
	o.Reread = func() (*config.Config, config.Warnings, error) { return o.Config, nil, nil }
	var err error
	if w.gate, err = app.New(t.Context(), o); err == nil {
		err = w.gate.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.gate.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// move puts the stand-in in place of everything that a service calls.
func (w *presetWorld) move(t *testing.T, name string, s *config.Service) {
	t.Helper()
	moved := func(u string) string {
		from, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		return w.at + "/" + name + "/" + from.Host + from.RequestURI()
	}
	s.Upstream, _ = url.Parse(strings.TrimSuffix(moved(s.Upstream.String()), "/"))
	s.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	all := []*config.Credential{&s.Credential}
	for i := range s.Credentials {
		all = append(all, &s.Credentials[i])
	}
	for _, c := range all {
		for _, key := range []string{"token_url", "refresh_url", "api_url", "request.url"} {
			if u := setting.At[string](c, key); *u != "" && c.Derived() {
				*u = moved(*u)
			}
		}
		if c.Kind == presetkeys.KindSigV4 { // the host told
			name, region := setting.At[string](c, "service"), setting.At[string](c, "region")
			*name, *region = cmp.Or(*name, awsService), cmp.Or(*region, awsRegion)
		}
	}
}

// ask makes one call through the gate, as n8n would.
func (p *play) ask(t *testing.T) (status int, body string) {
	t.Helper()
	return p.send(t, http.MethodPost, callPath+"?a=1", p.body())
}

func (p *play) send(t *testing.T, method, target, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.world.gate.GatewayURL()+"/s/"+p.Name+target,
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"X-Sallyport-Token": {p.world.token}, "X-Own": {"own"}, "User-Agent": {"n8n"},
		"Content-Type": {p.contentType()},
	}
	if body == "" {
		req.Header.Del("Content-Type")
	}
	resp, err := p.world.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

// plainCall is the first call: a login where there is one, and then the API.
func (p *play) plainCall(t *testing.T) {
	t.Helper()
	p.asked(t, fine, 1)
	p.wantLogins(t, 1)
	p.wantFacts(t, p.last(1)[0])
}

// asked makes a call that ends with the answer, after so many requests to the API; each has the active credential by
// then.
func (p *play) asked(t *testing.T, want reply, arrivals int) {
	t.Helper()
	before := p.minted() // with the first request
	status, body := p.ask(t)
	if status != want.status || body != want.body {
		t.Fatalf("the caller got %d %s, want %d %s", status, body, want.status, want.body)
	}
	got := p.last(0)
	if len(got) != arrivals {
		t.Fatalf("the API got %d requests, want %d", len(got), arrivals)
	}
	for i, one := range got {
		serial := max(before, 1) + i
		if diff := gocmp.Diff(p.wanted(t, serial), p.comparable(t, one)); diff != "" {
			t.Errorf("request %d of the call (-want +got):\n%s", i+1, diff)
		}
	}
}

// expiries has the API say in each way the preset knows that the token has expired: that costs one login and one
// replay, also when the API says it again, and then the caller sees it.
func (p *play) expiries(t *testing.T) {
	t.Helper()
	for _, expired := range p.expired() {
		before := p.minted()
		p.plan(expired)
		p.asked(t, fine, 2)
		p.wantLogins(t, before+1)
	}
	expired, before := p.expired()[0], p.minted()
	p.plan(expired, expired)
	p.asked(t, expired, 2)
	p.wantLogins(t, before+1)
}

// otherRefusal has the API refuse for another reason, or something that does not expire: the caller gets that, and
// nothing is done about it.
func (p *play) otherRefusal(t *testing.T) {
	t.Helper()
	refusal := reply{http.StatusUnauthorized, `{"message":"no"}`}
	if p.derived() {
		refusal.status = http.StatusForbidden
		if slices.Contains(p.expiryStatus(), refusal.status) {
			refusal.status = http.StatusBadRequest
		}
	}
	before := p.minted()
	p.plan(refusal)
	p.asked(t, refusal, 1)
	p.wantLogins(t, before)
}

// testCall makes the call by which the preset is tried out: it arrives as written, with a credential.
func (p *play) testCall(t *testing.T) {
	t.Helper()
	if p.Test.Path == "" {
		return
	}
	method := cmp.Or(p.Test.Method, http.MethodGet)
	if status, body := p.send(t, method, p.Test.Path, ""); status != http.StatusOK {
		t.Fatalf("the test call is answered %d %s", status, body)
	}
	got := p.last(0)
	if len(got) != 1 || got[0].Method != method || !strings.HasSuffix(p.withoutSecret(t, got[0].URI), p.Test.Path) {
		t.Errorf("the test call arrived as %+v, want %s %s", got, method, p.Test.Path)
	}
	p.wantFacts(t, got[0])
}

// withoutSecret is a URI without what the credential adds to its query.
func (p *play) withoutSecret(t *testing.T, uri string) string {
	t.Helper()
	for _, c := range p.Placements() {
		if goes := c.Goes(); goes.Kind == "query" {
			at := strings.LastIndexAny(uri, "?&")
			if at < 0 || !strings.Contains(uri[at:], url.QueryEscape(madeUp)) {
				t.Errorf("no credential at the end of %s", uri)
				return uri
			}
			uri = uri[:at]
		}
	}
	return uri
}

// wantNothingLeaks searches what the gate leaves behind.
func (w *presetWorld) wantNothingLeaks(t *testing.T) {
	t.Helper()
	record, err := os.ReadFile(w.load().Audit.File)
	if err != nil {
		t.Fatal(err)
	}
	for place, text := range map[string]string{
		"the log": w.log.String(), "the audit log": string(record),
		"the metrics": w.scrape(w.gate),
	} {
		for _, canary := range []string{madeUp, mintedToken, "spt_"} {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("%s has %q in it: …%s", place, canary, text[max(0, at-100):min(len(text), at+60)])
			}
		}
	}
}

// yaml writes the service with everything that the preset's page asks for.
func (p *play) yaml() string {
	text := fmt.Sprintf("  %s:\n    preset: %s\n", p.Name, p.Name)
	if p.UpstreamEg != "" {
		text += "    upstream: " + p.UpstreamEg + "\n"
	}
	if len(p.HeadersNeeds) > 0 {
		text += "    headers:\n"
		for name := range p.HeadersNeeds {
			text += fmt.Sprintf("      %s: %s\n", name, givenHeader)
		}
	}
	if len(p.Credentials) == 0 {
		return text + "    credential:\n      " + strings.Join(p.given(), "\n      ") + "\n"
	}
	text += "    credentials:\n"
	for i := range p.Credentials {
		text += fmt.Sprintf("      - {secret: %s}\n", p.ref(secretName(i)))
	}
	return text
}

// given are the lines of the credential.
func (p *play) given() (lines []string) {
	give := func(names ...string) {
		for _, name := range names {
			lines = append(lines, name+": "+p.ref(name))
		}
	}
	switch p.Credential.Kind {
	case presetkeys.KindRefreshToken:
		give("client_id", "client_secret")
		if !p.world.unconnected {
			give("refresh_token")
		}
	case presetkeys.KindClientCredentials:
		give("client_id", "client_secret")
	case presetkeys.KindJWTBearer:
		if p.Needs["issuer"] != "" {
			give("issuer", "subject", "key")
			return lines
		}
		give("service_account")
		return append(lines, "scopes: ["+googleScope+"]")
	case presetkeys.KindGitHubApp:
		give("key")
		return append(lines, "app_id: 123", "installation_id: 456")
	case presetkeys.KindSigV4:
		give("access_key", "secret_key", "session_token")
		lines = append(lines, "region: "+awsRegion)
	case presetkeys.KindOAuth1:
		give("consumer_key", "consumer_secret", "access_token", "token_secret")
	case presetkeys.KindExchange:
	default:
		lines = append(lines, "secret: "+p.ref(secretName(0)))
	}
	if p.UsernameNeeds != "" {
		lines = append(lines, "username: "+p.username())
	}
	if len(p.Needs) > 0 {
		lines = append(lines, "inputs:")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Needs)) {
		if inURL(name) {
			lines = append(lines, "  "+name+": "+p.input(name))
		} else {
			lines = append(lines, "  "+name+": "+p.ref(name))
		}
	}
	return lines
}
