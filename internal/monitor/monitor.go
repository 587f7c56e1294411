// Package monitor turns what the gate does into Prometheus metrics, and what it is into health and readiness.
//
// Names follow Prometheus conventions: base units, _total for counters, no label whose values an outsider can choose.
// It counts and tells; it decides nothing.
package monitor

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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
	// Collect calls emit for every gauge.
	Collect(emit func(Gauge))
}

// Gauge is one value of State.
type Gauge struct {
	Desc   *prometheus.Desc
	Value  float64
	Total  bool // it only grows: a counter
	Labels []string
}

// The gauges that State fills.
//
//nolint:gochecknoglobals // descriptors are constants
var (
	TokenAge = desc("token_age_seconds",
		"Age of the current generation of a proxy token, or of the last when that has expired.", "token")
	TokenExpiry = desc("token_expiry_seconds",
		"Seconds until the current generation of a proxy token expires, negative when the last one has; absent when "+
			"no end is set.", "token")
	TokenLastUsed = desc("token_last_used_timestamp_seconds",
		"When a generation of a proxy token was last used, as Unix time.", "token", "generation")
	RotationLast = desc("rotation_last_success_timestamp_seconds",
		"When the last generation of a proxy token with a schedule was made, as Unix time.", "token")
	Degraded    = desc("degraded", "1 while a part is away and the gate serves without it, else 0.", "part")
	TokensStale = desc("tokens_stale_seconds",
		"Time since this gate last knew every revocation; at revocation.max_stale it accepts no token.")
	CredentialValid = desc("credential_valid",
		"1 when a service has a usable credential and the API did not refuse it the last time, else 0.", "service")
	CircuitOpen = desc("circuit_open",
		"1 since the last attempts to connect to a service's API failed and until one succeeds, so that it is called "+
			"no more than now and then; else 0.", "service")
	AuditHealthy    = desc("audit_healthy", "1 when the audit log can be written, else 0.")
	AuditRecords    = desc("audit_records", "Records in the audit log.")
	AuditSummarised = desc("audit_summarised_refusals_total",
		"Refused requests that were counted in a summary in place of a record each: they came faster than such "+
			"requests may write.")
	AuditPending  = desc("audit_unanchored_records", "Records since the last signed checkpoint.")
	DerivedExpiry = desc("derived_token_expiry_seconds",
		"Seconds until the active token of a service expires; absent when there is none. It is refreshed before.",
		"service")
	DerivedHealthy = desc("derived_token_healthy",
		"1 when the last attempt to have a token of a service went well, or none was needed yet, else 0.", "service")
	StoreUp   = desc("store_up", "1 when a secret store answered the last time it was asked, else 0.", "store")
	StoreLast = desc("store_last_success_timestamp_seconds",
		"When a secret store last answered, as Unix time; absent when it never did.", "store")
	SecretStale = desc("secret_stale_seconds",
		"Age of the last confirmation of the secret that waits longest for one; 0 when the store confirms all.",
		"store")
	RowsRefused = desc("database_rows_refused",
		"Rows of a table that are gone, or left out since Sallyport has not written them so; above 0 another process "+
			"writes to the database, or an older one was put back.", "table")
	DatabaseTrusted = desc("database_list_trusted",
		"1 when the database's own list of a table's rows is whole and not older than one that was seen before, else "+
			"0.", "table")
	ConfigValid = desc("config_last_reload_successful",
		"1 when the active configuration is the one on disk, else 0: the last load was refused.")
	ConfigLoaded = desc("config_last_reload_success_timestamp_seconds",
		"When a configuration was last activated, as Unix time.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sallyport_"+name, help, labels, nil)
}

// New returns Metrics on a registry of its own, with Go's and the process's own metrics beside them.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_requests_total", Help: "Requests by service, outcome (ok or a code of docs/errors.md) " +
				"and the party to blame.",
		}, []string{"service", "outcome", "blame"}),
		gate: histogram("sallyport_gate_duration_seconds",
			"Time spent in Sallyport, without waiting for the API or the caller.", 0.00005),
		upstream: histogram("sallyport_upstream_duration_seconds",
			"Time spent waiting for the API, over the whole response.", 0.001),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_body_bytes_total", Help: "Bytes of bodies by direction: request or response.",
		}, []string{"service", "direction"}),
		scrubbed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_scrubbed_total", Help: "Held secrets taken out of responses.",
		}, []string{"service"}),
		minted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_derived_token_minted_total",
			Help: "Tokens that were obtained from a token endpoint, by service (service/N for its Nth credential).",
		}, []string{"service"}),
		unminted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_derived_token_failed_total",
			Help: "Attempts to have a token that failed, by service and code of docs/errors.md.",
		}, []string{"service", "code"}),
		minting: histogram("sallyport_derived_token_mint_duration_seconds", "Time that token endpoints took.", 0.001),
		resent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_resent_requests_total", Help: "Requests that were sent once more, by service and why: " +
				"expired (with a newer token), or challenge (as the API asks for, Digest).",
		}, []string{"service", "why"}),
		unsent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_not_resent_requests_total",
			Help: "Requests of which the API said that the credential has expired, and that could not be sent once " +
				"more: the body was too large to be kept, or there was no newer token.",
		}, []string{"service"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sallyport_panics_total", Help: "Panics that ended a connection, a request, an attempt to mint a " +
				"token or a run of a background task: mistakes in Sallyport. The log has each of them.",
		}),
		server: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_http_server_errors_total",
			Help: "What went wrong before there was a request, by listener and kind: panic, tls, accept, refused, " +
				"write or other. The log has a line for it once a minute.",
		}, []string{"listener", "kind"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_connections_closed_total",
			Help: "Connections to the gateway that a limit closed: of one source without a valid token (source), of " +
				"all (total), or new ones while every other was in a request (refused).",
		}, []string{"limit"}),
		rotation: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_rotation_failed_total", Help: "Rotations of a proxy token by its schedule that failed.",
		}, []string{"token"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sallyport_in_flight_requests",
			Help: "Requests being served.",
		}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sallyport_build_info", Help: "Always 1; the version is a label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.gate, m.upstream, m.bytes, m.scrubbed, m.inFlight, m.minted, m.unminted,
		m.minting, m.resent, m.unsent, m.rotation, m.panics, m.server, m.closed, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func histogram(name, help string, lowest float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(lowest, 4, 9),
	}, []string{"service"})
}

// Watch adds the gauges of s. broke is told of a panic in it; what was collected before is shown.
func (m *Metrics) Watch(s State, broke func(*fault.Panic)) {
	m.registry.MustRegister(stateCollector{s, broke})
}

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Started implements boundary.Observer.
func (m *Metrics) Started(string) { m.inFlight.Inc() }

// Finished implements boundary.Observer.
func (m *Metrics) Finished(o *boundary.Outcome) {
	m.inFlight.Dec()
	c := m.countersOf(cell{o.Service, o.Code})
	c.requests.Inc()
	c.gate.Observe(o.Gate.Seconds())
	if o.Upstream > 0 {
		c.upstream.Observe(o.Upstream.Seconds())
	}
	add(c.bytesIn, o.BytesIn)
	add(c.bytesOut, o.BytesOut)
	add(c.scrubbed, int64(o.Scrubbed))
	if o.Replayed || o.NotResent {
		m.countAgain(o)
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
		kind := prometheus.GaugeValue
		if g.Total {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(g.Desc, kind, g.Value, g.Labels...)
	})
}

// Since is the age of t in seconds.
func Since(t, now time.Time) float64 { return now.Sub(t).Seconds() }
