package gcpsm_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/secret"
	"sallyport/internal/secret/gcpsm"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/gcpfake"
)

// TestBounds: of a server that speaks HTTP, and not gRPC.
func TestBounds(t *testing.T) {
	storetest.Bounds(t, httptest.NewTLSServer,
		func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
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
	storetest.IdentityBounds(t, httptest.NewServer,
		func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
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
			o := gcpsm.Options{
				Project: gcpfake.Project, Endpoint: fake.Address, CAPool: fake.Pool,
				RetryDelay: time.Millisecond, Timeout: limit,
			}
			store := open(t, o)
			return func(ctx context.Context) error { _, _, err := store.Get(ctx, "a", ""); return err }
		})
}

// TestSlowStream: of a server that speaks gRPC and does not come to the end of its answer, or says that it has more
// than anybody reads.
func TestSlowStream(t *testing.T) {
	for name, answer := range map[string]struct {
		prefix, drip string // of the answer, and again and again
	}{
		"nothing behind the header": {},
		"a message that never ends": {"\x00\x00\x10\x00\x00", "x"},
		"a prefix that never ends":  {"\x00", ""},
		"empty messages":            {"", "\x00\x00\x00\x00\x00"},
		"more than anybody reads":   {"\x00\x7f\xff\xff\xff", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				_, _ = io.WriteString(w, answer.prefix)
				tick := time.NewTicker(5 * time.Millisecond)
				defer tick.Stop()
				for {
					if http.NewResponseController(w).Flush() != nil {
						return
					}
					select {
					case <-r.Context().Done():
						return
					case <-tick.C:
					}
					if _, err := io.WriteString(w, answer.drip); err != nil {
						return
					}
				}
			}))
			server.EnableHTTP2 = true
			server.StartTLS()
			t.Cleanup(server.Close)
			pool := x509.NewCertPool()
			pool.AddCert(server.Certificate())
			o := options(gcpfake.New(t))
			o.Endpoint, o.CAPool, o.Timeout = server.URL, pool, 300*time.Millisecond
			store := open(t, o)
			_, _, err := store.Get(t.Context(), "a", "")
			wantErr(t, err, secret.ErrUnavailable, "")
		})
	}
}
