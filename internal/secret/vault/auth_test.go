package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/vault"
	vaultkit "sallyport/internal/testkit/vault"
)

// scene is a KV engine with one secret, and a policy that lets read it.
func scene(t testing.TB, server *vaultkit.Server, name string) (path string) {
	t.Helper()
	kv(t, server, name, "2")
	mustPut(t, asRoot(t, server), name+"/s", "value of "+name)
	server.Policy(t, name, `path "`+name+`/data/s" { capabilities = ["read"] }`)
	return name + "/s"
}

// wantValue reads what scene has put there.
func wantValue(t *testing.T, store *vault.Store, path string) {
	t.Helper()
	if got, _ := mustGet(t, store, path, ""); got != "value of "+strings.TrimSuffix(path, "/s") {
		t.Errorf("%s: got %q", path, got)
	}
}

// role makes an AppRole at a mount named like the policy, and returns how to log in.
func role(t testing.TB, server *vaultkit.Server, name string, settings map[string]any) *vault.AppRole {
	t.Helper()
	server.Auth(t, name, "approle")
	all := map[string]any{"token_policies": name}
	maps.Copy(all, settings)
	server.Call(t, http.MethodPost, "auth/"+name+"/role/app", all)
	id, _ := server.Data(t, http.MethodGet, "auth/"+name+"/role/app/role-id", nil)["role_id"].(string)
	secretID, _ := server.Data(t, http.MethodPost, "auth/"+name+"/role/app/secret-id", nil)["secret_id"].(string)
	return &vault.AppRole{RoleID: id, SecretID: fixed(secretID + "\n"), Mount: name}
}

func TestAppRole(t *testing.T) {
	server := shared.Server(t)
	path := scene(t, server, "approle")
	login := role(t, server, "approle", nil)
	wantValue(t, open(t, vault.Options{Address: server.Address, AppRole: login}), path)

	wrong := *login
	wrong.SecretID = fixed(canary)
	_, _, err := open(t, vault.Options{Address: server.Address, AppRole: &wrong}).Get(t.Context(), path, "")
	wantErr(t, "a wrong secret id", err, secret.ErrDenied, "secret id is wrong")
	if strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error shows the secret id, or not the path: %v", err)
	}
	elsewhere := *login
	elsewhere.Mount = "nowhere"
	_, _, err = open(t, vault.Options{Address: server.Address, AppRole: &elsewhere}).Get(t.Context(), path, "")
	wantErr(t, "no auth method there", err, secret.ErrDenied, "vault auth list")
}

