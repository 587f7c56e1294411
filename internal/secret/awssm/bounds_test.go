package awssm_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/awsfake"
)

func TestBounds(t *testing.T) {
	storetest.Bounds(t, httptest.NewServer,
		func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
			o := options(awsfake.New(t))
			o.Endpoint, o.Timeout = server.URL, limit
			store := open(t, o)
			return func(ctx context.Context) error { _, _, err := store.Get(ctx, "a", ""); return err }
		})
}
