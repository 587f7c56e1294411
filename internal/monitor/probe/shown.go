package probe

import (
	"maps"
	"time"
)

// Shown is how the probe of a service stands, for people.
type Shown struct {
	Result *Result   `json:"last,omitempty"`
	Next   time.Time `json:"next,omitzero"`
	Why    string    `json:"not_probed,omitempty"` // why there is none
}

// Shown is how the probes of the services stand, by name.
func (p *Prober) Shown() map[string]Shown {
	c := p.o.Config()
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]Shown, len(c.Services))
	for name := range c.Services {
		if _, why := p.probeOf(c, name); why != "" {
			all[name] = Shown{Why: why}
			continue
		}
		one := p.known[name]
		all[name] = Shown{Result: one.result, Next: one.due}
	}
	return all
}

// Results calls emit with the last result of each service that is probed.
func (p *Prober) Results(emit func(service string, r *Result)) {
	for name, one := range p.Shown() {
		if one.Result != nil {
			emit(name, one.Result)
		}
	}
}

// Counts are how many probes this process has made, by what they have shown.
func (p *Prober) Counts() map[Verdict]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.count)
}
