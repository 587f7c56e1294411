package e2e_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/e2e/gate"
	"sallyport/e2e/lab"
	"sallyport/e2e/provider"
	"sallyport/e2e/standin"
)

// callers is how many call each service at once.
const callers = 4

// oauthServices are the services of the scene, each named after its client at the provider, or the subject of its
// assertions.
var oauthServices = []string{"basic", "post", "signed", "connected", "asserted"}

// oauthScene is an OAuth server, an API behind it, and a gate with a service for each way to a token.
type oauthScene struct {
	provider *provider.Provider
	api      *standin.Introspecting
	gate     *gate.Gate
	token    string                // of the callers
	secrets  map[string]lab.Canary // by the name that they have in the gate
	keys     map[string]string     // private, PEM, likewise
	shown    map[string][]byte     // what was written to the outside
	answered atomic.Int64
}

func newOAuthScene(t *testing.T, lifetime time.Duration) *oauthScene {
	t.Helper()
	s := &oauthScene{secrets: map[string]lab.Canary{}, keys: map[string]string{}, shown: map[string][]byte{}}
	for _, name := range []string{"basic", "post", "connected", "api"} {
		s.secrets[name] = lab.NewCanary("cs")
	}
	must(t, "starting the provider", s.startProvider(t, lifetime))
	s.api = standin.StartIntrospecting(s.provider.URL+"/introspect", "api", string(s.secrets["api"]))
	t.Cleanup(s.api.Close)
	must(t, "starting the gate", s.startGate(t))
	return s
}

func (s *oauthScene) startProvider(t *testing.T, lifetime time.Duration) error {
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	machine := []string{"client_credentials"}
	who := provider.Registration{
		Clients: []provider.Client{
			{ID: "basic", Auth: "client_secret_basic", Secret: string(s.secrets["basic"]), Grants: machine, Scopes: []string{"things"}},
			{ID: "post", Auth: "client_secret_post", Secret: string(s.secrets["post"]), Grants: machine, Scopes: []string{"things"}},
			{ID: "signed", Auth: "private_key_jwt", Key: s.newKey(t, "signed", elliptical), Grants: machine, Scopes: []string{"things"}},
			{
				ID: "connected", Auth: "client_secret_basic", Secret: string(s.secrets["connected"]),
				Redirects: []string{"http://127.0.0.1/callback"},
				Grants:    []string{"authorization_code", "refresh_token"},
				Scopes:    []string{"openid", "offline_access", "things"},
			},
			{ID: "api", Auth: "client_secret_basic", Secret: string(s.secrets["api"]), Grants: []string{"none"}},
		},
		Issuers: []provider.Issuer{{
			Name: "the-gate", Subject: "asserted", Key: s.newKey(t, "asserted", long),
			Scopes: []string{"things"},
		}},
	}
	binary, err := provider.Build(t.Context(), "..", t.TempDir())
	if err != nil {
		return err
	}
	if s.provider, err = provider.Start(t.Context(), binary, lifetime, who); err != nil {
		return err
	}
	t.Cleanup(func() {
		s.provider.Down()
		if t.Failed() {
			keep(t, "provider.log", s.provider.Log())
		}
	})
	return nil
}

// newKey keeps a private key and returns the public one, in PEM.
func (s *oauthScene) newKey(t *testing.T, name string, key crypto.Signer) string {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, "writing a private key", err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, "writing a public key", err)
	s.keys[name] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
}

// startGate configures the services as docs/credentials.md does.
func (s *oauthScene) startGate(t *testing.T) (err error) {
	binary, err := gate.Build(t.Context(), "..", t.TempDir())
	if err != nil {
		return err
	}
	if s.gate, err = gate.New(t.Context(), binary, t.TempDir()); err != nil {
		return err
	}
	if err := s.gate.Configure(s.configuration()); err != nil {
		return err
	}
	for _, name := range oauthServices {
		value := s.keys[name]
		if value == "" {
			value = string(s.secrets[name])
		}
		if _, err := s.gate.Run(t.Context(), value, "secret", "set", name); err != nil {
			return err
		}
	}
	token, err := s.gate.Run(t.Context(), "", "token", "issue", "callers", "--services",
		strings.Join(oauthServices, ","))
	if err != nil {
		return err
	}
	s.token = strings.TrimSpace(token)
	t.Cleanup(func() {
		s.gate.Stop()
		if t.Failed() {
			keep(t, "sallyport.log", s.gate.Log())
		}
	})
	return s.gate.Serve(t.Context())
}

