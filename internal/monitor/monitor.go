// Package monitor turns what the gate does into Prometheus metrics, and what it is into health and readiness.
//
// Names follow Prometheus conventions: base units, _total for counters, no label whose values an outsider can choose.
// It counts and tells; it decides nothing.
package monitor

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// okOutcome is the outcome label of a request that went through.
const okOutcome = "ok"

// Metrics counts requests. It implements boundary.Observer.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	gate     *prometheus.HistogramVec
	upstream *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	scrubbed *prometheus.CounterVec
	inFlight prometheus.Gauge
	minted   *prometheus.CounterVec
	unminted *prometheus.CounterVec
	minting  *prometheus.HistogramVec
	resent   *prometheus.CounterVec
	unsent   *prometheus.CounterVec
	rotation *prometheus.CounterVec
	panics   prometheus.Counter
	server   *prometheus.CounterVec
	closed   *prometheus.CounterVec
	cache    sync.Map // cell → *counters: looking labels up by name costs more than counting
}

type cell struct {
	service string
	code    fault.Code
}

type counters struct {
	requests                    prometheus.Counter
	gate, upstream              prometheus.Observer
	bytesIn, bytesOut, scrubbed prometheus.Counter
}

// State is what gauges are read from when Prometheus asks.
type State interface {
	// Collect calls emit for every value.
	Collect(emit func(Gauge))
}

// Gauge is one value of State.
type Gauge struct {
	Desc   *Metric
	Value  float64
	Labels []string
}

