package monitor

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// prefix is what the name of each metric of ours begins with.
const prefix = "sallyport_"

// Kind is a type of metric as Prometheus has them.
type Kind string

// The kinds.
const (
	KindCounter   Kind = "counter"
	KindGauge     Kind = "gauge"
	KindHistogram Kind = "histogram"
)

// Metric is the declaration of a metric: what /metrics says of it, and docs/metrics.md.
type Metric struct {
	Name   string // whole, with the unit
	Kind   Kind
	Help   string // what it means
	Do     string // what a person does with it
	Labels []Label

	buckets []float64 // of a histogram
	desc    *prometheus.Desc
}

// Label is a label with all that its values can be. No outsider can choose one.
type Label struct {
	Name   string
	Values string         // for people
	Closed []string       // all values, where these are the program's own
	Count  func(Size) int // the most that there can be
}

// Size is what the number of series depends on.
type Size struct {
	Services    int // that were configured since the process began
	Derived     int // credentials of them whose tokens are minted
	Tokens      int // labels of proxy tokens
	Generations int // of one of these that are accepted at one time, or are in use still
	Stores      int
	Rotations   int // of secrets
	Sinks       int // of the audit log
	Nodes       int // of n8n whose logs are watched, or whose key is asked for
}

func counter(name, help, do string, labels ...Label) *Metric {
	return declare(KindCounter, name, help, do, labels)
}

func gauge(name, help, do string, labels ...Label) *Metric {
	return declare(KindGauge, name, help, do, labels)
}

// histogram has nine buckets, each four times as wide as the one before.
func histogram(name, help, do string, lowest float64, labels ...Label) *Metric {
	m := declare(KindHistogram, name, help, do, labels)
	m.buckets = prometheus.ExponentialBuckets(lowest, 4, 9)
	return m
}

func declare(kind Kind, name, help, do string, labels []Label) *Metric {
	m := &Metric{Name: prefix + name, Kind: kind, Help: help, Do: do, Labels: labels}
	m.desc = prometheus.NewDesc(m.Name, help, m.labels(), nil)
	return m
}

func (m *Metric) labels() []string {
	names := make([]string, 0, len(m.Labels))
	for _, l := range m.Labels {
		names = append(names, l.Name)
	}
	return names
}

// Unit is what is counted: the base unit that the name ends with, or "" for a plain number.
func (m *Metric) Unit() string {
	name := strings.TrimSuffix(m.Name, "_total")
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds"):
		return "Unix time in seconds"
	case strings.HasSuffix(name, "_seconds"):
		return "seconds"
	case strings.HasSuffix(name, "_bytes"):
		return "bytes"
	}
	return ""
}

// Series is the most that Prometheus can have to store of the metric in a gate of this size.
func (m *Metric) Series(of Size) int {
	n := m.each()
	for _, l := range m.Labels {
		n *= l.Count(of)
	}
	return n
}

// each is how many series there are for one set of values of the labels.
func (m *Metric) each() int {
	if m.Kind == KindHistogram {
		return len(m.buckets) + 3 // +Inf, _sum, _count
	}
	return 1
}

// counters makes the counters of a metric.
func (m *Metric) counters() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.labels())
}

// histograms makes the histograms of a metric.
func (m *Metric) histograms() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.buckets},
		m.labels())
}

// value is the type under which State's values of a metric are told.
func (m *Metric) value() prometheus.ValueType {
	if m.Kind == KindCounter {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}
