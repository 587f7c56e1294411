package credentialtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/archive"
)

// Run holds what a kind makes of its settings to the contract of credential.Building and credential.Minting, with the
// service "one" of testdata/config/builds.txtar: its references are the secrets that are read, and no other; a secret
// that cannot be obtained is an error; the place is one and the same in the configuration and on the wire; and nothing
// that it makes prints the secret of ref+builtin://one. What a path that ends in .pem stands for is a private key
// (RSA), and any other made-up text.
func Run(t *testing.T, kind config.CredentialKind) {
	t.Helper()
	_, files := archive.Read(t, "testdata/config/builds.txtar")
	c, _, err := config.Parse(alone(kind), "sallyport.yaml", files["sallyport.yaml"], func(string) ([]byte, error) {
		return nil, fs.ErrNotExist
	})
	if err != nil {
		t.Fatal(err)
	}
	one := &c.Services["one"].Credential
	settings, ok := one.Settings.(credential.Settings)
	if !ok {
		t.Fatalf("the settings of kind %s do not say where the credential goes: they implement credential.Settings",
			one.Kind)
	}
	var read []secret.Ref
	pemKey := privateKey(t)
	without := func(gone secret.Ref) func(secret.Ref) (secret.Value, error) {
		return func(ref secret.Ref) (secret.Value, error) {
			read = append(read, ref)
			switch {
			case ref == gone:
				return secret.Value{}, errGone
			case strings.HasSuffix(ref.Path, ".pem"):
				return secret.NewValue(pemKey), nil
			case ref.Path == "one":
				return secret.NewValue([]byte(archive.Canary)), nil
			}
			return secret.NewValue([]byte("made-up-" + ref.Path)), nil
		}
	}
	made, err := build(settings, without(secret.Ref{}))
	if err != nil {
		t.Fatalf("building: %v", err)
	}
	for _, ref := range one.Refs() {
		if !slices.Contains(read, ref) {
			t.Errorf("%s is named and not read", ref)
		}
	}
	for _, ref := range read {
		if !slices.Contains(one.Refs(), ref) {
			t.Errorf("%s is read, and Refs does not have it", ref)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", made, made, made); strings.Contains(text, archive.Canary) {
		t.Error("what it makes prints the secret")
	}
	places(t, settings)
	for _, ref := range one.Refs() {
		if _, err := build(settings, without(ref)); !errors.Is(err, errGone) {
			t.Errorf("without %s: %v, want its error", ref, err)
		}
	}
}

var errGone = errors.New("gone")

// build makes what goes onto requests, or what obtains a token.
func build(settings credential.Settings, get func(secret.Ref) (secret.Value, error)) (made any, err error) {
	reading := credential.Reader{Get: get}
	switch s := settings.(type) {
	case credential.Minting:
		way := func(*url.URL) (http.RoundTripper, error) { return http.NewFileTransport(http.Dir("testdata")), nil }
		return s.Minter(&credential.Mint{Reader: reading, Way: way})
	case credential.Building:
		part := credential.Part{Spec: s.Spec()}
		if err := s.Build(&reading, &part); err != nil {
			return nil, err
		}
		return credential.NewAssembly([]credential.Part{part})
	}
	return nil, fmt.Errorf("%T implements neither credential.Building nor credential.Minting", settings)
}

// places wants the same place in the configuration's words and on the wire.
func places(t *testing.T, settings credential.Settings) {
	t.Helper()
	wire, said := settings.Spec().Slot(), settings.Slot()
	if wire.Header != http.CanonicalHeaderKey(said.Header) || wire.Param != said.Param || wire.Cookie != said.Cookie ||
		(wire.Path != "") != said.Path {
		t.Errorf("it goes to %+v, and says %+v", wire, said)
	}
	if nothing := settings.Class() == config.Nothing; nothing != (said == config.Slot{}) {
		t.Errorf("class nothing: %v; slot %+v", nothing, said)
	}
}

func privateKey(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}
