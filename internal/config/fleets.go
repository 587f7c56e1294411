package config

import (
	"net/url"
	"time"

	"sallyport/internal/fleet"
	"sallyport/internal/secret"
)

// Fleet is the nodes of one n8n installation, and how they are restarted.
type Fleet struct {
	Kind     string            `yaml:"kind" needed:"write kind: NAME" doc:"What runs the nodes, which says what other keys there are."`
	Grace    time.Duration     `yaml:"grace" default:"30s" min:"1s" max:"1h" doc:"What n8n has to end its executions when it is told to stop: its N8N_GRACEFUL_SHUTDOWN_TIMEOUT, or more."`
	Timeout  time.Duration     `yaml:"timeout" default:"10m" min:"1s" max:"24h" doc:"How long one unit may take to be healthy again; after that the restart is failed, and the units after it are left alone."`
	Settle   time.Duration     `yaml:"settle" default:"10s" min:"1s" max:"1h" doc:"How long a unit has to stay healthy, with the same processes, before the next one is begun."`
	Health   map[string]string `yaml:"health" keys:"text" eg:"{n8n-main: 'http://n8n-main:5678'}" doc:"Where units answer /healthz and /healthz/readiness, by the names that sallyport fleet list shows; a * in place of the host is each node's address. A unit without one is healthy when what runs it says so."`
	Drain    *FleetDrain       `yaml:"drain" doc:"Wait until n8n executes nothing before a unit is restarted. Without it, executions have grace to end."`
	Settings fleet.Settings    `of:"kind"`
}

// FleetDrain is how running executions are waited for.
type FleetDrain struct {
	URL      *url.URL      `yaml:"url" needed:"write url: http://n8n-main:5678" eg:"http://n8n-main:5678" doc:"n8n's base URL."`
	APIKey   secret.Ref    `yaml:"api_key" needed:"write api_key: ref+builtin://NAME; the key needs the scope execution:list alone" eg:"ref+builtin://n8n-executions" doc:"An API key of n8n's owner with the scope execution:list, by reference."`
	CAFile   string        `yaml:"ca_file" path:"file" eg:"./n8n-ca.pem" doc:"PEM certificates to trust for n8n instead of the system's."`
	Timeout  time.Duration `yaml:"timeout" default:"5m" min:"1s" max:"24h" doc:"How long they are waited for before each unit; after that they have grace to end."`
	Required bool          `yaml:"required" doc:"End the restart instead when executions still run after that, or n8n does not tell."`
}
