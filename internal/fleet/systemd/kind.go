package systemd

import (
	"context"
	_ "embed" // the page
	"strconv"

	"sallyport/internal/fleet"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind systemd.
func Kind() fleet.Kind {
	return fleet.Kind{
		Name: "systemd", Summary: "systemd units, of this machine and of others over SSH.", Page: page,
		Settings: func() fleet.Settings { return new(Settings) },
	}
}

// Settings are the keys of a fleet of kind systemd.
type Settings struct {
	Units []string `yaml:"units" needed:"write units: [n8n-worker.service, n8n.service]" eg:"['n8n-2:n8n-worker.service', n8n.service]" doc:"The units, in the order in which they are restarted: UNIT.service, or HOST:UNIT.service for one that systemctl --host reaches."`
}

// Check implements fleet.Settings.
func (s *Settings) Check(r secret.Report) {
	seen := make(map[string]bool)
	for i, name := range s.Units {
		key := "units." + strconv.Itoa(i)
		if !isUnit.MatchString(name) {
			r.Fail(key, "is not a unit", "write UNIT.service or HOST:UNIT.service")
		}
		if seen[name] {
			r.Fail(key, "stands there twice", "take one away")
		}
		seen[name] = true
	}
}

// Secrets implements fleet.Settings.
func (*Settings) Secrets() []secret.Ref { return nil }

// Open implements fleet.Settings.
func (s *Settings) Open(context.Context, fleet.Host) (fleet.Orchestrator, error) {
	return New(Options{Units: s.Units}), nil
}
