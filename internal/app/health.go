package app

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/config/notation"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/rotation/proxytoken"
)

// parts is what must work for the gate to serve. A single service without its credential does not make the gate
// unready: the others go on, and a load balancer that took this replica out would gain nothing. Nothing is asked for it
// that could keep the answer waiting: a probe that times out is a 503.
func (a *App) parts() []monitor.Part {
	parts := []monitor.Part{
		a.databasePart(),
		part("audit", a.audit.Health(), "free the disk or restore the log file, see docs/audit.md"),
		a.storePart(),
		part("draining", a.drainingError(), "this Sallyport is stopping"),
	}
	parts = append(append(parts, a.auditParts()...), a.sinkParts()...)
	parts = append(append(parts, a.storeParts()...), a.derivedParts()...)
	return append(parts, a.ledgerParts()...)
}

// databasePart is about the database that replicas share. All of them serve from memory when it is away: it is degraded
// until revocations could have been missed for longer than max_stale.
func (a *App) databasePart() monitor.Part {
	p := monitor.Part{Name: "database", Ready: true}
	deaf := a.state.DB.Deaf()
	if deaf != nil {
		p.Why = deaf.Error()
		p.Hint = cmp.Or(fault.HintOf(deaf), "the database cannot be read or written") +
			"; tokens and secrets are served from memory, for at most revocation.max_stale (" +
			notation.FormatDuration(a.o.Config.Revocation.MaxStale) + ")"
	}
	if stale := a.state.Tokens.Stale(); stale != nil {
		p.Ready = false
		p.Why = cmp.Or(p.Why, stale.Message)
		p.Hint = "no token is accepted until the database can be read again, and written"
	}
	return p
}

// storePart is about the builtin store, which stands and falls with this Sallyport's own database and seal key. A token
// that cannot be minted concerns its service alone, and a secret that is in memory is still served.
func (a *App) storePart() monitor.Part {
	builtin := a.state.stores.builtins()
	p := monitor.Part{Name: "store", Ready: true}
	for _, s := range a.pipeline.Services().All() {
		for _, ref := range s.Config.Refs() {
			if !slices.Contains(builtin, ref.Store) {
				continue
			}
			why, err := a.state.stores.held(ref)
			if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == fault.StoreUnavailable {
				return part("store", f, "the store cannot be read; check the seal key and the store")
			}
			if f, ok := errors.AsType[*fault.Fault](why); ok && f.Code == fault.StoreUnavailable {
				p.Why, p.Hint = f.Error(), "the store cannot be read; what was read before stays active"
			}
		}
	}
	return p
}

// storeParts tells of the other stores. One that is down while its secrets are in memory, or that ran out of them,
// takes no traffic away from the services of other stores; one that never answered keeps a new replica from replacing
// an old one that has the secrets.
func (a *App) storeParts() []monitor.Part {
	builtin := a.state.stores.builtins()
	var parts []monitor.Part
	for _, st := range a.state.stores.resolver.Status() {
		if slices.Contains(builtin, st.Store) {
			continue
		}
		p := monitor.Part{Name: "store " + st.Store, Ready: st.Up || !st.Answered.IsZero()}
		if st.Stale+st.Missing > 0 {
			p.Why = fmt.Sprintf("of %d secrets, %d are active from memory without the store's confirmation, and %d "+
				"cannot be obtained", st.Kept, st.Stale, st.Missing)
		}
		if st.Why != nil {
			p.Why = fmt.Sprintf("%s: %v", p.Why, st.Why)
			p.Hint = fault.HintOf(st.Why)
		}
		parts = append(parts, p)
	}
	return parts
}

func (a *App) drainingError() error {
	if a.pipeline.Draining() {
		return fault.New(fault.Draining, "stopping")
	}
	return nil
}

