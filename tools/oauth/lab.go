package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"
)

// store is fosite's own, and knows which access tokens there are.
type store struct {
	*storage.MemoryStore

	mu     sync.Mutex
	access []string // signatures
}

// CreateAccessTokenSession puts an access token on record.
func (s *store) CreateAccessTokenSession(ctx context.Context, signature string, asked fosite.Requester) error {
	s.mu.Lock()
	s.access = append(s.access, signature)
	s.mu.Unlock()
	return s.MemoryStore.CreateAccessTokenSession(ctx, signature, asked)
}

// expire ends every access token that there is, but no refresh token.
func (s *server) expire(w http.ResponseWriter, r *http.Request) {
	s.store.mu.Lock()
	signatures := slices.Clone(s.store.access)
	s.store.mu.Unlock()
	for _, signature := range signatures {
		if err := s.store.DeleteAccessTokenSession(r.Context(), signature); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// setLifetime is for access tokens from now on.
func (s *server) setLifetime(w http.ResponseWriter, r *http.Request) {
	lifetime, err := time.ParseDuration(r.PathValue("lifetime"))
	if err != nil || lifetime <= 0 {
		http.Error(w, "no such lifetime", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.config.AccessTokenLifespan = lifetime
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) report(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.record) // who asked has gone
}
