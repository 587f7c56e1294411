package monitor

import (
	"encoding/json"
	"net/http"
)

// Part is one thing that the gate works with. One that is not ready takes the gate out of service. One that is Ready
// with a Why is degraded: the gate serves without it, from memory, and to take this replica away would help nobody.
type Part struct {
	Name  string `json:"part"`
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Degraded tells whether the gate serves without the part.
func (p Part) Degraded() bool { return p.Ready && p.Why != "" }

// Readiness answers /readyz: 200 when every part is ready, else 503; the body tells which is not, and which are
// degraded.
func Readiness(parts func(r *http.Request) []Part) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list, status := parts(r), http.StatusOK
		degraded := []string{}
		for _, p := range list {
			if !p.Ready {
				status = http.StatusServiceUnavailable
			}
			if p.Degraded() {
				degraded = append(degraded, p.Name)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"ready":    status == http.StatusOK,
			"degraded": degraded, "parts": list,
		})
	})
}

// Alive answers /healthz: the process runs and its listener works.
func Alive() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("alive\n"))
	})
}
