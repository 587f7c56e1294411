package app

import (
	"context"
	"errors"
	"math"
	"sync"

	"sallyport/internal/config"
	"sallyport/internal/secret"
)

// OwnStores are Stores for who has no State: the database and the seal key are touched for a builtin reference alone.
type OwnStores struct {
	*Stores

	config *config.Config
	mu     sync.Mutex
	state  *State // nil: not opened yet
}

// OpenStores returns the stores of c. It contacts nobody. How long a store is waited for is up to the caller's context:
// a command for each of many secrets takes its time.
func OpenStores(_ context.Context, c *config.Config) (*OwnStores, error) {
	return openStores(c, nil), nil
}

func openStores(c *config.Config, adapter func(*config.Store) (secret.Store, error)) *OwnStores {
	s := &OwnStores{config: c}
	s.Stores = newStores(c, storesOptions{own: s.own, patience: math.MaxInt64, adapter: adapter})
	return s
}

func (s *OwnStores) own(ctx context.Context) (secret.Store, error) {
	state, err := s.State(ctx)
	if err != nil {
		return nil, err
	}
	return state.Builtin, nil
}

// State is the state beneath the builtin store, for what has to be on record before that store is read.
func (s *OwnStores) State(ctx context.Context) (*State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		state, err := Open(ctx, s.config)
		if err != nil {
			return nil, err
		}
		s.state = state
	}
	return s.state, nil
}

// Close closes every store, and the database if it was opened.
func (s *OwnStores) Close() error {
	err := s.Stores.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil {
		err = errors.Join(err, s.state.Close())
		s.state = nil
	}
	return err
}
