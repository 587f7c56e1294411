// Package assemble turns configuration and secrets into what goes onto requests: resolve, assemble, publish.
//
// Resolve takes the secrets of a service out of memory. An Assembler makes a credential.Assembly of them, with the
// signers and the sources of derived tokens that its credentials need, and publishes it to the service: the next
// request uses it. It reads no store and decides nothing. Errors say what is wrong with a secret, and quote none.
package assemble

import (
	"context"
	"maps"
	"slices"
	"sync"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
)

// Assembler makes the Assemblies of services, and remembers what it made each of. It is safe for concurrent use.
type Assembler struct {
	pool *pool.Pool // of the tokens that are derived

	mu   sync.Mutex
	made map[*service.Service]*made
}

// made is an Assembly, and the secrets that it was made of.
type made struct {
	of       *Secrets
	assembly *credential.Assembly
}

// New returns an Assembler whose derived tokens come from p.
func New(p *pool.Pool) *Assembler { return &Assembler{pool: p, made: make(map[*service.Service]*made)} }

// Publish activates the credentials of a service as memory has them, and returns why that is not so for all of them.
// The last known good ones stay while the store is what fails, and go when a secret itself is gone, or has not been
// confirmed for too long.
func (a *Assembler) Publish(ctx context.Context, svc *service.Service, held Held) (failure error) {
	of, err := Resolve(svc.Config, held)
	var r *credential.Assembly
	if err == nil {
		r, err = a.Assemble(ctx, svc, of)
	}
	if err != nil {
		a.Forget(svc)
		svc.Credential.Fail(fault.From(err), false)
		return err
	}
	svc.Credential.Set(r)
	if of.unconfirmed != nil {
		svc.Credential.Fail(fault.From(of.unconfirmed), true)
	}
	return of.unconfirmed
}

// PublishAll is Publish for every service of a table; it returns how many failed. One that fails leaves the others
// alone.
func (a *Assembler) PublishAll(ctx context.Context, t *service.Table, held Held) (failed int) {
	for _, svc := range t.All() {
		if a.Publish(ctx, svc, held) != nil {
			failed++
		}
	}
	return failed
}

// Assemble makes the Assembly of a service, or returns the one that it has, if nothing has changed. The error is a
// fault, CredentialMissing unless a part of it says otherwise.
func (a *Assembler) Assemble(ctx context.Context, svc *service.Service, of *Secrets) (*credential.Assembly, error) {
	if before := a.before(svc); before != nil && before.of.same(of) {
		return before.assembly, nil
	}
	if err := equip(svc, of); err != nil {
		return nil, unfit(svc, err)
	}
	parts, err := a.parts(ctx, svc, of)
	if err != nil {
		return nil, unfit(svc, err)
	}
	r, err := credential.NewAssembly(parts)
	if err != nil {
		return nil, unfit(svc, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made[svc] = &made{of, r}
	return r, nil
}

func (a *Assembler) before(svc *service.Service) *made {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.made[svc]
}

// Forget drops what was made for a service, so that it is made again.
func (a *Assembler) Forget(svc *service.Service) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.made, svc)
}

// Keep lets go of what belongs to services that are in none of the tables.
func (a *Assembler) Keep(tables ...*service.Table) {
	gone := func(svc *service.Service) bool {
		return !slices.ContainsFunc(tables, func(t *service.Table) bool { return t.Holds(svc) })
	}
	a.mu.Lock()
	maps.DeleteFunc(a.made, func(svc *service.Service, _ *made) bool { return gone(svc) })
	a.mu.Unlock()
	a.pool.Keep(gone)
}