func (s *oauthScene) configuration() string {
	text := "services:\n"
	for name, credential := range map[string]string{
		"basic":     "kind: oauth2_client_credentials, client_id: basic, client_secret: ref+builtin://basic",
		"post":      "kind: oauth2_client_credentials, client_id: post, client_secret: ref+builtin://post, auth: post",
		"signed":    "kind: oauth2_client_credentials, client_id: signed, key: ref+builtin://signed",
		"connected": "kind: oauth2_refresh_token, client_id: connected, client_secret: ref+builtin://connected, authorize_url: " + s.provider.URL + "/authorize",
		"asserted":  "kind: jwt_bearer, issuer: the-gate, subject: asserted, key: ref+builtin://asserted",
	} {
		scopes := "things"
		if name == "connected" {
			scopes = "openid, offline_access, things"
		}
		text += fmt.Sprintf("  %s:\n    upstream: %s\n    allow_private: [127.0.0.1/32]\n    credential: {%s, "+
			"token_url: %s/token, scopes: [%s]}\n",
			name, s.api.URL(), credential, s.provider.URL, scopes)
	}
	return text
}

// connect runs `sallyport service connect`, with the test as the person at the browser.
func (s *oauthScene) connect(t *testing.T, service string) {
	t.Helper()
	command, err := s.gate.Start(t.Context(), "service", "connect", service, "--no-browser")
	must(t, "running service connect", err)
	page := regexp.MustCompile(`(?m)^ +(http://\S+/authorize\?\S+)$`)
	err = command.Await(t.Context(), time.Minute, func() bool { return page.Match(command.Log()) })
	must(t, "waiting for the page of consent", err)
	resp, err := http.Get(string(page.FindSubmatch(command.Log())[1]))
	must(t, "giving consent", err)
	defer resp.Body.Close()
	s.shown["the page after consent"], err = io.ReadAll(resp.Body)
	must(t, "reading the page after consent", err)
	if code := command.ExitCode(); code != 0 || resp.StatusCode != http.StatusOK {
		t.Fatalf("service connect ended with %d, the browser shows %s\n%s", code, resp.Status, command.Log())
	}
	s.shown["service connect"] = command.Log()
	if !strings.Contains(string(command.Log()), "openid offline_access things") {
		t.Errorf("service connect does not say which scopes were granted: %s", command.Log())
	}
}

// callAll has every service called by many at once, until stop, which waits for their last answers.
func (s *oauthScene) callAll(t *testing.T) (stop func()) {
	t.Helper()
	var all sync.WaitGroup
	ended := make(chan struct{})
	for _, service := range oauthServices {
		for range callers {
			all.Go(func() {
				pace := time.NewTicker(50 * time.Millisecond)
				defer pace.Stop()
				for n := 0; ; n++ {
					s.call(t, service, n)
					select {
					case <-pace.C:
					case <-ended:
						return
					}
				}
			})
		}
	}
	stop = sync.OnceFunc(func() { close(ended); all.Wait() })
	t.Cleanup(stop)
	return stop
}

// callEach has every service called so often by each of its callers.
func (s *oauthScene) callEach(t *testing.T, times int) {
	t.Helper()
	var all sync.WaitGroup
	for _, service := range oauthServices {
		for range callers {
			all.Go(func() {
				for n := range times {
					s.call(t, service, n)
				}
			})
		}
	}
	all.Wait()
}

