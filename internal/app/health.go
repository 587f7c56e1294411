package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
)

// fixed is what a reload cannot change.
func fixed(c *config.Config) string {
	return fmt.Sprint(c.Listen, c.Data, c.Database, c.DatabaseFile, c.Seal, c.TLS, c.Insecure, c.Audit, c.Limits, c.Revocation.MaxStale, c.Drain)
}

// parts is what must work for the gate to serve. A single service without its credential does not make the gate unready: the
// others go on, and a load balancer that took this replica out would gain nothing.
func (a *App) parts(ctx context.Context) []monitor.Part {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	parts := []monitor.Part{
		part("database", a.databaseHealth(ctx), "the database does not answer; until it does, changes by other processes are not heard of"),
		part("audit", a.audit.Health(), "free the disk or restore the log file, see docs/audit.md"),
		part("store", a.storeHealth(), "the store cannot be read; check the seal key and the store"),
		part("draining", a.drainingError(), "this Sallyport is stopping"),
	}
	parts = append(append(parts, a.storeParts()...), a.state.derived.parts()...)
	return append(parts, a.ledgerParts()...)
}

func part(name string, err error, hint string) monitor.Part {
	if err == nil {
		return monitor.Part{Name: name, Ready: true}
	}
	return monitor.Part{Name: name, Why: err.Error(), Hint: hint}
}

func (a *App) databaseHealth(ctx context.Context) error {
	if err := a.state.DB.PingContext(ctx); err != nil {
		return database.Explain(err)
	}
	return a.state.DB.Deaf()
}

// storeHealth is about the builtin store, which stands and falls with this Sallyport's own database and seal key. A token
// that cannot be had is its service's trouble alone.
func (a *App) storeHealth() error {
	builtin := a.state.stores.builtins()
	for _, s := range a.pipeline.Services().All() {
		for _, ref := range s.Config.Refs() {
			if !slices.Contains(builtin, ref.Store) {
				continue
			}
			_, _, why, err := a.state.stores.held(ref)
			if f, ok := errors.AsType[*fault.Fault](cmp.Or(err, why)); ok && f.Code == fault.StoreUnavailable {
				return f
			}
		}
	}
	return nil
}

// storeParts tells of the other stores. One that is down while its secrets are in memory, or that ran out of them, takes no
// traffic away from the services of other stores; one that never answered keeps a new replica from replacing an old one that
// has the secrets.
func (a *App) storeParts() []monitor.Part {
	builtin := a.state.stores.builtins()
	var parts []monitor.Part
	for _, st := range a.state.stores.resolver.Status() {
		if slices.Contains(builtin, st.Store) {
			continue
		}
		p := monitor.Part{Name: "store " + st.Store, Ready: st.Up || !st.Answered.IsZero()}
		if st.Stale+st.Missing > 0 {
			p.Why = fmt.Sprintf("of %d secrets, %d are in force from memory without the store's confirmation, and %d cannot be had", st.Kept, st.Stale, st.Missing)
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
		for _, g := range *list {
			a.collectToken(emit, g, now)
		}
	}
	for _, s := range a.pipeline.Services().All() {
		emit(monitor.Gauge{Desc: monitor.CredentialValid, Value: truth(s.Credential.Trouble() == nil && !s.Rejected()), Labels: []string{s.Name}})
		emit(monitor.Gauge{Desc: monitor.CircuitOpen, Value: truth(s.Circuit.Open()), Labels: []string{s.Name}})
	}
	a.state.derived.collect(emit, now)
	a.collectLedger(emit)
	for _, st := range a.state.stores.resolver.Status() {
		emit(monitor.Gauge{Desc: monitor.StoreUp, Value: truth(st.Up), Labels: []string{st.Store}})
		if !st.Answered.IsZero() {
			emit(monitor.Gauge{Desc: monitor.StoreLast, Value: float64(st.Answered.UnixMilli()) / 1000, Labels: []string{st.Store}})
		}
		emit(monitor.Gauge{Desc: monitor.SecretStale, Value: st.Oldest.Seconds(), Labels: []string{st.Store}})
	}
	stats := a.audit.Stats()
	emit(monitor.Gauge{Desc: monitor.AuditHealthy, Value: truth(a.audit.Health() == nil)})
	emit(monitor.Gauge{Desc: monitor.AuditRecords, Value: float64(stats.Seq)})
	emit(monitor.Gauge{Desc: monitor.AuditSummarised, Value: float64(stats.Summarised), Total: true})
	emit(monitor.Gauge{Desc: monitor.AuditPending, Value: float64(stats.Seq - stats.Checkpoint.Seq)})
	emit(monitor.Gauge{Desc: monitor.ConfigValid, Value: truth(a.invalid.Load() == nil)})
	emit(monitor.Gauge{Desc: monitor.ConfigLoaded, Value: float64(a.loaded.Load())})
}

func (a *App) collectToken(emit func(monitor.Gauge), g token.Generation, now time.Time) {
	state := g.State(now)
	if state == token.Expired || state == token.Revoked {
		return // what has ended makes no series: there is no end to them
	}
	if !g.LastUsed.IsZero() {
		emit(monitor.Gauge{Desc: monitor.TokenLastUsed, Value: float64(g.LastUsed.Unix()), Labels: []string{g.Name, fmt.Sprint(g.Number)}})
	}
	if state != token.Current {
		return
	}
	emit(monitor.Gauge{Desc: monitor.TokenAge, Value: monitor.Since(g.Created, now), Labels: []string{g.Name}})
	if !g.Expires.IsZero() {
		emit(monitor.Gauge{Desc: monitor.TokenExpiry, Value: g.Expires.Sub(now).Seconds(), Labels: []string{g.Name}})
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
