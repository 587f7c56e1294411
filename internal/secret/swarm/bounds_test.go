package swarm_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/internal/secret/storetest"
	"sallyport/internal/secret/swarm"
)

func TestBounds(t *testing.T) {
	storetest.Bounds(t, httptest.NewServer,
		func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
			m, err := swarm.NewManager(swarm.Options{Dir: t.TempDir(), Host: server.URL, Timeout: limit})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			return func(ctx context.Context) error { _, err := m.List(ctx, ""); return err }
		})
}
