package monitor

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Registry is what is told of at a scrape.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// ScrapesAtOnce is how many scrapes there can be.
const ScrapesAtOnce = scrapesAtOnce

// HandlerWithin is Handler, with another time for reading a page.
func (m *Metrics) HandlerWithin(longest time.Duration) http.Handler { return m.handler(longest) }
