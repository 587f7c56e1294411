package app

import (
	"context"
	"fmt"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
)

// fixed is what a reload cannot change.
func fixed(c *config.Config) string {
	return fmt.Sprint(c.Listen, c.Data, c.Database, c.DatabaseFile, c.Seal, c.TLS, c.Insecure, c.Audit, c.Limits, c.Drain)
}

// parts is what must work for the gate to serve. A single service without its credential does not make the gate unready: the
// others go on, and a load balancer that took this replica out would gain nothing.
func (a *App) parts(ctx context.Context) []monitor.Part {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return []monitor.Part{
		part("database", a.databaseHealth(ctx), "the database does not answer; until it does, changes by other processes are not heard of"),
		part("audit", a.audit.Health(), "free the disk or restore the log file, see docs/audit.md"),
		part("store", a.storeHealth(), "the store cannot be read; check the seal key and the store"),
		part("draining", a.drainingError(), "this Sallyport is stopping"),
	}
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

func (a *App) storeHealth() error {
	for _, s := range a.pipeline.Services().All() {
		if f := s.Credential.Trouble(); f != nil && f.Code == fault.StoreUnavailable {
			return f
		}
	}
	return nil
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
	}
	stats := a.audit.Stats()
	emit(monitor.Gauge{Desc: monitor.AuditHealthy, Value: truth(a.audit.Health() == nil)})
	emit(monitor.Gauge{Desc: monitor.AuditRecords, Value: float64(stats.Seq)})
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
