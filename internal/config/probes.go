package config

import (
	"net/http"
	"time"
)

// Probe is the canary request of one service.
type Probe struct {
	Test

	Every time.Duration
}

// ProbeOf is the probe of a service, or why it has none. Only methods that change nothing are called again and again.
func (c *Config) ProbeOf(name string) (p Probe, why string) {
	s := c.Services[name]
	if s == nil {
		return p, "there is no such service"
	}
	p.Every = c.Probes.Every
	if s.Probe.Every > 0 {
		p.Every = s.Probe.Every
	}
	switch {
	case s.Probe.Off:
		return p, "probe.off is set"
	case p.Every == 0:
		return p, "probes.every is not set"
	case s.Test == nil:
		return p, "the service has no test call"
	case !probing(s.Test.Method):
		return p, "its test call is a " + s.Test.Method + ": only GET and HEAD are called by themselves"
	}
	p.Test = *s.Test
	return p, ""
}

// probing tells whether a method changes nothing (RFC 9110, section 9.2.1).
func probing(method string) bool { return method == http.MethodGet || method == http.MethodHead }
