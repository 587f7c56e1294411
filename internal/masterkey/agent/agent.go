// Package agent answers, over HTTP, for the master key of the n8n beside it: its fingerprint under the caller's nonce.
// It is for nodes in which nobody can run a program from afar.
//
// It serves POST /v1/fingerprint and GET /healthz, and nothing else.
//
// Invariant: who has the token learns fingerprints; who has not learns that something listens. Nobody learns a key.
package agent

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/secret"
)

// MinToken is the shortest token that is taken, in bytes.
const MinToken = 16

const (
	maxQuestion = 1 << 10 // bytes
	// questions with the right token; and as many with a wrong one, so that these do not stop those
	perSecond = 5
	burst     = 20
)

// Options are what an agent answers by.
type Options struct {
	Token secret.Value // what callers send as Bearer
	// Inspect says what there is to say of the key under a nonce.
	Inspect func(ctx context.Context, nonce string) masterkey.Local
}

// Handler is the agent.
func Handler(o Options) http.Handler {
	answered, refused := rate.NewLimiter(perSecond, burst), rate.NewLimiter(perSecond, burst)
	want := sha256.Sum256(o.Token.Reveal())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("POST "+nodes.FingerprintPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(token)) // of one length, whatever was sent
		right := subtle.ConstantTimeCompare(got[:], want[:]) == 1 && isBearer && !o.Token.IsZero()
		switch {
		case right && !answered.Allow(), !right && !refused.Allow():
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case !right:
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
		default:
			answer(w, r, o)
		}
	})
	return mux
}

func answer(w http.ResponseWriter, r *http.Request, o Options) {
	var question struct{ Nonce string }
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(&question)
	if err != nil || nodes.CheckNonce(question.Nonce) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(o.Inspect(r.Context(), question.Nonce)) // the caller has gone, else
}

// Server is the agent as a server with bounds on everything.
func Server(o Options) *http.Server {
	return &http.Server{
		Handler: Handler(o), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second,
		IdleTimeout:  30 * time.Second, MaxHeaderBytes: 8 << 10,
	}
}
