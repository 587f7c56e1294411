package vault

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"sallyport/internal/secret"
)

// get1 reads from KV version 1. The one version that there is has a made-up id.
func (s *Store) get1(ctx context.Context, m mount, key, version string) (secret.Value, secret.Version, error) {
	r, err := s.ask(ctx, request{method: http.MethodGet, path: m.path + key})
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	value, b, err := valueOf(r.Data)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	v := secret.Version{ID: s.fingerprint(b), Current: true}
	if version != "" && version != v.ID {
		return secret.Value{}, secret.Version{}, fmt.Errorf("version %q: %w", version, secret.ErrVersionGone)
	}
	return value, v, nil
}

// put1 replaces the map of a secret.
func (s *Store) put1(ctx context.Context, m mount, key string, data any) (secret.Version, error) {
	if _, err := s.ask(ctx, request{method: http.MethodPost, path: m.path + key, body: data}); err != nil {
		return secret.Version{}, err
	}
	_, v, err := s.get1(ctx, m, key, "")
	if err != nil {
		return secret.Version{}, err
	}
	v.Created = time.Now().UTC()
	return v, nil
}

func (s *Store) delete1(ctx context.Context, m mount, key string) error {
	if _, _, err := s.get1(ctx, m, key, ""); err != nil {
		return err
	}
	_, err := s.ask(ctx, request{method: http.MethodDelete, path: m.path + key})
	return err
}

// history1 has one line at most.
func (s *Store) history1(ctx context.Context, m mount, key string) ([]secret.Version, error) {
	_, v, err := s.get1(ctx, m, key, "")
	if err != nil {
		return nil, err
	}
	return []secret.Version{v}, nil
}
