package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/config/preset"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/presetkeys"
	"sallyport/internal/testkit/setting"
)

// TestCredentialExamplesWork serves every example of docs/credentials.md with made-up secrets, and makes a call by
// each: the API gets it, after one login where the kind has one.
func TestCredentialExamplesWork(t *testing.T) {
	w := emptyWorld(t)
	o := w.options()
	o.Config.Services = exampleServices(t)
	if len(o.Config.Services) < 40 {
		t.Fatalf("%d services in the examples: are they still found?", len(o.Config.Services))
	}
	made := newMadeSecrets(t, w)
	for name, s := range o.Config.Services {
		s.CAFile = "" // a file that is not here
		made.add(s)
		one := s.Placements()[len(s.Placements())-1]
		w.plays[name] = &play{world: w, Preset: presetkeys.Preset{
			Preset: preset.Preset{Name: name},
			Credential: presetkeys.Credential{
				Kind: one.Kind, Token: setting.Text(&one, "token"), Lifetime: setting.Text(&one, "lifetime"),
				ExpiresAt: setting.Text(&one, "expires_at"), As: setting.Text(&one, "as"),
				TokenURL: setting.Text(&one, "token_url"), APIURL: setting.Text(&one, "api_url"),
			},
		}, secrets: map[string]string{}}
	}
	made.put(w)
	w.moveAll(t, o.Config)
	w.serve(t, o)
	if at := strings.Index(w.log.String(), "a service has no usable credential"); at >= 0 {
		t.Error(w.log.String()[at:])
	}
	for _, name := range slices.Sorted(maps.Keys(w.plays)) {
		t.Run(name, func(t *testing.T) { w.plays[name].example(t, o.Config.Services[name]) })
	}
}

func (p *play) example(t *testing.T, s *config.Service) {
	if s.Proxy != nil || len(s.Allow) > 0 || s.Placements()[0].Kind == presetkeys.KindRefreshToken &&
		setting.At[secret.Ref](&s.Placements()[0], "refresh_token").IsZero() {
		return // there is no such proxy; other paths than the one asked for; nobody has connected it
	}
	if status, body := p.ask(t); status != http.StatusOK || body != fine.body {
		t.Fatalf("the caller got %d %s", status, body)
	}
	logins := 0
	if p.derived() {
		logins = 1
	}
	if got := p.minted(); len(p.last(0)) != 1 || got != logins {
		t.Errorf("%d login calls, want %d, and one request", got, logins)
	}
}

// exampleServices are the services of every example, each by the number of the example and its name.
func exampleServices(t *testing.T) map[string]*config.Service {
	t.Helper()
	doc, err := os.ReadFile("../../docs/credentials.md")
	if err != nil {
		t.Fatal(err)
	}
	services := make(map[string]*config.Service)
	for i, block := range strings.Split(string(doc), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		c, _, err := config.Parse(app.Kinds(), "example.yaml", []byte(block), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, block)
		}
		for name, s := range c.Services {
			services[fmt.Sprintf("e%d-%s", i, name)] = s
		}
	}
	return services
}

// madeSecrets makes up what references name, in the form that the field they stand in asks for.
type madeSecrets struct {
	rsa, ec, certificate, account string
	values                        map[string]map[string]string // by path and field
}

func newMadeSecrets(t *testing.T, w *presetWorld) *madeSecrets {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	blank := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, blank, blank, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	m := &madeSecrets{rsa: newPresetKey(t).pem, ec: pemKey(t, key), values: make(map[string]map[string]string)}
	m.certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for name := range exampleServices(t) {
		if strings.HasSuffix(name, "-sheets") {
			account, _ := json.Marshal(map[string]string{
				"type":         "service_account",
				"client_email": "n8n@project.example", "private_key": m.rsa, "token_uri": w.at + "/" + name + "/token",
			})
			m.account = string(account)
		}
	}
	return m
}

// add makes up what a service names.
func (m *madeSecrets) add(s *config.Service) {
	for _, ref := range s.Refs() {
		m.set(ref, "made-up-"+ref.Path+"-"+ref.Field)
	}
	m.set(s.ProxySecret, "user:password")
	if s.TLS != nil {
		m.set(s.TLS.Cert, m.certificate)
		m.set(s.TLS.Key, m.ec)
	}
	for _, c := range s.Placements() {
		m.set(*setting.At[secret.Ref](&c, "service_account"), m.account)
		if setting.Text(&c, "alg") == "ES256" {
			m.set(*setting.At[secret.Ref](&c, "key"), m.ec)
		} else {
			m.set(*setting.At[secret.Ref](&c, "key"), m.rsa)
		}
		if setting.Text(&c, "secret_encoding") == "base64" {
			m.set(*setting.At[secret.Ref](&c, "secret"), "bWFkZS11cC1zZWNyZXQ=")
		}
	}
}

func (m *madeSecrets) set(ref secret.Ref, value string) {
	if ref.IsZero() {
		return
	}
	if m.values[ref.Path] == nil {
		m.values[ref.Path] = make(map[string]string)
	}
	m.values[ref.Path][ref.Field] = value
}

func (m *madeSecrets) put(w *presetWorld) {
	for path, fields := range m.values {
		value, whole := fields[""]
		if !whole {
			object, _ := json.Marshal(fields)
			value = string(object)
		}
		w.put(path, value)
	}
}
