package app

import (
	"context"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/service"
	"sallyport/internal/secret/resolve"
)

// nextStores are the stores and secrets of a configuration that is not active yet. The active ones do not notice.
type nextStores struct {
	*resolve.Next

	s     *Stores
	setup *setup
}

// prepare makes the stores and secrets of p ready.
func (s *Stores) prepare(p *setup) *nextStores {
	return &nextStores{Next: s.resolver.Prepare(s.sources(p), references(p.config)), s: s, setup: p}
}

// load reads the secrets, and makes the credentials of those services of t that are not active yet. It ends early with
// ctx.
func (n *nextStores) load(ctx context.Context, a *assemble.Assembler, t, active *service.Table) {
	_ = n.Load(ctx) // each reference's own error is held
	for _, svc := range t.All() {
		if ctx.Err() != nil {
			return
		}
		if !active.Holds(svc) {
			_ = a.Publish(ctx, svc, n.Held) // the service has the failure
		}
	}
}

// use makes them the active ones.
func (n *nextStores) use() {
	n.s.mu.Lock()
	n.s.active = n.setup
	n.s.mu.Unlock()
	n.Use()
}
