package monitor

import (
	"encoding/json"
	"net/http"
)

// Part is one thing that must work for the gate to serve.
type Part struct {
	Name  string `json:"part"`
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Readiness answers /readyz: 200 when every part is ready, else 503; the body tells which is not.
func Readiness(parts func(r *http.Request) []Part) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list, status := parts(r), http.StatusOK
		for _, p := range list {
			if !p.Ready {
				status = http.StatusServiceUnavailable
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": status == http.StatusOK, "parts": list})
	})
}

// Alive answers /healthz: the process runs and its listener works.
func Alive() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("alive\n"))
	})
}
