package credential

import (
	"context"
	"sync/atomic"

	"sallyport/internal/boundary/scrub"
	"sallyport/internal/fault"
)

// Holder keeps the active Assembly; the zero Holder has none.
type Holder struct{ current atomic.Pointer[held] }

type held struct {
	assembly *Assembly
	fault    *fault.Fault
}

// Set activates r: the next request uses it.
func (h *Holder) Set(r *Assembly) { h.current.Store(&held{assembly: r}) }

// Fail says why there is no Assembly. With one active already and keep set, that one stays: the last known good.
func (h *Holder) Fail(f *fault.Fault, keep bool) {
	if old := h.current.Load(); keep && old != nil && old.assembly != nil {
		h.current.Store(&held{assembly: old.assembly, fault: f})
		return
	}
	h.current.Store(&held{fault: f})
}

// Current returns the active Material, or why there is none. It waits only while a token has to be minted first.
func (h *Holder) Current(ctx context.Context) (*Material, *fault.Fault) {
	r, f := h.assembly()
	if f != nil {
		return nil, f
	}
	return r.Material(ctx)
}

// Renew is to be called when the API has said that what used carried has expired. It returns a newer Material: at once
// if there is one, or else the one that all who call so wait for.
func (h *Holder) Renew(ctx context.Context, used *Material) (*Material, *fault.Fault) {
	r, f := h.assembly()
	switch {
	case f != nil:
		return nil, f
	case r == used.assembly:
		return r.newerThan(ctx, used, used)
	}
	// The configuration, or a secret in a store, has changed since.
	m, f := r.Material(ctx)
	switch {
	case f != nil:
		return nil, f
	case m.carries(used): // it has begun with the token on record, which is the one that has expired
		return r.newerThan(ctx, m, used)
	}
	return m.covering(used), nil
}

// newerThan renews m, which is of r. used is what has been sent.
func (r *Assembly) newerThan(ctx context.Context, m, used *Material) (*Material, *fault.Fault) {
	now, f := r.renew(ctx, m)
	switch {
	case f != nil:
		return nil, f
	case now == m:
		return nil, fault.New(fault.CredentialRejected,
			"the API says that the credential is expired, and there is no newer one")
	}
	return now.covering(used), nil
}

func (h *Holder) assembly() (*Assembly, *fault.Fault) {
	c := h.current.Load()
	switch {
	case c == nil:
		return nil, fault.New(fault.CredentialMissing, "the credential has not been loaded yet")
	case c.assembly == nil:
		return nil, c.fault
	}
	return c.assembly, nil
}

// Known returns the forms of what is in memory, whether it is good or not, also where no token has been minted of it
// yet; nil if there is nothing.
func (h *Holder) Known() *scrub.Set {
	c := h.current.Load()
	if c == nil || c.assembly == nil {
		return nil
	}
	if m := c.assembly.last.Load(); m != nil {
		return m.Forms()
	}
	return c.assembly.hidden.forms()
}

// Failure returns the fault of the last failed refresh, also while the last known good is active; nil when all is well.
func (h *Holder) Failure() *fault.Fault {
	c := h.current.Load()
	if c == nil {
		return nil
	}
	if c.fault != nil || c.assembly == nil {
		return c.fault
	}
	for _, d := range c.assembly.derived {
		if s, ok := d.source.(interface{ Failure() *fault.Fault }); ok {
			if f := s.Failure(); f != nil {
				return f
			}
		}
	}
	return nil
}

// Usable tells whether requests get a credential. They do while the last known good is active, or a token whose
// refreshing fails has not expired.
func (h *Holder) Usable() bool {
	c := h.current.Load()
	if c == nil {
		return true // not loaded yet
	}
	if c.assembly == nil {
		return false
	}
	for _, d := range c.assembly.derived {
		s, tells := d.source.(interface{ Failure() *fault.Fault })
		if _, none := d.source.Current(); none != nil && tells && s.Failure() != nil {
			return false
		}
	}
	return true
}

// Version tells what is held from what was held before: it is equal to an earlier one only if the secrets are the same.
func (h *Holder) Version() any {
	c := h.current.Load()
	if c == nil || c.assembly == nil {
		return nil
	}
	if m := c.assembly.last.Load(); m != nil {
		return m
	}
	return c.assembly
}

// Secrets are all secrets that are held, as they are and as they are sent. They are for an index of what must not be
// recorded, are not to be changed, and leave this process nowhere.
func (h *Holder) Secrets() [][]byte {
	c := h.current.Load()
	if c == nil || c.assembly == nil {
		return nil
	}
	if m := c.assembly.last.Load(); m != nil {
		return m.hidden.secrets
	}
	return c.assembly.secrets
}
