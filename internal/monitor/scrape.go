package monitor

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapesAtOnce bounds what scrapes can take: each has a page of its own in memory until it is read.
	scrapesAtOnce = 8
	// scrapeTime is how long a page may take to be read. Prometheus gives up after 10 s by itself.
	scrapeTime = 30 * time.Second
)

// Handler serves /metrics. A scraper that does not read its page holds one of the places for 30 seconds, and nothing of
// the gate; when all places are held, others are answered with 503.
func (m *Metrics) Handler() http.Handler { return m.handler(scrapeTime) }

func (m *Metrics) handler(longest time.Duration) http.Handler { return page(m.registry, longest) }

func page(registry *prometheus.Registry, longest time.Duration) http.Handler {
	page := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesAtOnce, EnableOpenMetrics: true, // which has exemplars
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// a writer without a connection, as tests have, has no deadline
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest))
		page.ServeHTTP(w, r)
	})
}
