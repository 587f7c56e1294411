// Package site says where the things are that a checklist looks at, and how they are looked at: files, containers,
// pods, a Prometheus, the configuration of a gate, n8n's database.
//
// A Site is made by the command, from its flags. What only the running program can open (stores, the gate's database,
// the audit log) is a function of it.
//
// Invariant: everything is looked at, and nothing is changed. What comes from outside is read within bounds.
package site

import (
	"context"
	"net/url"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/kubeapi"
	"sallyport/internal/masterkey/nodes"
	n8ndatabase "sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/wayout"
)

// Site is where to look. Zero values are things that nobody has named; a check that needs one says so.
type Site struct {
	Now time.Time // when the checklist was begun

	Files []string // files and folders with what starts n8n: Compose files, charts, Dockerfiles, repositories

	DockerHosts  []string // unix:///… or https://…; none: no engine is asked
	DockerLabels []string // KEY or KEY=VALUE that containers must have; none: all that run n8n
	Images       []string // of an engine of DockerHosts by their names, or files that `docker save` has made

	Kube      *kubeapi.Options // nil: no cluster is asked
	Namespace string           // of n8n's pods; "" is the account's own
	Selector  string           // of n8n's pods, such as app=n8n; "" is all that run n8n

	Prometheus Endpoint
	CAFile     string     // PEM certificates to trust for what names none of its own
	URLs       []*url.URL // beside the gate and the stores: what is to speak TLS, such as n8n's ingress

	N8NVersion string // what n8n is said to be; "" is what the nodes say
	// N8NDatabase opens n8n's database, to be read; nil: none was named.
	N8NDatabase func(ctx context.Context) (*n8ndatabase.DB, error)
	// N8NKey is the master key, to look into N8NDatabase; nil: it was not named.
	N8NKey func(ctx context.Context) (secret.Value, error)

	EgressTargets []string // HOST:PORT each, which n8n must not reach; none: the hosts of the configured services
	// Egress tries every way out from here, which sends packets to public addresses; nil: nobody has asked for that.
	Egress func(ctx context.Context) (wayout.Report, error)
	Admin  string // HOST:PORT of the gate's admin listener, as n8n's network has it
	// Here is the n8n that runs beside this process; nil: it is looked for.
	Here func() (Workload, bool)

	Drill  bool   // what takes long, or makes files of its own, may be done
	Backup string // a copy of the gate's data directory, to be restored by a drill
	// N8NBackup is a copy of n8n's SQLite database, to be opened by a drill.
	N8NBackup string

	Config func() (*config.Config, config.Warnings, error)
	// Stores opens the stores of the configuration. Close it.
	Stores func(ctx context.Context, c *config.Config) (Stores, error)
	// Nodes asks every node of n8n for the fingerprint of its master key; nil: none was named.
	Nodes func(ctx context.Context) (nodes.Report, error)
	// Audit verifies the gate's audit log, and names it.
	Audit func(ctx context.Context) (audit.Report, string, error)
	// Rotations says how the rotations of the gate stand.
	Rotations func(ctx context.Context) ([]Rotation, error)
	// Restore restores a backup of the gate into a temporary place, reads every secret there, and tells how many it
	// was.
	Restore func(ctx context.Context, backup string) (secrets int, err error)
}

// Stores are the opened stores of a configuration.
type Stores interface {
	Store(ctx context.Context, name string) (secret.Store, error)
	Close() error
}

// Endpoint is a server that answers over HTTP.
type Endpoint struct {
	URL    *url.URL     // nil: none was named
	CAFile string       // PEM certificates to trust instead of the system's
	Token  secret.Value // for Authorization: Bearer; the zero Value is none
}

// Rotation is how a rotation of the gate stands.
type Rotation struct {
	Kind    string // token, secret
	Name    string
	Planned bool      // the configuration says when it begins by itself
	State   string    // of the last run: as package rotation/run says it; "" has not run
	Last    time.Time // when the last run ended, or has last gone on
	Due     time.Time // when the next is due; zero is not known
	Error   string    // of the last run
}
