// Package config reads sallyport.yaml and services.d/*.yaml: the reviewed truth about listeners, services, policy and
// tokens.
//
// It decodes strictly, collects every error of a load with file, line and column, and knows where each value came from.
// The struct tags of Config, and of what it is made of, are the one declaration: the decoder, the defaults, the
// suggestions, the JSON Schema and docs/configuration.md are all read from them. Package declare lists the tags. It is
// not a watcher (app re-reads and swaps) and it opens no store.
//
// The files form layers: what a configuration is (config, service, credential, stores, kinds), what fills it in (usual,
// defaults, presets with what they use), what it is held against (the checks), and how it is loaded.
//
// Invariant: loading is pure, and no error, warning or origin ever contains a value that may be a secret.
package config

import (
	"cmp"
	"time"

	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
)

// Config is the whole configuration, complete: defaults and presets are filled in, paths are resolved.
type Config struct {
	Listen       Listen               `yaml:"listen" doc:"The addresses that Sallyport serves on."`
	Data         string               `yaml:"data" default:"./sallyport-data" path:"dir" doc:"The data directory: the SQLite database, the seal key and the audit log, unless they are placed elsewhere."`
	Database     string               `yaml:"database" eg:"postgres://sallyport@db.internal/sallyport" doc:"PostgreSQL URL without a password, for several replicas. Absent: SQLite in the data directory."`
	DatabaseFile string               `yaml:"database_file" path:"file" eg:"/run/secrets/sallyport_database" doc:"A file that holds the PostgreSQL URL, password included."`
	Seal         Seal                 `yaml:"seal" doc:"Where the key-encryption key comes from."`
	TLS          TLS                  `yaml:"tls" doc:"TLS (1.2 or newer) for the gateway and the admin listener: a certificate of your own, or one from the CA that init makes."`
	Insecure     bool                 `yaml:"insecure" default:"false" doc:"Allow plain HTTP on addresses beyond loopback. Every start warns of it."`
	Audit        Audit                `yaml:"audit" doc:"The audit log."`
	Tracing      *Tracing             `yaml:"tracing" doc:"OpenTelemetry traces of requests. Absent: there are none, at no cost."`
	Log          Log                  `yaml:"log" doc:"The log of the process, on standard error."`
	Limits       GateLimits           `yaml:"limits" doc:"Limits of the whole gate."`
	Revocation   Revocation           `yaml:"revocation" doc:"How soon every replica acts by a change that a person makes: a token that is revoked, a secret that is set."`
	Probes       Probes               `yaml:"probes" doc:"Canary requests: each service's test call, made by the gate itself, so that a dead key or an API that is away shows before a workflow fails."`
	Drain        time.Duration        `yaml:"drain" default:"30s" max:"1h" doc:"How long a stop takes at the most: requests in flight have it all but the last third, or 3s, which is for breaking off the rest and the teardown."`
	Stores       map[string]*Store    `yaml:"stores" keys:"name" doc:"The secret stores by name; ref+NAME://… refers to them. Some are there without an entry: their kinds say so."`
	Services     map[string]*Service  `yaml:"services" keys:"name" doc:"The external APIs by name: /s/NAME/… at the gateway."`
	Tokens       map[string]*Token    `yaml:"tokens" keys:"name" doc:"What is known of proxy tokens in advance, by label: scope, expiry, rotation. The values are made by token issue."`
	Fleets       map[string]*Fleet    `yaml:"fleets" keys:"name" doc:"The nodes of n8n installations by name, for sallyport fleet: what runs them, and how they are restarted."`
	Rotations    map[string]*Rotation `yaml:"rotations" keys:"name" doc:"The secrets that are rotated, by the rotation's name: what issues a new value, how it is proved, when, and what needs a restart."`
	_            struct{}             `yaml:"forward" later:"true"`

	presets    map[string]*preset.Preset // those that services name
	positions  place.Index
	underData  map[string]string // key → name below the data directory
	files      []string
	listed     map[string]bool // those in files
	dir        string
	named      *Named // all other services and tokens are left out; nil: all are there
	noServices bool   // services: {} stands in the main file
	read       ReadFunc
	kinds      Kinds
}

