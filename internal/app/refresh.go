package app

import (
	"context"
	"errors"
	"slices"
	"strings"

	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/rotation/poll"
	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// refresh reads again what topic names ("" is everything). When it returns, the next request acts by it.
func (a *App) refresh(ctx context.Context, topic string) error {
	if store, ok := strings.CutPrefix(topic, topicStore); ok {
		return a.refreshStore(ctx, store)
	}
	if name, ok := pool.CutTopic(topic); ok {
		return a.refreshDerived(ctx, name)
	}
	if topic == topicTokens || topic == "" {
		err := a.state.Tokens.Load(ctx)
		a.pipeline.Recheck() // ends the streams and sockets of what is no longer valid
		if err != nil {
			return err
		}
	}
	if (topic == poll.Topic || topic == "") && a.secrets != nil {
		a.secrets.Hear()
	}
	if topic == topicUsage {
		a.flush(ctx)
	}
	if topic == "" {
		for _, name := range a.state.pool.Names() {
			if err := a.refreshDerived(ctx, name); err != nil {
				return err
			}
		}
	}
	if topic == topicSecrets || topic == "" {
		if err := a.state.stores.againBuiltin(ctx); err != nil {
			return err
		}
		a.reload.Lock()
		defer a.reload.Unlock()
		a.state.publish(ctx, a.pipeline.Services())
		a.state.pool.Retire()
	}
	return nil
}

// refreshDerived takes over what is on record of a derived token. If that is nothing any more, what is in memory goes
// too.
func (a *App) refreshDerived(ctx context.Context, name string) error {
	gone, err := a.state.connector().Disconnected(ctx, name)
	if err != nil || !gone {
		return errors.Join(err, a.state.pool.Reload(ctx, name))
	}
	a.reload.Lock()
	defer a.reload.Unlock()
	for _, svc := range a.state.pool.Forget(name) {
		a.state.assembler.Forget(svc)
		if a.pipeline.Services().Holds(svc) { // or else its credential is made when it becomes active
			_ = a.state.assembler.Publish(ctx, svc, a.state.stores.resolver.Held) // the service has the failure
		}
	}
	a.state.pool.Retire()
	return nil
}

// refreshStore reads what is in use of a store again. A slow one holds up nothing else meanwhile.
func (a *App) refreshStore(ctx context.Context, store string) error {
	if err := a.state.stores.resolver.Again(ctx, store); err != nil {
		return err
	}
	a.reload.Lock()
	defer a.reload.Unlock()
	a.state.publish(ctx, a.pipeline.Services())
	a.state.pool.Retire()
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
				_ = a.state.assembler.Publish(ctx, svc, a.state.stores.resolver.Held) // the service has the failure
			}
		}
		a.state.pool.Retire()
	})
}
