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
	storetest.Bounds(t, httptest.NewTLSServer, func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
		pool := x509.NewCertPool()
		pool.AddCert(server.Certificate())
		store := open(t, azurekv.Options{VaultURL: server.URL, CAPool: pool, Credential: azurefake.New(t), RetryDelay: time.Millisecond, Timeout: limit})
		return func(ctx context.Context) error { _, _, err := store.Get(ctx, "a", ""); return err }
	})
}