// Listen holds host:port addresses.
type Listen struct {
	Gateway string   `yaml:"gateway" default:"127.0.0.1:8470" doc:"The gateway: http(s)://ADDRESS/s/SERVICE/PATH."`
	Admin   string   `yaml:"admin" default:"127.0.0.1:8472" doc:"Admin API, /metrics, /healthz and /readyz."`
	_       struct{} `yaml:"forward" later:"true"`
}

// Seal names the key-encryption key. Exactly one of the two is set.
type Seal struct {
	KeyFile string   `yaml:"key_file" default:"<data>/seal.key" path:"file" doc:"A file with the key-encryption key, mode 0600; init makes it."`
	KeyEnv  string   `yaml:"key_env" eg:"SALLYPORT_SEAL_KEY" doc:"The environment variable that holds the key-encryption key, instead of key_file."`
	_       struct{} `yaml:"kms vault" later:"true"`
}

// TLS is either a certificate of the operator's or one of the built-in CA. The zero TLS is plain HTTP.
type TLS struct {
	CertFile string   `yaml:"cert_file" path:"file" eg:"/etc/sallyport/tls.crt" doc:"PEM certificate chain, leaf first. Needs key_file."`
	KeyFile  string   `yaml:"key_file" path:"file" eg:"/etc/sallyport/tls.key" doc:"PEM private key of cert_file."`
	CA       string   `yaml:"ca" enum:"builtin" doc:"builtin: serve a certificate of the CA that init makes. Needs hosts."`
	Hosts    []string `yaml:"hosts" eg:"[gate.internal, 10.0.0.5]" doc:"The names and addresses that the built-in CA's certificate is for."`
}

// Enabled tells whether the listeners speak TLS.
func (t TLS) Enabled() bool { return t.CertFile != "" || t.CA != "" }

// Audit says where the audit log is and how often it is anchored.
type Audit struct {
	File               string        `yaml:"file" default:"<data>/audit.jsonl" path:"file" doc:"The log: JSON lines in a keyed hash chain."`
	CheckpointFile     string        `yaml:"checkpoint_file" default:"<data>/audit.checkpoints" path:"file" doc:"The signed checkpoints; better on another disk than the log."`
	CheckpointEvery    int           `yaml:"checkpoint_every" default:"1000" min:"1" max:"1000000" doc:"A checkpoint after this many records."`
	CheckpointInterval time.Duration `yaml:"checkpoint_interval" default:"1m" min:"1s" max:"24h" doc:"A checkpoint after this time, if there were records."`
	Sync               time.Duration `yaml:"sync" default:"1s" max:"1m" doc:"How long records may wait for fsync (a power cut can lose them; the end of the process cannot). 0s syncs every write."`
	Rotate             AuditRotate   `yaml:"rotate" doc:"When the log's file is ended, with a signed checkpoint, and the next one begun. Not at all by default; sallyport audit rotate does it at any time."`
	Keep               AuditKeep     `yaml:"keep" doc:"How much of the log is kept: ended files, whole, and the oldest first, are removed, which is put on record before. Everything by default."`

	Sinks map[string]*AuditSink `yaml:"sinks" keys:"name" doc:"Where the log is shipped to as well, by name. The file stays the truth: a sink that is away gets the rest when it is back."`
}

// AuditRotate says when a file of the audit log is ended. Zero is never.
type AuditRotate struct {
	Size  Size          `yaml:"size" eg:"1GiB" min:"1MiB" max:"1TiB" doc:"Once the file has this size."`
	Every time.Duration `yaml:"every" eg:"24h" min:"1m" max:"8784h" doc:"Once the file's first record is this old."`
}

