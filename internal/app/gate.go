package app

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/consent"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/gateway"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/guard"
	"sallyport/internal/monitor"
	"sallyport/internal/monitor/probe"
	"sallyport/internal/rotation/evidence"
	"sallyport/internal/rotation/notify"
	"sallyport/internal/rotation/secrets"
	"sallyport/internal/secret"
)

// Options are what an App needs beside its configuration.
type Options struct {
	Config     *config.Config
	ConfigPath string // re-read by Reload; "" when there is no file
	Reread     func() (*config.Config, config.Warnings, error)
	Log        *slog.Logger
	Version    string
	// is called when another configuration has become active, and what it took to load can be let go; may be nil
	Settled func()

	adapter func(*config.Store) (secret.Store, error) // instead of the real ones, in tests
	now     func() time.Time                          // that rotations of secrets go by, in tests; nil is time.Now

	AcceptAuditDamage bool // begin a new audit log where the old one is damaged, and set that aside
}

// App is the running gate.
type App struct {
	o        Options
	log      *slog.Logger
	state    *State
	audit    *audit.Log
	pipeline *boundary.Pipeline
	metrics  *monitor.Metrics
	gateway  *gateway.Gateway
	follower *database.Follower // of what other processes change; from Start on

	files    atomic.Pointer[map[string]string] // stamps of the configuration's files, as they were read last
	config   atomic.Pointer[config.Config]
	reload   sync.Mutex // held while what is active is replaced
	next     *next      // guarded by reload: the configuration that is being loaded, or nil
	closed   bool       // guarded by reload
	reloads  reloads
	loaded   atomic.Int64
	tokens   atomic.Pointer[[]token.Generation] // for the metrics, a few seconds old
	invalid  atomic.Pointer[string]             // why the configuration on disk is not active
	consents *consent.Gate
	pollKey  []byte
	probeKey []byte
	uses     *evidence.Counter  // of secrets, as they go on record
	secrets  *secrets.Rotations // from Start on
	notices  *notify.Sender     // of those; from Start on
	told     told               // what became of notices
	probes   *probe.Prober      // from Start on

	altered struct { // what was found last of rows that are left out
		mu      sync.Mutex
		reports atomic.Pointer[[]ledger.Report]
	}

	listeners listeners
	started   atomic.Bool        // it serves, or has served
	stop      context.CancelFunc // ends the background loops
	running   guard.Group
	sinks     auditSinks
	traces    traces
	closers   closers
	stopped   stopped
	failed    chan error
}

type listeners struct {
	gateway, admin, control net.Listener
	own                     egress.Own // the first two: no service dials them. The third is no network address
}

// GatewayURL is where the gateway listens.
func (a *App) GatewayURL() string { return a.url(a.listeners.gateway) }

// AdminURL is where the admin listener listens.
func (a *App) AdminURL() string { return a.url(a.listeners.admin) }

func (a *App) url(l net.Listener) string {
	scheme := "http"
	if a.o.Config.TLS.Enabled() {
		scheme = "https"
	}
	return scheme + "://" + l.Addr().String()
}
