package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// builtinStore is the name of the store that is always there.
const builtinStore = "builtin"

// stores are the secret stores of a configuration by name.
type stores map[string]secret.Store

// storesOf builds the stores of a configuration. This is the one place that knows every adapter.
func (s *State) storesOf(c *config.Config) stores {
	m := stores{builtinStore: s.Builtin}
	for name := range c.Stores {
		m[name] = s.Builtin // the only kind that config lets through
	}
	return m
}

// Resolve reads what a reference names. Its faults are CredentialMissing and StoreUnavailable.
func (s *State) Resolve(ctx context.Context, ref secret.Ref) (secret.Value, string, error) {
	return s.storesOf(s.Config).resolve(ctx, ref)
}

// resolve returns the value and "name@version" for the audit log.
func (m stores) resolve(ctx context.Context, ref secret.Ref) (secret.Value, string, error) {
	store, ok := m[ref.Store]
	if !ok {
		return secret.Value{}, "", fault.New(fault.CredentialMissing, fmt.Sprintf("%s names a store that is not configured", ref))
	}
	value, version, err := store.Get(ctx, ref.Path, ref.Version)
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrVersionGone):
		return secret.Value{}, "", fault.New(fault.CredentialMissing, fmt.Sprintf("%s: no such secret or version", ref)).
			WithHint("set it with `sallyport secret set " + ref.Path + "`").Wrap(err)
	case err != nil:
		return secret.Value{}, "", fault.New(fault.StoreUnavailable, fmt.Sprintf("%s: the store cannot be read", ref)).Wrap(err)
	}
	if ref.Field != "" {
		if value, err = secret.Field(value, ref.Field); err != nil {
			return secret.Value{}, "", fault.New(fault.CredentialMissing, fmt.Sprintf("%s: %v", ref, err))
		}
	}
	return value, ref.Path + "@" + version.ID, nil
}

// buildTable builds every service of c, taking over those of old that did not change: their connections, limits and
// credentials live on.
func buildTable(c *config.Config, old *service.Table) (*service.Table, error) {
	var list []*service.Service
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		if before, ok := old.Lookup(name); ok && reflect.DeepEqual(before.Config, *c.Services[name]) && before.Fresh() {
			list = append(list, before)
			continue
		}
		s, err := service.New(name, *c.Services[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, s)
	}
	return service.NewTable(list), errors.Join(errs...)
}

// loadCredentials puts the current credential of every service in force. One that can't be had leaves the others alone: its
// last known good stays when the store is the one that fails, and goes when the secret itself is gone.
func loadCredentials(ctx context.Context, m stores, t *service.Table) (troubles int) {
	for _, s := range t.All() {
		material, err := material(ctx, m, s)
		if err != nil {
			f := fault.From(err)
			s.Credential.Fail(f, f.Code == fault.StoreUnavailable)
			troubles++
			continue
		}
		s.Credential.Set(material)
	}
	return troubles
}

func material(ctx context.Context, m stores, s *service.Service) (*credential.Material, error) {
	c := s.Config.Credential
	if c.Kind == credential.KindNone {
		return credential.Build(s.Spec, secret.Value{})
	}
	value, version, err := m.resolve(ctx, c.Secret)
	if err != nil {
		return nil, err
	}
	spec, versions := s.Spec, []string{version}
	if !c.UsernameSecret.IsZero() {
		user, userVersion, err := m.resolve(ctx, c.UsernameSecret)
		if err != nil {
			return nil, err
		}
		spec.Username, spec.HideUser, versions = string(user.Reveal()), true, append(versions, userVersion)
	}
	built, err := credential.Build(spec, value, versions...)
	if err != nil {
		return nil, fault.New(fault.CredentialMissing, fmt.Sprintf("%s: %v", c.Secret, err))
	}
	return built, nil
}
