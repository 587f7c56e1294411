package app

import (
	"context"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

// WithAdapter has o open other stores than the real ones.
func (o Options) WithAdapter(open func(*config.Store) (secret.Store, error)) Options {
	o.adapter = open
	return o
}

// WithAdapter has s open other stores than the real ones.
func (s *Stores) WithAdapter(open func(*config.Store) (secret.Store, error)) *Stores {
	s.adapter = open
	return s
}

// CloseDatabase takes the database away from a running gate.
func (a *App) CloseDatabase() error { return a.state.Close() }

// RotateDue is one look at the schedule.
func (a *App) RotateDue(ctx context.Context) { a.rotateDue(ctx, make(map[string]*backoff)) }

// NewBackoff returns backoff.try.
func NewBackoff() func(now time.Time, do func() error) { return new(backoff).try }

// SocketPath is where the control socket of a data directory is.
func SocketPath(data string) string { return socketPath(data) }

// Vault is where derived tokens are kept.
func (s *State) Vault() derive.Vault { return s.vault() }

// Owner gives the right to mint.
func (s *State) Owner() derive.Owner { return s.owner() }
