package app

import (
	"context"
	"errors"

	"sallyport/internal/boundary/consent"
)

// Connect begins the authorization-code flow for a service, or for its Nth credential: SERVICE/N.
func (s *State) Connect(ctx context.Context, name string, o consent.Options) (*consent.Consent, error) {
	return s.connector().Connect(ctx, name, o)
}

// Disconnect drops the tokens of a service that are on record and in memory. It tells whether there were any.
func (s *State) Disconnect(ctx context.Context, name string) (was bool, err error) {
	return s.connector().Disconnect(ctx, name)
}

func (s *State) connector() *consent.Connector {
	return &consent.Connector{
		Config: s.Config, Vault: s.vault, Owner: s.owner, Secrets: s.outside, Changed: s.Changed,
		Call: func(ctx context.Context, method, path string, body []byte) ([]byte, error) {
			answer, err := s.control().call(ctx, method, path, body)
			if errors.Is(err, errNoGate) {
				return nil, consent.ErrNoGate
			}
			return answer, err
		},
	}
}
