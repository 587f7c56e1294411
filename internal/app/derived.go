package app

import (
	"errors"
	"maps"
	"slices"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
)

// collectDerived tells how the derived tokens are.
func (a *App) collectDerived(emit func(monitor.Gauge), now time.Time) {
	for name, one := range a.state.pool.Active() {
		emit(monitor.Gauge{Desc: monitor.DerivedHealthy, Value: truth(one.Failure() == nil), Labels: []string{name}})
		if t, f := one.Current(); f == nil {
			emit(monitor.Gauge{Desc: monitor.DerivedExpiry, Value: t.Expiry.Sub(now).Seconds(), Labels: []string{name}})
		}
	}
}

// derivedParts tells of the derived tokens that cannot be obtained. Each is its service's failure, and leaves the gate
// ready for the others.
func (a *App) derivedParts() []monitor.Part {
	var parts []monitor.Part
	list := a.state.pool.Active()
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if f := list[name].Failure(); f != nil {
			parts = append(parts, monitor.Part{
				Name: "token of " + name, Ready: true,
				Why: string(f.Code) + ": " + f.Message, Hint: f.Hint,
			})
		}
	}
	return parts
}

// minted counts an attempt to have a token, and logs one that failed. Nothing of it quotes a token.
func (a *App) minted(o derive.Observation) {
	a.metrics.Minted(o)
	if t := a.traces.made.Load(); t != nil {
		t.Minted(o)
	}
	if why, ok := errors.AsType[*fault.Panic](failure(o)); ok && why.Tell() {
		a.metrics.Panicked()
		a.log.Error("minting a token ended in a panic: this is a mistake in Sallyport", "service", o.Name,
			"what", why.What, "stack", why.Stack)
	}
	if o.Fault != nil {
		a.log.Warn("a token could not be obtained", "service", o.Name, "code", o.Fault.Code, "why", o.Fault.Message,
			"hint", o.Fault.Hint)
		return
	}
	a.log.Info("a token was obtained", "service", o.Name, "took", o.Took)
}

// failure is o.Fault as an error, which is nil when there is none.
func failure(o derive.Observation) error {
	if o.Fault == nil {
		return nil
	}
	return o.Fault
}

// noted logs that a store stopped answering, or answers again.
func (a *App) noted(store string, err error) {
	if err != nil {
		a.log.Warn("a secret store does not answer; what is in memory stays active up to its max_stale", "store", store,
			"error", err, "hint", fault.HintOf(err))
		return
	}
	a.log.Info("a secret store answers again", "store", store)
}
