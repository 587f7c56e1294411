package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/api"
	"sallyport/internal/secret"
)

// TestRunning counts what n8n lists, and says of each refusal what to do.
func TestRunning(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body, hint string
		want       int
	}{
		"none":      {200, `{"data":[],"nextCursor":null}`, "", 0},
		"two":       {200, `{"data":[{"id":1,"finished":false},{"id":2}],"nextCursor":null}`, "", 2},
		"refused":   {403, `{"message":"Forbidden"}`, "execution:list", 0},
		"no key":    {401, `{"message":"unauthorized"}`, "execution:list", 0},
		"too old":   {400, `{"message":"request.query.status should be equal to one of the allowed values"}`, "leave `drain` out", 0},
		"off":       {404, `Cannot GET /api/v1/executions`, "N8N_PUBLIC_API_DISABLED", 0},
		"sign-in":   {200, `<html>`, "sign-in", 0},
		"no list":   {200, `{"message":"hello"}`, "sign-in", 0},
		"elsewhere": {302, ``, "redirect", 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() != "/n8n/api/v1/executions?status=running&limit=250" ||
					r.Header.Get("X-N8N-API-KEY") != key {
					t.Errorf("it asked for %s", r.URL)
				}
				w.Header().Set("Location", "http://169.254.169.254/latest")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			e, err := api.NewExecutions(api.Config{URL: server.URL + "/n8n", APIKey: secret.NewValue([]byte(key))})
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Running(t.Context())
			if got != c.want || (err != nil) != (c.hint != "") || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("got %d, %v, hint %q", got, err, fault.HintOf(err))
			}
		})
	}
	if _, err := api.NewExecutions(api.Config{URL: "http://n8n"}); err == nil ||
		!strings.Contains(fault.HintOf(err), "execution:list") {
		t.Errorf("without a key: %v", err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	e, _ := api.NewExecutions(api.Config{URL: server.URL, APIKey: secret.NewValue([]byte(key))})
	if _, err := e.Running(t.Context()); err == nil || errors.Is(err, http.ErrServerClosed) || fault.HintOf(err) == "" {
		t.Errorf("an n8n that is away: %v", err)
	}
}