// wrap returns a response-wrapping token of what a path answers.
func wrap(t *testing.T, server *vaultkit.Server, path string, body any) string {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, server.Address+"/v1/"+path, strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", server.RootToken)
	req.Header.Set("X-Vault-Wrap-TTL", "5m")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		WrapInfo struct {
			Token string `json:"token"`
		} `json:"wrap_info"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.WrapInfo.Token == "" {
		t.Fatalf("wrapping: %s, %v", resp.Status, err)
	}
	return answer.WrapInfo.Token
}

func TestWrappedSecretID(t *testing.T) {
	server := shared.Server(t)
	path := scene(t, server, "wrapped")
	login := *role(t, server, "wrapped", nil)
	token := wrap(t, server, "auth/wrapped/role/app/secret-id", nil)
	login.Wrapped, login.SecretID = true, fixed(token)
	options := vault.Options{Address: server.Address, AppRole: &login}
	store := open(t, options)
	wantValue(t, store, path)

	// The wrapping token is good once; the secret id inside it stays with the store.
	server.Call(t, http.MethodPost, "sys/leases/revoke-prefix/auth/wrapped/login", nil)
	wantValue(t, store, path)
	_, _, err := open(t, options).Get(t.Context(), path, "")
	wantErr(t, "a used wrapping token", err, secret.ErrDenied, "another process holds the secret id")
	if strings.Contains(err.Error(), token) {
		t.Errorf("the error shows the token: %v", err)
	}

	login.SecretID = fixed(wrap(t, server, "sys/wrapping/wrap", map[string]string{"secret_id": "mine"}))
	_, _, err = open(t, vault.Options{Address: server.Address, AppRole: &login}).Get(t.Context(), path, "")
	wantErr(t, "another path's wrapping", err, secret.ErrDenied, "who has put it there")
}

// signer signs JWTs (RFC 7515) with ES256.
type signer struct{ key *ecdsa.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

func (s signer) public(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestJWT(t *testing.T) {
	server := shared.Server(t)
	path := scene(t, server, "jwtauth")
	server.Auth(t, "jwtauth", "jwt")
	keys := newSigner(t)
	server.Call(t, http.MethodPost, "auth/jwtauth/config",
		map[string]any{"jwt_validation_pubkeys": []string{keys.public(t)}})
	server.Call(t, http.MethodPost, "auth/jwtauth/role/app", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault"}, "token_policies": "jwtauth",
	})
	claims := map[string]any{
		"sub": "sallyport", "aud": "vault", "exp": time.Now().Add(time.Hour).Unix(),
		"iat": time.Now().Unix(),
	}
	file := writeFile(t, keys.sign(t, claims)+"\n")
	options := vault.Options{Address: server.Address, JWT: &vault.JWT{Role: "app", JWTFile: file, Mount: "jwtauth"}}
	wantValue(t, open(t, options), path)

	claims["aud"] = "another service"
	options.JWT.JWTFile = writeFile(t, keys.sign(t, claims))
	_, _, err := open(t, options).Get(t.Context(), path, "")
	wantErr(t, "another audience", err, secret.ErrDenied, "vault read auth/jwtauth/role/app")
}

// clientCertificate is signed by itself; the PEM is what a role trusts.
func clientCertificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{
		Certificate: [][]byte{der},
		PrivateKey:  key,
	}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestTLS(t *testing.T) {
	server := vaultkit.StartTLS(t)
	path := scene(t, server, "cert")
	server.Auth(t, "cert", "cert")
	pair, trusted := clientCertificate(t, "sallyport")
	server.Call(t, http.MethodPost, "auth/cert/certs/app",
		map[string]any{"certificate": trusted, "token_policies": "cert"})
	options := vault.Options{
		Address: server.Address, CAPool: server.CAPool,
		Cert: &vault.Cert{Role: "app", Certificate: pair},
	}
	wantValue(t, open(t, options), path)
	options.Cert.Role = ""
	wantValue(t, open(t, options), path)

	other, _ := clientCertificate(t, "other")
	_, _, err := open(t, vault.Options{
		Address: server.Address, CAPool: server.CAPool,
		Cert: &vault.Cert{Certificate: other},
	}).Get(t.Context(), path, "")
	wantErr(t, "another certificate", err, secret.ErrDenied, "auth/cert/certs")

	_, _, err = open(t, vault.Options{Address: server.Address, Token: fixed(server.RootToken)}).Get(t.Context(), path,
		"")
	wantErr(t, "an authority that nobody trusts", err, secret.ErrUnavailable, "ca_file")
	plain := "http" + strings.TrimPrefix(server.Address, "https")
	for name, o := range map[string]vault.Options{
		"with a token": {Address: plain, Token: fixed(server.RootToken)},
		"with a login": {Address: plain, AppRole: &vault.AppRole{RoleID: "r"}},
	} {
		_, _, err = open(t, o).Get(t.Context(), path, "")
		wantErr(t, "HTTP "+name, err, secret.ErrUnavailable, "http")
	}
	_, _, err = open(t, vault.Options{
		Address: "https" + strings.TrimPrefix(shared.Server(t).Address, "http"),
		Token:   fixed("t"),
	}).Get(t.Context(), path, "")
	wantErr(t, "HTTPS to HTTP", err, secret.ErrUnavailable, "http://")
}

func TestDenied(t *testing.T) {
	server := shared.Server(t)
	path := scene(t, server, "denied")
	server.Policy(t, "lister", `path "denied/metadata/*" { capabilities = ["list"] }
		path "denied/data/sometimes" { capabilities = ["update"] }`)
	limited := open(t,
		vault.Options{
			Address: server.Address,
			Token:   fixed(server.Token(t, map[string]any{"policies": []string{"denied", "lister"}})),
		})
	wantValue(t, limited, path)
	value := secret.NewValue([]byte("x"))
	for _, c := range []struct {
		doing string
		err   error
		hint  string
	}{
		{"Get", second(limited.Get(t.Context(), "denied/no", "")), `the token has deny there; add to one of its policies: path "denied/data/no" { capabilities = ["read"] }`},
		{"Put", first(limited.Put(t.Context(), path, value)), `the token has read there; add to one of its policies: path "denied/data/s" { capabilities = ["create", "update"] }`},
		{"History", first(limited.History(t.Context(), path)), `path "denied/metadata/s" { capabilities = ["read"] }`},
		{"Delete", limited.Delete(t.Context(), path), `path "denied/metadata/s" { capabilities = ["read"] }`},
		{"List", first(limited.List(t.Context(), "denied/")), `path "denied/metadata/s" { capabilities = ["read"] }`},
		{"List of all", first(limited.List(t.Context(), "no-such/")), "`sallyport secret list PREFIX`"},
		{"the HTTP API's path", second(limited.Get(t.Context(), "denied/data/no", "")), `leave out "data/": "denied/no" is the path`},
		{"a mount that is not his", second(limited.Get(t.Context(), "sys-x/no", "")), `"sys-x/data/no"`},
	} {
		wantErr(t, c.doing, c.err, secret.ErrDenied, c.hint)
	}
	// A token that may not even ask what it may.
	bare := open(t,
		vault.Options{
			Address: server.Address,
			Token:   fixed(server.Token(t, map[string]any{"policies": []string{"lister"}, "no_default_policy": true})),
		})
	wantErr(t, "without the default policy", second(bare.Get(t.Context(), path, "")), secret.ErrDenied,
		`path "denied/data/s" { capabilities = ["read"] }`)
	server.Policy(t, "denied-bare", `path "denied/data/s" { capabilities = ["read"] }`)
	half := open(t,
		vault.Options{
			Address: server.Address,
			Token: fixed(server.Token(t, map[string]any{
				"policies":          []string{"denied-bare"},
				"no_default_policy": true,
			})),
		})
	for i, r := range half.GetBatch(t.Context(), []secret.Key{
		{Path: "denied/no"},
		{Path: path},
		{Path: "denied/no2"},
		{Path: path, Version: "1"},
	}) {
		if (r.Err == nil) != (i%2 == 1) {
			t.Errorf("secret %d of a batch in which some are denied: %v", i, r.Err)
		}
	}
	wantErr(t, "no token of vault's",
		second(open(t, vault.Options{Address: server.Address, Token: fixed(canary)}).Get(t.Context(), path, "")),
		secret.ErrDenied, "token_file")
}

// TestDocumentedPolicy pastes the policies of docs/stores/vault.md and does what they are said to suffice for.
func TestDocumentedPolicy(t *testing.T) {
	server := shared.Server(t)
	page, err := os.ReadFile("../../../docs/stores/vault.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```hcl\n")
	block, _, _ = strings.Cut(block, "```")
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(block, `"secret/`, `"pasted/`)), "\n")
	if len(lines) != 4 {
		t.Fatalf("the page has %d lines of policy, want 4", len(lines))
	}
	kv(t, server, "pasted", "2")
	mustPut(t, asRoot(t, server), "pasted/n8n/s", "value")
	as := func(name string, rules ...string) *vault.Store {
		server.Policy(t, name, strings.Join(rules, "\n"))
		return open(t,
			vault.Options{
				Address: server.Address,
				Token:   fixed(server.Token(t, map[string]any{"policies": []string{name}})),
			})
	}
	reader := as("pasted-reader", lines[0])
	mustGet(t, reader, "pasted/n8n/s", "")
	mustGet(t, reader, "pasted/n8n/s", "1")
	wantErr(t, "writing with the reader's",
		first(reader.Put(t.Context(), "pasted/n8n/s", secret.NewValue([]byte("x")))), secret.ErrDenied, "")

	writer := as("pasted-writer", lines[1:]...)
	mustPut(t, writer, "pasted/n8n/s", "two")
	mustPut(t, writer, "pasted/n8n/new", "one")
	for doing, err := range map[string]error{
		"PutIf":    first(writer.PutIf(t.Context(), "pasted/n8n/s", secret.NewValue([]byte("three")), "2")),
		"Rollback": first(writer.Rollback(t.Context(), "pasted/n8n/s", "1")),
		"List":     first(writer.List(t.Context(), "pasted/n8n/")),
		"History":  first(writer.History(t.Context(), "pasted/n8n/new")),
		"Delete":   writer.Delete(t.Context(), "pasted/n8n/new"),
	} {
		if err != nil {
			t.Errorf("%s: %v (hint: %s)", doing, err, fault.HintOf(err))
		}
	}
}

func first[T any](_ T, err error) error { return err }

func second[T, U any](_ T, _ U, err error) error { return err }
