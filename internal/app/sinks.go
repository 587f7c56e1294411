package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/audit/sink"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/secret"
)

// cursorsFolder is where the cursors of audit sinks lie, in the data directory.
const cursorsFolder = "audit-sinks"

// SinkStatus is where an audit sink stands.
type SinkStatus struct {
	sink.Status

	Kind string `json:"kind"`
	Ship string `json:"ship"`
}

// startSinks has the sinks of the active configuration work until background ends.
func (a *App) startSinks(background context.Context) {
	a.sinks.mu.Lock()
	a.sinks.begin = func(name string, s *shipping) {
		ctx, stop := context.WithCancel(background)
		s.stop, s.ended = stop, make(chan struct{})
		a.running.Go("audit sink "+name, func() {
			defer close(s.ended)
			defer stop()
			defer s.shipper.Close() //nolint:errcheck // connections, to which nothing more is written
			if s.before != nil {
				<-s.before // one cursor, one that moves it
			}
			a.background(ctx, "audit sink "+name, s.shipper.Run)
		})
	}
	a.sinks.mu.Unlock()
	a.useSinks(a.config.Load())
}

// useSinks has the sinks of c work, and no others. One that is as it was goes on.
func (a *App) useSinks(c *config.Config) {
	s := &a.sinks
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begin == nil {
		return
	}
	before := s.working
	s.working = make(map[string]*shipping, len(c.Audit.Sinks))
	for name, one := range c.Audit.Sinks {
		old := before[name]
		if old != nil && reflect.DeepEqual(old.config, one) {
			s.working[name] = old
			continue
		}
		next := &shipping{config: one, shipper: a.newShipper(name, one)}
		if s.last == nil {
			s.last = make(map[string]*shipping)
		}
		if last := s.last[name]; last != nil { // also one that was taken out in between
			next.before = last.ended
		}
		s.last[name], s.working[name] = next, next
		s.begin(name, next)
	}
	for name, old := range before {
		if s.working[name] != old {
			old.stop()
		}
	}
}

func (a *App) newShipper(name string, c *config.AuditSink) *sink.Shipper {
	host, _ := os.Hostname()
	o := sink.Options{
		Name: name, Cursor: name + "." + c.Ship, Cursors: &sink.Cursors{
			Path: filepath.Join(a.o.Config.Data, cursorsFolder),
		},
		Sink: &opening{open: func(ctx context.Context) (sink.Sink, error) {
			return c.Settings.Open(ctx, sink.Host{
				Hostname: host, Version: a.o.Version, Now: time.Now,
				Secret: func(ctx context.Context, ref secret.Ref) (secret.Value, error) {
					value, _, err := a.state.Resolve(ctx, ref)
					return value, err
				},
			})
		}},
		Source: sink.Records(a.audit, a.o.Config.Audit.File), Format: sink.AsItem,
		Batch: c.Batch, Timeout: c.Timeout, FromNewest: c.From == config.FromNewest, Log: a.log,
		Gap: func(ctx context.Context, gap sink.Gap) error {
			return a.audit.Admin(ctx, &audit.Event{
				Actor: "gate", Action: "audit.sink.gap", Subject: name, Detail: gap.String(),
			})
		},
	}
	switch {
	case c.Ship == config.ShipCheckpoints:
		o.Source = sink.Checkpoints(a.audit, a.o.Config.Audit.CheckpointFile)
		o.Format = sink.AsCheckpoint
	case c.Format == sink.FormatOCSF:
		o.Format = sink.AsOCSF(a.o.Version)
	}
	return sink.New(o)
}

// sinkStatus is where all sinks stand, by name.
func (a *App) sinkStatus() []SinkStatus {
	a.sinks.mu.Lock()
	defer a.sinks.mu.Unlock()
	list := []SinkStatus{}
	for _, s := range a.sinks.working {
		list = append(list, SinkStatus{Status: s.shipper.Status(), Kind: s.config.Kind, Ship: s.config.Ship})
	}
	slices.SortFunc(list, func(x, y SinkStatus) int { return cmp.Compare(x.Sink, y.Sink) })
	return list
}

// sinkParts tell of sinks that take nothing. The gate serves all the same.
func (a *App) sinkParts() []monitor.Part {
	var parts []monitor.Part
	for _, s := range a.sinkStatus() {
		if s.Why != "" {
			parts = append(parts, monitor.Part{
				Name: "audit sink " + s.Sink, Ready: true, Why: s.Why,
				Hint: cmp.Or(s.Hint, "`sallyport audit sinks` says where it stands; the file has all of it"),
			})
		}
	}
	return parts
}

func (a *App) collectSinks(emit func(monitor.Gauge), now time.Time) {
	for _, s := range a.sinkStatus() {
		for desc, value := range map[*monitor.Metric]float64{
			monitor.SinkBehind: float64(s.Behind), monitor.SinkLag: s.Lag(now).Seconds(),
			monitor.SinkShipped: float64(s.Shipped), monitor.SinkFailures: float64(s.Failures),
			monitor.SinkSkipped: float64(s.Skipped),
		} {
			emit(monitor.Gauge{Desc: desc, Value: value, Labels: []string{s.Sink}})
		}
	}
}

// AuditSinks asks the gate that runs on the data directory of c where its audit sinks stand.
func AuditSinks(ctx context.Context, c *config.Config) ([]SinkStatus, error) {
	answer, err := control{c.Data}.call(ctx, http.MethodGet, "/audit/sinks", nil)
	if errors.Is(err, errNoGate) {
		return nil, fault.WithHint(errors.New("asking for audit sinks: no gate runs on this data directory"),
			"sinks are served by `sallyport serve`; what was recorded meanwhile is shipped when it is back")
	}
	if err != nil {
		return nil, err
	}
	var list []SinkStatus
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, fmt.Errorf("reading the running gate's answer: %w", err)
	}
	return list, nil
}
