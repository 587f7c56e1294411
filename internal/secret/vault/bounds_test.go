package vault_test

import (
	"context"
	"crypto/x509"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/internal/secret/storetest"
	"sallyport/internal/secret/vault"
)

func TestBounds(t *testing.T) {
	storetest.Bounds(t, httptest.NewTLSServer,
		func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
			pool := x509.NewCertPool()
			pool.AddCert(server.Certificate())
			store := open(t, vault.Options{Address: server.URL, CAPool: pool, Token: fixed(canary), Timeout: limit})
			return func(ctx context.Context) error { _, _, err := store.Get(ctx, "secret/s", ""); return err }
		})
}
