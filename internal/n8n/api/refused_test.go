package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"sallyport/internal/n8n/api"
	"sallyport/internal/secret"
)

// TestRefused: after a refusal n8n has the old value for certain; after any other failure nobody knows.
func TestRefused(t *testing.T) {
	for status, want := range map[int]bool{
		400: true, 401: true, 403: true, 404: true, 405: true,
		302: false, 408: false, 409: false, 429: false, 500: false, 502: false, 504: false,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			n8n := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
			defer n8n.Close()
			client, err := api.New(api.Config{URL: n8n.URL, APIKey: secret.NewValue([]byte("n8n_api_key")), Credential: "0123456789abcdef"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Push(t.Context(), secret.NewValue([]byte("new value")), "gate")
			var refusal interface{ Refused() bool }
			if got := errors.As(err, &refusal) && refusal.Refused(); err == nil || got != want {
				t.Errorf("%v: refused is %t, want %t", err, got, want)
			}
		})
	}
}

// TestNoAnswerIsNoRefusal: the connection breaks in the middle of the answer.
func TestNoAnswerIsNoRefusal(t *testing.T) {
	n8n := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer n8n.Close()
	client, err := api.New(api.Config{URL: n8n.URL, APIKey: secret.NewValue([]byte("n8n_api_key")), Credential: "0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Push(t.Context(), secret.NewValue([]byte("new value")), "gate")
	var refusal interface{ Refused() bool }
	if err == nil || errors.As(err, &refusal) && refusal.Refused() {
		t.Errorf("got %v, want an error that is no refusal", err)
	}
}