// New returns Metrics on a registry of its own, with Go's and the process's own metrics beside them.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: requestsTotal.counters(), gate: gateDuration.histograms(), upstream: upstreamDuration.histograms(),
		bytes: bodyBytes.counters(), scrubbed: scrubbed.counters(),
		minted: mintedTotal.counters(), unminted: mintFailedTotal.counters(), minting: mintDuration.histograms(),
		resent: resentTotal.counters(), unsent: notResentTotal.counters(), rotation: rotationFailedTotal.counters(),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: panicsTotal.Name, Help: panicsTotal.Help}),
		server: serverErrorsTotal.counters(), closed: connectionsClosedTotal.counters(),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: inFlight.Name, Help: inFlight.Help}),
	}
	m.registry.MustRegister(m.requests, m.gate, m.upstream, m.bytes, m.scrubbed, m.inFlight, m.minted, m.unminted,
		m.minting, m.resent, m.unsent, m.rotation, m.panics, m.server, m.closed,
		constant{prometheus.MustNewConstMetric(buildInfo.desc, prometheus.GaugeValue, 1, version)},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// constant is a collector of one metric that does not change.
type constant struct{ prometheus.Metric }

// Describe implements prometheus.Collector.
func (c constant) Describe(out chan<- *prometheus.Desc) { out <- c.Desc() }

// Collect implements prometheus.Collector.
func (c constant) Collect(out chan<- prometheus.Metric) { out <- c.Metric }

// Watch adds the gauges of s. broke is told of a panic in it; what was collected before is shown.
func (m *Metrics) Watch(s State, broke func(*fault.Panic)) {
	m.registry.MustRegister(stateCollector{s, broke})
}

// Started implements boundary.Observer.
func (m *Metrics) Started(string) { m.inFlight.Inc() }

// Finished implements boundary.Observer.
func (m *Metrics) Finished(o *boundary.Outcome) {
	m.inFlight.Dec()
	c := m.countersOf(cell{o.Service, o.Code})
	c.requests.Inc()
	observe(c.gate, o.Gate.Seconds(), o.Trace)
	if o.Upstream > 0 {
		observe(c.upstream, o.Upstream.Seconds(), o.Trace)
	}
	add(c.bytesIn, o.BytesIn)
	add(c.bytesOut, o.BytesOut)
	add(c.scrubbed, int64(o.Scrubbed))
	if o.Replayed || o.NotResent {
		m.countAgain(o)
	}
}

// observe counts a duration. The trace, where there is one, is the bucket's exemplar (OpenMetrics).
func observe(into prometheus.Observer, seconds float64, trace string) {
	if trace == "" {
		into.Observe(seconds)
		return
	}
	if e, ok := into.(prometheus.ExemplarObserver); ok {
		e.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": trace})
	}
}

// Panicked implements boundary.Observer.
func (m *Metrics) Panicked() { m.panics.Inc() }

// ConnectionClosed counts a connection that a limit closed.
func (m *Metrics) ConnectionClosed(limit string) { m.closed.WithLabelValues(limit).Inc() }

// ServerError counts what net/http's server logs. A panic there, as before the first request of a connection is read,
// counts as one of any other place.
func (m *Metrics) ServerError(listener, kind string) {
	m.server.WithLabelValues(listener, kind).Inc()
	if kind == "panic" {
		m.panics.Inc()
	}
}

// countAgain counts what had to be sent twice, which is rare.
func (m *Metrics) countAgain(o *boundary.Outcome) {
	why := "challenge"
	if o.Renewed {
		why = "expired"
	}
	if o.Replayed {
		m.resent.WithLabelValues(o.Service, why).Inc()
	}
	if o.NotResent {
		m.unsent.WithLabelValues(o.Service).Inc()
	}
}

// RotationFailed counts a rotation by its schedule that failed.
func (m *Metrics) RotationFailed(token string) { m.rotation.WithLabelValues(token).Inc() }

// Rotates has the failures of a token counted from 0, so that the first one is an increase.
func (m *Metrics) Rotates(token string) { m.rotation.WithLabelValues(token) }

// Minted counts an attempt to have a derived token.
func (m *Metrics) Minted(o derive.Observation) {
	m.minting.WithLabelValues(o.Name).Observe(o.Took.Seconds())
	if o.Fault != nil {
		m.unminted.WithLabelValues(o.Name, string(o.Fault.Code)).Inc()
		return
	}
	m.minted.WithLabelValues(o.Name).Inc()
}

func add(c prometheus.Counter, n int64) {
	if n > 0 {
		c.Add(float64(n))
	}
}

func (m *Metrics) countersOf(k cell) *counters {
	if c, ok := m.cache.Load(k); ok {
		return c.(*counters) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	outcome, blame := string(k.code), string(fault.Lookup(k.code).Blame)
	if k.code == "" {
		outcome, blame = okOutcome, "none"
	}
	c := &counters{
		requests: m.requests.WithLabelValues(k.service, outcome, blame),
		gate:     m.gate.WithLabelValues(k.service),
		upstream: m.upstream.WithLabelValues(k.service),
		bytesIn:  m.bytes.WithLabelValues(k.service, "request"),
		bytesOut: m.bytes.WithLabelValues(k.service, "response"),
		scrubbed: m.scrubbed.WithLabelValues(k.service),
	}
	stored, _ := m.cache.LoadOrStore(k, c)
	return stored.(*counters) //nolint:errcheck,forcetypeassert // nothing else is stored
}

// stateCollector asks State at each scrape.
type stateCollector struct {
	State
	broke func(*fault.Panic)
}

// Describe implements prometheus.Collector; the empty description makes the collector unchecked.
func (stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector, which the registry calls in a goroutine of its own.
func (c stateCollector) Collect(out chan<- prometheus.Metric) {
	if why := guard.Call("collecting metrics", func() { c.collect(out) }); why != nil {
		c.broke(why)
	}
}

func (c stateCollector) collect(out chan<- prometheus.Metric) {
	c.State.Collect(func(g Gauge) {
		out <- prometheus.MustNewConstMetric(g.Desc.desc, g.Desc.value(), g.Value, g.Labels...)
	})
}

// Since is the age of t in seconds.
func Since(t, now time.Time) float64 { return now.Sub(t).Seconds() }
