package command

import (
	"context"
	_ "embed" // the page
	"strconv"
	"strings"

	"sallyport/internal/fleet"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind command.
func Kind() fleet.Kind {
	return fleet.Kind{
		Name: "command", Summary: "Nodes that commands of yours restart.", Page: page,
		Settings: func() fleet.Settings { return new(Settings) },
	}
}

// Settings are the keys of a fleet of kind command.
type Settings struct {
	Units []*UnitSettings `yaml:"units" needed:"write units: [{name: NAME, restart: [COMMAND, …], status: [COMMAND, …]}]" doc:"The units, in the order in which they are restarted."`
}

// UnitSettings are the commands of one unit. There is no shell.
type UnitSettings struct {
	Name    string   `yaml:"name" needed:"write name: NAME" eg:"n8n-worker-1" doc:"What the unit is called."`
	Restart []string `yaml:"restart" needed:"write restart: [COMMAND, ARGUMENT, …]" eg:"[ssh, n8n-2, systemctl, restart, n8n]" doc:"Restarts it: a program and its arguments, without a shell. It ends when the restart was begun, with 0."`
	Status  []string `yaml:"status" needed:"write status: [COMMAND, ARGUMENT, …]" eg:"[ssh, n8n-2, systemctl, is-active, n8n]" doc:"Ends with 0 while the unit is healthy. What it prints first should change with each restart, such as a process id and its start; then a restart is never made twice."`
	Stop    []string `yaml:"stop" eg:"[ssh, n8n-2, systemctl, stop, n8n]" doc:"Stops it, for key rekey --stop-fleet, and ends with 0. Where status does not end with 0 then, and the last line that it prints is stopped or inactive, the unit is stopped; else it is not healthy."`
	Start   []string `yaml:"start" eg:"[ssh, n8n-2, systemctl, start, n8n]" doc:"Starts it again; one that runs is left alone."`
	Way     string   `yaml:"node" eg:"exec:ssh n8n-2" doc:"How key verify --node reaches its n8n, to prove its master key."`
	Address string   `yaml:"address" eg:"10.0.0.5" doc:"Where its n8n answers, for a health URL with a *."`
}

// Check implements fleet.Settings.
func (s *Settings) Check(r secret.Report) {
	seen := make(map[string]bool)
	for i, u := range s.Units {
		key := "units." + strconv.Itoa(i)
		if u.Name == "" || len(u.Restart) == 0 || len(u.Status) == 0 {
			r.Fail(key, "is not complete", "it wants name, restart and status")
			continue
		}
		if seen[u.Name] {
			r.Fail(key+".name", "is the name of two units", "give each its own")
		}
		seen[u.Name] = true
		if len(u.Stop) > 0 != (len(u.Start) > 0) {
			r.Fail(key, "has one of stop and start", "write both: what is stopped has to be started again")
		}
		for name, argv := range map[string][]string{
			"restart": u.Restart, "status": u.Status, "stop": u.Stop, "start": u.Start,
		} {
			if len(argv) > 0 && (argv[0] == "" || strings.HasPrefix(argv[0], "-")) {
				r.Fail(key+"."+name, "begins with no program", "write [PROGRAM, ARGUMENT, …]")
			}
		}
	}
}

// Secrets implements fleet.Settings.
func (*Settings) Secrets() []secret.Ref { return nil }

// Open implements fleet.Settings.
func (s *Settings) Open(context.Context, fleet.Host) (fleet.Orchestrator, error) {
	return New(s.Units), nil
}