// call is one call, by turns without a body and with one, and wants the answer to it.
func (s *oauthScene) call(t *testing.T, service string, n int) {
	ctx := context.WithoutCancel(t.Context()) // also the last call is waited for
	method, path, body := http.MethodGet, "/v1/whoami", ""
	if n%2 == 1 {
		method, path, body = http.MethodPost, "/v1/echo", fmt.Sprintf(`{"row":%d}`, n)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.gate.URL+"/s/"+service+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set(tokenHeader, s.token)
	resp, err := s.gate.Client().Do(req)
	if err != nil {
		t.Errorf("calling %s: %v", service, err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var got struct {
		Who      string
		Received struct{ Row int }
	}
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(text, &got) != nil || got.Who != service ||
		got.Received.Row != n*(n%2) {
		t.Errorf("call %d of %s: %s %s (%v)", n, service, resp.Status, text, err)
		return
	}
	s.answered.Add(1)
}

// await asks the provider until it is so.
func (s *oauthScene) await(t *testing.T, what string, isSo func(provider.Record) bool) {
	t.Helper()
	var last provider.Record
	err := s.provider.Await(t.Context(), 2*time.Minute, func() bool {
		var err error
		last, err = s.provider.Record(t.Context())
		return err == nil && isSo(last) || t.Failed()
	})
	if err != nil || t.Failed() {
		t.Fatalf("waiting for %s: %v; the provider has given %v, and refused %v", what, err, last.Minted, last.Refused)
	}
}

// awaitMinted waits until every service has had n tokens more than before.
func (s *oauthScene) awaitMinted(t *testing.T, before map[string]int, n int) {
	t.Helper()
	s.await(t, fmt.Sprint(n, " more tokens each"), func(r provider.Record) bool {
		return !slices.ContainsFunc(oauthServices, func(who string) bool { return r.Minted[who] < before[who]+n })
	})
}

func (s *oauthScene) minted(t *testing.T) map[string]int {
	t.Helper()
	r, err := s.provider.Record(t.Context())
	must(t, "asking the provider", err)
	return r.Minted
}

// crash ends the gate by SIGKILL and starts it again.
func (s *oauthScene) crash(t *testing.T) {
	t.Helper()
	s.gate.Kill()
	s.shown["the log before the crash"] = s.gate.Log()
	must(t, "starting the gate after a crash", s.gate.Serve(t.Context()))
}

// check wants nothing to have gone wrong at the provider and at the API, and nothing to be readable.
func (s *oauthScene) check(t *testing.T) {
	t.Helper()
	record, err := s.provider.Record(t.Context())
	must(t, "asking the provider", err)
	counts := s.api.Counts()
	t.Logf("the provider has given %v, the API has answered %v and refused %d", record.Minted,
		counts.Answered, counts.Refused)
	if record.Reused != 0 || len(record.Refused) != 0 {
		t.Errorf("the provider has refused %v, %d of it because of a refresh token that was used twice",
			record.Refused, record.Reused)
	}
	answered := 0
	for _, n := range counts.Answered {
		answered += n
	}
	if int64(answered) != s.answered.Load() || counts.Strange != 0 {
		t.Errorf("the API has answered %d calls, of %d that were made, and %d were strange", answered,
			s.answered.Load(), counts.Strange)
	}
	if counts.Refused < len(oauthServices) {
		t.Errorf("the API has refused %d calls: no token was over before the gate knew", counts.Refused)
	}
	s.gate.Stop()
	s.keepsQuiet(t, record.Tokens)

	status, err := s.provider.Spend(t.Context(), "connected", string(s.secrets["connected"]), record.Refresh[0])
	must(t, "spending a refresh token for the second time", err)
	if record, err = s.provider.Record(t.Context()); err != nil || status != http.StatusBadRequest ||
		record.Reused != 1 {
		t.Errorf("the provider does not see that a refresh token is used twice: status %d, %d counted (%v)", status,
			record.Reused, err)
	}
}

// keepsQuiet searches all that the gate has shown and written.
func (s *oauthScene) keepsQuiet(t *testing.T, tokens []string) {
	t.Helper()
	s.shown["the log"] = s.gate.Log()
	must(t, "reading what the gate wrote",
		filepath.WalkDir(s.gate.Folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			s.shown[path], err = os.ReadFile(path)
			return err
		}))
	secrets := map[string]lab.Canary{}
	for name, secret := range s.secrets {
		secrets["the secret of "+name] = secret
	}
	for name, key := range s.keys {
		secrets["the key of "+name] = ownPart(key)
	}
	for i, token := range tokens {
		secrets[fmt.Sprint("token ", i)] = lab.Canary(token)
	}
	for place, content := range s.shown {
		for name, secret := range secrets {
			if form, found := secret.In(content); found {
				t.Errorf("%s is in %s (%s)", name, place, form)
			}
		}
	}
	_, audited := s.shown[filepath.Join(s.gate.Folder, "data", "audit.jsonl")]
	if !audited || len(tokens) < 5*len(oauthServices) {
		t.Errorf("searched %d places for %d tokens: too few to prove anything", len(s.shown), len(tokens))
	}
	t.Logf("searched %d places for %d secrets", len(s.shown), len(secrets))
}

// ownPart is a part of a private key in PEM that no other key has: its second line, as far as the search takes it.
func ownPart(key string) lab.Canary {
	pieces := strings.Split(strings.Split(key, "\n")[2], "/")
	return lab.Canary(slices.MaxFunc(pieces, func(a, b string) int { return cmp.Compare(len(a), len(b)) }))
}