// Collect implements monitor.State.
func (a *App) Collect(emit func(monitor.Gauge)) {
	now := time.Now()
	if list := a.tokens.Load(); list != nil {
		a.collectTokens(emit, *list, now)
	}
	for _, p := range a.parts() {
		emit(monitor.Gauge{Desc: monitor.Degraded, Value: truth(p.Degraded()), Labels: []string{p.Name}})
	}
	emit(monitor.Gauge{Desc: monitor.TokensStale, Value: a.state.Tokens.StaleFor(now).Seconds()})
	for _, s := range a.pipeline.Services().All() {
		emit(monitor.Gauge{
			Desc: monitor.CredentialValid, Value: truth(s.Credential.Usable() && !s.Rejected()),
			Labels: []string{s.Name},
		})
		emit(monitor.Gauge{Desc: monitor.CircuitOpen, Value: truth(s.Circuit.Open()), Labels: []string{s.Name}})
	}
	a.collectDerived(emit, now)
	a.collectLedger(emit)
	a.collectRotations(emit)
	a.collectProbes(emit)
	for _, st := range a.state.stores.resolver.Status() {
		emit(monitor.Gauge{Desc: monitor.StoreUp, Value: truth(st.Up), Labels: []string{st.Store}})
		if !st.Answered.IsZero() {
			emit(monitor.Gauge{
				Desc: monitor.StoreLast, Value: float64(st.Answered.UnixMilli()) / 1000,
				Labels: []string{st.Store},
			})
		}
		emit(monitor.Gauge{Desc: monitor.SecretStale, Value: st.Oldest.Seconds(), Labels: []string{st.Store}})
	}
	stats := a.audit.Stats()
	emit(monitor.Gauge{Desc: monitor.AuditHealthy, Value: truth(a.audit.Health() == nil)})
	emit(monitor.Gauge{Desc: monitor.AuditRecords, Value: float64(stats.Seq)})
	emit(monitor.Gauge{Desc: monitor.AuditSummarised, Value: float64(stats.Summarised)})
	emit(monitor.Gauge{Desc: monitor.AuditPending, Value: float64(stats.Seq - stats.Checkpoint.Seq)})
	a.collectSinks(emit, now)
	a.collectTraces(emit)
	emit(monitor.Gauge{Desc: monitor.ConfigValid, Value: truth(a.invalid.Load() == nil)})
	emit(monitor.Gauge{Desc: monitor.ConfigLoaded, Value: float64(a.loaded.Load())})
}

// collectTokens tells of what is accepted, and of the last generation of a token that has run out: an alert on it must
// not resolve by itself. What ended otherwise makes no series, for there is no end to that.
func (a *App) collectTokens(emit func(monitor.Gauge), list []token.Generation, now time.Time) {
	planned := a.config.Load().Tokens
	for i := range list {
		g := &list[i]
		state := g.State(now)
		accepted := state != token.Expired && state != token.Revoked
		if accepted && !g.LastUsed.IsZero() {
			emit(monitor.Gauge{
				Desc: monitor.TokenLastUsed, Value: float64(g.LastUsed.Unix()),
				Labels: []string{g.Name, fmt.Sprint(g.Number)},
			})
		}
		if state == token.Pending {
			emit(monitor.Gauge{
				Desc: monitor.RotationBegan, Value: float64(g.Created.Unix()), Labels: []string{g.Name},
			})
		}
		if state != token.Current && !RunOut(list, g, planned[g.Name] != nil, now) {
			continue
		}
		emit(monitor.Gauge{Desc: monitor.TokenAge, Value: monitor.Since(g.Created, now), Labels: []string{g.Name}})
		if !g.Expires.IsZero() {
			emit(monitor.Gauge{
				Desc: monitor.TokenExpiry, Value: g.Expires.Sub(now).Seconds(),
				Labels: []string{g.Name},
			})
		}
	}
	for name, c := range planned {
		if c.Rotate == nil {
			continue
		}
		a.metrics.Rotates(name)
		if at := proxytoken.DueAt(list, name, c.Rotate.Every); !at.IsZero() && c.Rotate.Every > 0 {
			emit(monitor.Gauge{Desc: monitor.RotationDue, Value: float64(at.Unix()), Labels: []string{name}})
		}
		if last := token.Last(list, name); last != nil {
			emit(monitor.Gauge{
				Desc: monitor.RotationLast, Value: float64(last.Created.UnixMilli()) / 1000,
				Labels: []string{name},
			})
		}
	}
}

// shownFor is how long a token that ran out is told of where the configuration does not know it.
const shownFor = 7 * 24 * time.Hour

// RunOut tells whether g is the last generation of its name and has run out, with no other active: not revoked, but
// expired. A token that the configuration plans is told of until it is replaced or revoked, another one for a week.
func RunOut(list []token.Generation, g *token.Generation, planned bool, now time.Time) bool {
	last := token.Last(list, g.Name)
	return last != nil && last.ID == g.ID && g.State(now) == token.Expired && (planned || now.Sub(g.Expires) < shownFor)
}
