package kubernetes_test

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/kube"
)

func TestBounds(t *testing.T) {
	storetest.Bounds(t, httptest.NewTLSServer,
		func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			store := at(t, limit, kube.Object{"server": server.URL, "certificate-authority-data": ca})
			return func(ctx context.Context) error { _, _, err := store.Get(ctx, "db", ""); return err }
		})
}
