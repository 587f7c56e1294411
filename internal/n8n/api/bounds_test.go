package api_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/internal/n8n/api"
	"sallyport/internal/secret"
	"sallyport/internal/secret/storetest"
)

// TestBounds: whatever n8n, or what stands in its place, answers, a push ends in time and within bounds, and neither
// the value nor the API key goes to where a redirect leads.
func TestBounds(t *testing.T) {
	for name, credential := range map[string]string{"by id": id, "by name": "Sallyport"} {
		t.Run(name, func(t *testing.T) {
			storetest.ClientBounds(t, httptest.NewServer,
				func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error {
					client, err := api.New(api.Config{
						URL: server.URL, APIKey: secret.NewValue([]byte(key)),
						Credential: credential,
					})
					if err != nil {
						t.Fatal(err)
					}
					return func(ctx context.Context) error {
						ctx, cancel := context.WithTimeout(ctx, limit)
						defer cancel()
						_, err := client.Push(ctx, secret.NewValue([]byte(token)), "gate.internal")
						return err
					}
				})
		})
	}
}
