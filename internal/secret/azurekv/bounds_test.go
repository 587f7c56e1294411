package azurekv_test

import (
	"context"
	"crypto/x509"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/internal/secret/azurekv"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/azurefake"
)

func TestBounds(t *testing.T) {
	storetest.Bounds(t, httptest.NewTLSServer,
		func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
			pool := x509.NewCertPool()
			pool.AddCert(server.Certificate())
			store := open(t, azurekv.Options{
				VaultURL: server.URL, CAPool: pool, Credential: azurefake.New(t),
				RetryDelay: time.Millisecond, Timeout: limit,
			})
			return func(ctx context.Context) error { _, _, err := store.Get(ctx, "a", ""); return err }
		})
}

// TestIdentityBounds: the same of the endpoint that managed identities are asked at, in both chains.
func TestIdentityBounds(t *testing.T) {
	vault := azurefake.New(t)
	for _, client := range []string{"", "9b1c0000-0000-4000-8000-000000000000"} {
		storetest.IdentityBounds(t, httptest.NewServer,
			func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
				t.Setenv("IDENTITY_ENDPOINT", server.URL)
				t.Setenv("IDENTITY_HEADER", "handle")
				o := options(vault)
				o.Credential, o.ClientID, o.Timeout = nil, client, limit
				store := open(t, o)
				return func(ctx context.Context) error { _, _, err := store.Get(ctx, "a", ""); return err }
			})
	}
}