// AuditKeep bounds what is kept of the audit log. Zero is no bound.
type AuditKeep struct {
	Age  time.Duration `yaml:"age" eg:"400d" min:"1h" max:"36600d" doc:"A file is removed once its newest record is older."`
	Size Size          `yaml:"size" eg:"100GiB" min:"1MiB" max:"1024TiB" doc:"Files are removed while all of them together are larger."`
}

// Log is the form of the process's own log.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug info warn error" doc:"The least level that is written."`
	Format string `yaml:"format" default:"text" enum:"text json" doc:"One line per entry, as key=value or as JSON."`
}

// GateLimits bounds the whole gate.
type GateLimits struct {
	InFlight    int  `yaml:"in_flight" default:"4096" min:"1" max:"1000000" doc:"Requests at one time; more are answered with overloaded."`
	PerToken    int  `yaml:"in_flight_per_token" eg:"1024" min:"1" max:"1000000" doc:"Requests at one time with one proxy token, whatever its generation; more are answered with rate_limited. Default: three quarters of in_flight."`
	PerService  int  `yaml:"in_flight_per_service" eg:"1024" min:"1" max:"1000000" doc:"Requests at one time to one service that has no limits.concurrency of its own; more are answered with rate_limited. Default: half of in_flight."`
	Connections int  `yaml:"connections" eg:"4096" min:"16" max:"2000000" doc:"Connections to the gateway at one time. At the limit the oldest that no valid token was presented on is closed, of the source that has the most of them, then the one idle longest. Default: twice in_flight, or what the limit of open files leaves beside in_flight and 100 if that is less."`
	PerSource   int  `yaml:"connections_per_source" eg:"512" min:"1" max:"2000000" doc:"Connections to the gateway at one time from one IPv4 address or IPv6 /64 that no valid token was presented on yet; the oldest is closed for a new one. Default: half of connections."`
	HeaderBytes Size `yaml:"header_bytes" default:"64KiB" min:"4KiB" max:"1MiB" doc:"The greatest size of a request's or a response's header."`
}

// Revocation bounds how long what was revoked can be used.
type Revocation struct {
	MaxStale time.Duration `yaml:"max_stale" default:"2m" min:"2s" max:"24h" doc:"How long the gate accepts tokens without having read from the database that none was revoked; after that it answers store_unavailable until it can, and open streams end. The greatest time that a revoked token can be used at a replica that is cut off. Shorter than a failover of PostgreSQL (30s to 2m), it stops every workflow at each of them."`
	Wait     time.Duration `yaml:"wait" default:"10s" max:"24h" doc:"How long commands wait for every replica to confirm a change, unless --wait says otherwise; then they name those that did not and exit with 13."`
}

// Probes are canary requests of the gate's own.
type Probes struct {
	Every time.Duration `yaml:"every" eg:"15m" min:"1m" max:"168h" doc:"How often each service whose test call is a GET or HEAD is called, over all replicas together. The calls carry the real credential, are on record, and count against quotas of the API. Absent: no service is called that has no probe.every of its own."`
}

// TokenShare is how many requests one token may have in flight.
func (l GateLimits) TokenShare() int { return cmp.Or(l.PerToken, max(1, l.InFlight-l.InFlight/4)) }

// ServiceShare is how many requests one service without a limit of its own may have in flight.
func (l GateLimits) ServiceShare() int { return cmp.Or(l.PerService, max(1, l.InFlight/2)) }

// ConnectionLimits are the limits of connections to the gateway, in all and of one source's unproven ones, when the
// process may open files files; 0 is unknown.
func (l GateLimits) ConnectionLimits(files uint64) (total, perSource int) {
	total = l.Connections
	if total == 0 {
		total = 2 * l.InFlight
		if files > 0 && files < 1<<31 {
			total = min(total, int(files)-l.InFlight-100)
		}
		total = max(total, 16)
	}
	return total, cmp.Or(l.PerSource, max(1, total/2))
}

// ReadFunc reads a file that a configuration names (certificates), so that what it points to is checked at load.
type ReadFunc func(name string) ([]byte, error)
