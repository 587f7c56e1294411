package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// Resolve reads what a reference names, and returns "name@version" for the audit log beside it. Its faults are
// CredentialMissing and StoreUnavailable.
func (s *State) Resolve(ctx context.Context, ref secret.Ref) (secret.Value, string, error) {
	results, err := s.stores.resolver.Load(ctx, []secret.Ref{ref})
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("reading %s: %w", ref, err)
	}
	if err := results[0].Err; err != nil {
		return secret.Value{}, "", unusable(ref, err)
	}
	return results[0].Value, labelOf(ref, results[0].Version), nil
}

// unusable is the fault of a reference that cannot be obtained.
func unusable(ref secret.Ref, err error) *fault.Fault {
	hint := fault.HintOf(err)
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrVersionGone):
		if ref.Store == secret.Builtin {
			hint = "set it with `sallyport secret set " + ref.Path + "`"
		}
		return hinted(fault.New(fault.CredentialMissing, fmt.Sprintf("%s: no such secret or version", ref)), hint).Wrap(err)
	case errors.Is(err, resolve.ErrNoStore):
		return fault.New(fault.CredentialMissing, fmt.Sprintf("%s names a store that is not configured", ref)).Wrap(err)
	case errors.Is(err, resolve.ErrField):
		return hinted(fault.New(fault.CredentialMissing, fmt.Sprintf("%s: the value is not a JSON object with this field", ref)), hint).Wrap(err)
	case errors.Is(err, secret.ErrDenied):
		return hinted(fault.New(fault.StoreUnavailable, fmt.Sprintf("%s: the store denies access", ref)), hint).Wrap(err)
	}
	return hinted(fault.New(fault.StoreUnavailable, fmt.Sprintf("%s: the store cannot be read", ref)), hint).Wrap(err)
}

func hinted(f *fault.Fault, hint string) *fault.Fault {
	if hint != "" {
		f.Hint = hint
	}
	return f
}

// labelOf names a version for the audit log.
func labelOf(ref secret.Ref, v secret.Version) string {
	if ref.Store == secret.Builtin {
		return ref.Path + "@" + v.ID
	}
	return ref.Store + "://" + ref.Path + "@" + v.ID
}

// references are all that a configuration has in use.
func references(c *config.Config) []secret.Ref {
	var list []secret.Ref
	for _, s := range c.Services {
		list = append(list, s.Refs()...)
	}
	for _, t := range c.Tokens {
		if t.Rotate != nil && t.Rotate.Push != nil && t.Rotate.Push.N8N != nil {
			list = append(list, t.Rotate.Push.N8N.APIKey)
		}
	}
	return slices.DeleteFunc(list, secret.Ref.IsZero)
}

// heldFunc returns what is in memory: of the active stores, or of those that will be.
type heldFunc func(secret.Ref) (res secret.Result, trouble error)

// setCredential activates the credentials of a service as memory has them. The last known good stay while the store is what
// fails, and go when a secret itself is gone, or has not been confirmed for too long.
func (s *Stores) setCredential(ctx context.Context, svc *service.Service, held heldFunc) (trouble bool) {
	of, err := gather(svc.Config, held)
	var r *credential.Recipe
	if err == nil {
		r, err = s.mix(ctx, svc, of)
	}
	if err != nil {
		s.forget(func(one *service.Service) bool { return one == svc })
		svc.Credential.Fail(fault.From(err), false)
		return true
	}
	svc.Credential.Set(r)
	if of.why != nil {
		svc.Credential.Fail(fault.From(of.why), true)
	}
	return of.why != nil
}

// setCredentials does it for every service of a table. One that can't be obtained leaves the others alone.
func (s *Stores) setCredentials(ctx context.Context, t *service.Table) (troubles int) {
	for _, svc := range t.All() {
		if s.setCredential(ctx, svc, s.resolver.Held) {
			troubles++
		}
	}
	return troubles
}

func (s *Stores) held(ref secret.Ref) (value secret.Value, version string, why, err error) {
	return heldFunc(s.resolver.Held).of(ref)
}

// of is what a reference names, as credentials take it.
func (held heldFunc) of(ref secret.Ref) (value secret.Value, version string, why, err error) {
	res, trouble := held(ref)
	if res.Err != nil {
		return secret.Value{}, "", nil, unusable(ref, res.Err)
	}
	if trouble != nil {
		why = unusable(ref, trouble)
	}
	return res.Value, labelOf(ref, res.Version), why, nil
}

// drop lets go of what belongs to services that are in none of the tables.
func (s *Stores) drop(tables ...*service.Table) {
	gone := func(svc *service.Service) bool {
		return !slices.ContainsFunc(tables, func(t *service.Table) bool { return holds(t, svc) })
	}
	s.forget(gone)
	s.state.derived.keep(gone)
}

// againBuiltin reads the builtin stores' secrets again: another process has changed one.
func (s *Stores) againBuiltin(ctx context.Context) error {
	for _, name := range s.builtins() {
		if err := s.resolver.Again(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// follow activates what changes in the stores, until ctx ends.
func (a *App) follow(ctx context.Context) {
	a.state.stores.resolver.Run(ctx, func(list []resolve.Change) {
		changed := make(map[secret.Ref]bool, len(list))
		for _, c := range list {
			changed[c.Ref] = true
		}
		uses := func(ref secret.Ref) bool {
			ref.Field = ""
			return changed[ref]
		}
		a.reload.Lock()
		defer a.reload.Unlock()
		for _, svc := range a.pipeline.Services().All() {
			if slices.ContainsFunc(svc.Config.Refs(), uses) {
				a.state.stores.setCredential(ctx, svc, a.state.stores.resolver.Held)
			}
		}
		a.state.derived.retire()
	})
}

// noted logs that a store stopped answering, or answers again.
func (a *App) noted(store string, err error) {
	if err != nil {
		a.log.Warn("a secret store does not answer; what is in memory stays active up to its max_stale", "store", store, "error", err, "hint", fault.HintOf(err))
		return
	}
	a.log.Info("a secret store answers again", "store", store)
}
