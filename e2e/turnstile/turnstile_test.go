package turnstile_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"sallyport/e2e/turnstile"
)

func TestStopsOneRequest(t *testing.T) {
	var served atomic.Int64
	var gate turnstile.Turnstile
	server := httptest.NewServer(gate.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout")
	})))
	defer server.Close()
	ask := func(method, path string) <-chan string {
		answer := make(chan string, 1)
		go func() {
			req, _ := http.NewRequest(method, server.URL+path, nil)
			resp, err := server.Client().Do(req)
			if err != nil {
				answer <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			answer <- resp.Status + " " + string(body)
		}()
		return answer
	}
	const want = "418 I'm a teapot short and stout"
	for _, tt := range []struct {
		when   turnstile.When
		served int64 // while it is stopped
	}{{turnstile.Before, 0}, {turnstile.After, 1}} {
		served.Store(0)
		stop := gate.Stop(http.MethodPost, "/v1/*s", tt.when)
		stopped := ask(http.MethodPost, "/v1/keys")
		<-stop.Reached
		if got := served.Load(); got != tt.served {
			t.Errorf("%v: the handler has served %d requests, want %d", tt.when, got, tt.served)
		}
		for _, path := range []string{"/v1/keys", "/v1/other"} {
			if got := <-ask(http.MethodPost, path); got != want {
				t.Errorf("%v: another request got %q", tt.when, got)
			}
		}
		stop.Release()
		if got := <-stopped; got != want {
			t.Errorf("%v: the stopped request got %q", tt.when, got)
		}
	}
}
