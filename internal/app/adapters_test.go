package app_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"sallyport/internal/app"
	"sallyport/internal/boundary/ca"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// TestEveryKindOpens: each kind that the configuration takes is a store in this build, set up without contacting
// anybody.
func TestEveryKindOpens(t *testing.T) {
	for _, one := range app.Kinds().Stores {
		kind := one.Name
		if kind == secret.Builtin {
			continue
		}
		c, _, err := config.Load(app.Kinds(), unpacked(t, "../secret/"+kind+"/testdata/config/opens.txtar"))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		stores, err := app.OpenStores(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		store, err := stores.Store(t.Context(), "one")
		if err != nil {
			t.Errorf("%s: %v, hint %q", kind, err, fault.HintOf(err))
		}
		if _, writes := store.(secret.Writer); one.ReadOnly && writes {
			t.Errorf("%s: the kind says ReadOnly, and its store can be written to", kind)
		}
		if err := stores.Close(); err != nil {
			t.Errorf("closing %s: %v", kind, err)
		}
	}
}

// unpacked writes the files of an archive into a folder, and returns the configuration's name.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range archive.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "sallyport.yaml")
}

// TestEachVaultLogin: each way to log in is handed on, and what it reads from files is looked at when the store is
// opened.
func TestEachVaultLogin(t *testing.T) {
	dir := t.TempDir()
	_, certFile, keyFile := issuedBy(t, "client")
	for auth, want := range map[string]string{
		"token_file: token":                        "",
		"token_env: NONE":                          "",
		"kubernetes: {role: r}":                    "",
		"jwt: {role: r, jwt_file: j}":              "",
		"approle: {role_id: r, secret_id_file: s}": "",
		"cert: {cert_file: " + certFile + ", key_file: " + keyFile + "}": "",
		"cert: {cert_file: none, key_file: none}":                        "reading auth.cert",
	} {
		src := `stores: {one: {kind: vault, address: "https://127.0.0.1:1", auth: {` + auth + `}}}`
		c, _, err := config.Parse(app.Kinds(), filepath.Join(dir, "sallyport.yaml"), []byte(src), nil)
		if err != nil {
			t.Fatal(err)
		}
		stores, err := app.OpenStores(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = stores.Store(t.Context(), "one")
		if (err == nil) != (want == "") || !contains(err, want) {
			t.Errorf("%s: %v", auth, err)
		}
		results, _ := stores.Resolve(t.Context(), []secret.Ref{{Store: "one", Path: "secret/x"}})
		if results[0].Err == nil {
			t.Errorf("%s: a value from nowhere", auth)
		}
		if err := stores.Close(); err != nil {
			t.Error(err)
		}
	}
}

func contains(err error, text string) bool {
	return text == "" || err != nil && strings.Contains(err.Error(), text)
}

// issuedBy writes a certificate of a CA made for it.
func issuedBy(t *testing.T, name string) (pool *x509.CertPool, certFile, keyFile string) {
	t.Helper()
	authority := t.TempDir()
	if err := ca.Create(authority); err != nil {
		t.Fatal(err)
	}
	return issued(t, authority, name)
}
