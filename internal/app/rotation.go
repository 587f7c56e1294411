package app

import (
	"context"
	"net/url"
	"time"

	"sallyport/internal/rotation"
	"sallyport/internal/rotation/proxytoken"
)

// Rotate rotates a token. Commands come here. An UnconfirmedError beside a result tells that it is done, but that not
// every replica was seen to act by it.
func (s *State) Rotate(ctx context.Context, r proxytoken.Rotation) (rotation.Result, error) {
	return s.rotator().Rotate(ctx, r)
}

// AbortRotation drops the unfinished rotation of a token. An UnconfirmedError tells that it is done all the same.
func (s *State) AbortRotation(ctx context.Context, name string) error {
	return s.rotator().Abort(ctx, name)
}

// Rotations are the rotations on this state, for who looks at them.
func (s *State) Rotations() *rotation.Runner { return s.rotator().Rotations() }

func (s *State) rotator() *proxytoken.Rotator {
	return &proxytoken.Rotator{
		Config: s.Config, Tokens: s.Tokens, Journal: s.rotations(), Resolve: s.Resolve, TLS: s.ownTLS,
		Changed: func(ctx context.Context) error { return s.Changed(ctx, topicTokens) },
		Tell: func(ctx context.Context) error {
			_, err := s.tell(ctx, topicTokens)
			return err
		},
		Gateway: func(ctx context.Context) (*url.URL, error) { return s.control().gateway(ctx) },
	}
}

func (s *State) rotations() *rotation.Journal {
	return &rotation.Journal{DB: s.DB, Sealer: s.sealer, Now: time.Now, Ledger: s.journal}
}
