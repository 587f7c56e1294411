package app

import (
	"context"
	"fmt"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
)

// CheckServices builds every service of c and throws it away: what config alone cannot know.
func CheckServices(c *config.Config) error {
	_, err := assemble.Table(c, service.NewTable(nil), nil)
	return err
}

// Service builds one service with its current credentials, outside any gate. A token that has to be minted is, and is
// kept.
func (s *State) Service(ctx context.Context, name string) (*service.Service, *credential.Material, error) {
	svc, of, err := s.outside(ctx, s.Config, name)
	if err != nil {
		return nil, nil, err
	}
	r, err := s.assembler.Assemble(ctx, svc, of)
	if err != nil {
		return svc, nil, err
	}
	m, f := r.Material(ctx)
	if f != nil {
		return svc, nil, f
	}
	return svc, m, nil
}

// outside builds one service outside any gate, and reads what its credentials are made of.
func (s *State) outside(ctx context.Context, c *config.Config, name string) (*service.Service,
	*assemble.Secrets, error,
) {
	one := c.Services[name]
	svc, err := service.New(name, one)
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.stores.resolver.Load(ctx, one.Refs()); err != nil {
		return nil, nil, fmt.Errorf("reading the secrets of service %q: %w", name, err)
	}
	of, err := assemble.Resolve(one, s.stores.resolver.Held)
	return svc, of, err
}
