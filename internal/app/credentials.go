package app

import (
	"context"
	"fmt"
	"slices"

	"sallyport/internal/boundary/assemble"
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
		return secret.Value{}, "", assemble.Unusable(ref, err)
	}
	return results[0].Value, assemble.Label(ref, results[0].Version), nil
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

// publish gives every service of a table its credentials, and returns how many have a failure.
func (s *State) publish(ctx context.Context, t *service.Table) (failed int) {
	return s.assembler.PublishAll(ctx, t, s.stores.resolver.Held)
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
				_ = a.state.assembler.Publish(ctx, svc, a.state.stores.resolver.Held) // the service has the failure
			}
		}
		a.state.pool.Retire()
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
