package gcpsm_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/secret/gcpsm"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/gcpfake"
)

// TestBounds: of a server that speaks HTTP, and not gRPC.
func TestBounds(t *testing.T) {
	storetest.Bounds(t, httptest.NewTLSServer, func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
		pool := x509.NewCertPool()
		pool.AddCert(server.Certificate())
		o := options(gcpfake.New(t))
		o.Endpoint, o.CAPool, o.Timeout = server.URL, pool, limit
		store := open(t, o)
		return func(ctx context.Context) error { _, _, err := store.Get(ctx, "a", ""); return err }
	})
}

// TestIdentityBounds: of the token endpoint that a service account's key names.
func TestIdentityBounds(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	fake := gcpfake.New(t)
	storetest.IdentityBounds(t, httptest.NewServer, func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
		account, err := json.Marshal(map[string]string{
			"type": "service_account", "project_id": "p", "private_key_id": "k", "client_email": "sallyport@p.iam.gserviceaccount.com",
			"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": server.URL,
		})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "account.json")
		if err := os.WriteFile(path, account, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
		o := gcpsm.Options{Project: gcpfake.Project, Endpoint: fake.Address, CAPool: fake.Pool, RetryDelay: time.Millisecond, Timeout: limit}
		store := open(t, o)
		return func(ctx context.Context) error { _, _, err := store.Get(ctx, "a", ""); return err }
	})
}
