package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sallyport/internal/boundary/inside"
	"sallyport/internal/config"
	"sallyport/internal/monitor"
	"sallyport/internal/monitor/probe"
)

// keyProbe is the purpose of the key that authenticates what probes have shown.
const keyProbe = "probe"

// newProber probes services as the configuration says.
func (a *App) newProber() *probe.Prober {
	return probe.New(probe.Options{
		Config: a.config.Load, DB: a.state.DB, Key: a.probeKey, Replica: a.follower.Self.ID,
		Call: a.callAsProbe, Permits: a.permits, Version: a.credentialVersion,
		Learned: a.learned, Log: a.log, Now: time.Now, Broke: a.broke,
	})
}

// callAsProbe makes a call that is no user's: it is on record, and neither in the metrics of callers nor a use of a
// version of the secret that would keep a rotation waiting.
func (a *App) callAsProbe(ctx context.Context, name string, req *http.Request) (*http.Response, error) {
	caller := inside.Caller{
		Services: a.pipeline.Services(), Audit: a.audit, Log: a.log, Now: time.Now,
		Label: "probe", Workflow: "probe", Node: name, Methods: []string{http.MethodGet, http.MethodHead},
	}
	return caller.Do(ctx, name, req)
}

func (a *App) permits(name, method, path string) bool {
	s, ok := a.pipeline.Services().Lookup(name)
	if !ok {
		return false
	}
	_, allowed := s.Permit(method, path)
	return allowed
}

func (a *App) credentialVersion(name string) any {
	if s, ok := a.pipeline.Services().Lookup(name); ok {
		return s.Credential.Version()
	}
	return nil
}

// learned has this replica's sallyport_credential_valid follow what another one was told by the API.
func (a *App) learned(name string, r *probe.Result) {
	s, ok := a.pipeline.Services().Lookup(name)
	if ok && (r.Verdict == probe.Works || r.Verdict == probe.Refused) {
		s.Answered(r.Status)
	}
}

// collectProbes tells what the last probes have shown, and when credentials expire.
func (a *App) collectProbes(emit func(monitor.Gauge)) {
	expiry := make(map[string]time.Time)
	for _, s := range a.pipeline.Services().All() {
		if at := s.CertificateExpires(); !at.IsZero() {
			expiry[s.Name] = at
		}
	}
	if a.probes != nil {
		a.probes.Results(func(name string, r *probe.Result) {
			if before, ok := expiry[name]; !r.Expires.IsZero() && (!ok || r.Expires.Before(before)) {
				expiry[name] = r.Expires
			}
			a.collectProbe(emit, name, r)
		})
		for verdict, n := range a.probes.Counts() {
			emit(monitor.Gauge{Desc: monitor.ProbesTotal, Value: float64(n), Labels: []string{string(verdict)}})
		}
	}
	for name, at := range expiry {
		emit(monitor.Gauge{Desc: monitor.CredentialExpiry, Value: float64(at.Unix()), Labels: []string{name}})
	}
}

func (*App) collectProbe(emit func(monitor.Gauge), name string, r *probe.Result) {
	labels := []string{name}
	if up, known := r.Up(); known {
		emit(monitor.Gauge{Desc: monitor.UpstreamUp, Value: truth(up), Labels: labels})
	}
	if works, known := r.Told(); known {
		emit(monitor.Gauge{Desc: monitor.ProbeSuccess, Value: truth(works), Labels: labels})
	}
	emit(monitor.Gauge{Desc: monitor.ProbeLast, Value: float64(r.At.UnixMilli()) / 1000, Labels: labels})
}

// Probes asks the gate that runs on the data directory of c how the probes of its services stand. Without a gate there
// is no answer.
func Probes(ctx context.Context, c *config.Config) (map[string]probe.Shown, error) {
	answer, err := control{c.Data}.call(ctx, http.MethodGet, "/probes", nil)
	if errors.Is(err, errNoGate) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m map[string]probe.Shown
	if err := json.Unmarshal(answer, &m); err != nil {
		return nil, fmt.Errorf("reading the running gate's answer: %w", err)
	}
	return m, nil
}
