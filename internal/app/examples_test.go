package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	boundaryservice "sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/setting"
)

// TestExamplesBuild: what docs/credentials.md and the configuration's own tests show is not only read, but can be
// built: minters, signers, places, certificates.
func TestExamplesBuild(t *testing.T) {
	k := newKeys(t)
	built := 0
	for _, text := range examples(t) {
		c, _, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte(text), nil)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		for name, s := range c.Services {
			s.CAFile = "" // a file of the reader's
			svc, err := boundaryservice.New(name, s)
			if err == nil {
				err = assembles(t.Context(), svc, k.valuesFor(s))
			}
			if err != nil {
				t.Errorf("service %s: %v\n%s", name, err, text)
			}
			built++
		}
	}
	if built < 25 {
		t.Errorf("only %d services were built", built)
	}
}

// assembles makes what the requests of a service are given, of values that no store has, and throws it away.
func assembles(ctx context.Context, svc *boundaryservice.Service, values map[secret.Ref]secret.Value) error {
	memory := new(derive.Memory)
	tokens := pool.New(pool.Options{Vault: memory, Owner: memory})
	defer tokens.Close()
	of, err := assemble.Resolve(svc.Config, func(ref secret.Ref) (secret.Result, error) {
		return secret.Result{Value: values[ref]}, nil
	})
	if err == nil {
		_, err = assemble.New(tokens).Assemble(ctx, svc, of)
	}
	return err
}

func examples(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/credentials.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := os.ReadFile("../config/testdata/valid-kinds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list := []string{string(kinds)}
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		list = append(list, text)
	}
	return list
}

// keys are secrets of the forms that credentials need.
type keys struct{ rsa, ec, account, certificate string }

func newKeys(t *testing.T) *keys {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &keys{rsa: pemKey(t, rsaKey), ec: pemKey(t, ecKey)}
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "n8n@project.iam.example", "private_key": k.rsa, "token_uri": "https://oauth2.example.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(),
		NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ecKey.Public(), ecKey)
	if err != nil {
		t.Fatal(err)
	}
	k.account = string(account)
	k.certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return k
}

// valuesFor gives each reference of a service a value of the form that is wanted there.
func (k *keys) valuesFor(s *config.Service) map[secret.Ref]secret.Value {
	values := make(map[secret.Ref]secret.Value)
	set := func(ref secret.Ref, text string) { values[ref] = secret.NewValue([]byte(text)) }
	for _, ref := range s.Refs() {
		set(ref, "s3cret-value-1")
	}
	if s.TLS != nil {
		set(s.TLS.Cert, k.certificate)
		set(s.TLS.Key, k.ec)
	}
	for _, c := range s.Placements() {
		account, key := *setting.At[secret.Ref](&c, "service_account"), *setting.At[secret.Ref](&c, "key")
		switch {
		case !account.IsZero():
			set(account, k.account)
		case !key.IsZero() && setting.Text(&c, "alg") == "ES256":
			set(key, k.ec)
		case !key.IsZero():
			set(key, k.rsa)
		case setting.Text(&c, "secret_encoding") == "base64":
			set(*setting.At[secret.Ref](&c, "secret"), "c2VjcmV0c2VjcmV0")
		}
	}
	return values
}
