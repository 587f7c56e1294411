// Package config reads sallyport.yaml and services.d/*.yaml: the reviewed truth about listeners, services, policy and
// tokens.
//
// It decodes strictly, collects every error of a load with file, line and column, and knows where each value came from.
// The struct tags of Config, and of what it is made of, are the one declaration: the decoder, the defaults, the
// suggestions, the JSON Schema and docs/configuration.md are all read from them. Package declare lists the tags. It is not a watcher (app re-reads and swaps) and it opens no store.
//
// Invariant: loading is pure, and no error, warning or origin ever contains a value that may be a secret.
package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"time"

	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
	"sallyport/internal/secret"
)

// Config is the whole configuration, complete: defaults and presets are filled in, paths are resolved.
type Config struct {
	Listen       Listen              `yaml:"listen" doc:"The addresses that Sallyport serves on."`
	Data         string              `yaml:"data" default:"./sallyport-data" path:"dir" doc:"The data directory: the SQLite database, the seal key and the audit log, unless they are placed elsewhere."`
	Database     string              `yaml:"database" eg:"postgres://sallyport@db.internal/sallyport" doc:"PostgreSQL URL without a password, for several replicas. Absent: SQLite in the data directory."`
	DatabaseFile string              `yaml:"database_file" path:"file" eg:"/run/secrets/sallyport_database" doc:"A file that holds the PostgreSQL URL, password included."`
	Seal         Seal                `yaml:"seal" doc:"Where the key-encryption key comes from."`
	TLS          TLS                 `yaml:"tls" doc:"TLS (1.2 or newer) for the gateway and the admin listener: a certificate of your own, or one from the CA that init makes."`
	Insecure     bool                `yaml:"insecure" default:"false" doc:"Allow plain HTTP on addresses beyond loopback. Every start warns of it."`
	Audit        Audit               `yaml:"audit" doc:"The audit log."`
	Log          Log                 `yaml:"log" doc:"The log of the process, on standard error."`
	Limits       GateLimits          `yaml:"limits" doc:"Limits of the whole gate."`
	Revocation   Revocation          `yaml:"revocation" doc:"How soon every replica acts by a change that a person makes: a token that is revoked, a secret that is set."`
	Drain        time.Duration       `yaml:"drain" default:"30s" max:"1h" doc:"How long a stop takes at the most: requests in flight have it all but the last third, or 3s, which is for breaking off the rest and the teardown."`
	Stores       map[string]*Store   `yaml:"stores" keys:"name" doc:"The secret stores by name; ref+NAME://… refers to them. Some are there without an entry: their kinds say so."`
	Services     map[string]*Service `yaml:"services" keys:"name" doc:"The external APIs by name: /s/NAME/… at the gateway."`
	Tokens       map[string]*Token   `yaml:"tokens" keys:"name" doc:"What is known of proxy tokens in advance, by label: scope, expiry, rotation. The values are made by token issue."`
	Fleets       map[string]*Fleet   `yaml:"fleets" keys:"name" doc:"The nodes of n8n installations by name, for sallyport fleet: what runs them, and how they are restarted."`
	_            struct{}            `yaml:"forward rotations" later:"true"`

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

// Kinds returns the kinds with which the configuration was read.
func (c *Config) Kinds() Kinds { return c.kinds }

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
}

// AuditRotate says when a file of the audit log is ended. Zero is never.
type AuditRotate struct {
	Size  notation.Size `yaml:"size" eg:"1GiB" min:"1MiB" max:"1TiB" doc:"Once the file has this size."`
	Every time.Duration `yaml:"every" eg:"24h" min:"1m" max:"8784h" doc:"Once the file's first record is this old."`
}

// AuditKeep bounds what is kept of the audit log. Zero is no bound.
type AuditKeep struct {
	Age  time.Duration `yaml:"age" eg:"400d" min:"1h" max:"36600d" doc:"A file is removed once its newest record is older."`
	Size notation.Size `yaml:"size" eg:"100GiB" min:"1MiB" max:"1024TiB" doc:"Files are removed while all of them together are larger."`
}

// Log is the form of the process's own log.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug info warn error" doc:"The least level that is written."`
	Format string `yaml:"format" default:"text" enum:"text json" doc:"One line per entry, as key=value or as JSON."`
}

// GateLimits bounds the whole gate.
type GateLimits struct {
	InFlight    int           `yaml:"in_flight" default:"4096" min:"1" max:"1000000" doc:"Requests at one time; more are answered with overloaded."`
	PerToken    int           `yaml:"in_flight_per_token" eg:"1024" min:"1" max:"1000000" doc:"Requests at one time with one proxy token, whatever its generation; more are answered with rate_limited. Default: three quarters of in_flight."`
	PerService  int           `yaml:"in_flight_per_service" eg:"1024" min:"1" max:"1000000" doc:"Requests at one time to one service that has no limits.concurrency of its own; more are answered with rate_limited. Default: half of in_flight."`
	Connections int           `yaml:"connections" eg:"4096" min:"16" max:"2000000" doc:"Connections to the gateway at one time. At the limit the oldest that no valid token was presented on is closed, of the source that has the most of them, then the one idle longest. Default: twice in_flight, or what the limit of open files leaves beside in_flight and 100 if that is less."`
	PerSource   int           `yaml:"connections_per_source" eg:"512" min:"1" max:"2000000" doc:"Connections to the gateway at one time from one IPv4 address or IPv6 /64 that no valid token was presented on yet; the oldest is closed for a new one. Default: half of connections."`
	HeaderBytes notation.Size `yaml:"header_bytes" default:"64KiB" min:"4KiB" max:"1MiB" doc:"The greatest size of a request's or a response's header."`
}

// Revocation bounds how long what was revoked can be used.
type Revocation struct {
	MaxStale time.Duration `yaml:"max_stale" default:"2m" min:"2s" max:"24h" doc:"How long the gate accepts tokens without having read from the database that none was revoked; after that it answers store_unavailable until it can, and open streams end. The greatest time that a revoked token can be used at a replica that is cut off. Shorter than a failover of PostgreSQL (30s to 2m), it stops every workflow at each of them."`
	Wait     time.Duration `yaml:"wait" default:"10s" max:"24h" doc:"How long commands wait for every replica to confirm a change, unless --wait says otherwise; then they name those that did not and exit with 13."`
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

// Service is one external API: a fixed upstream, a credential, a policy. After Load, Upstream and Credential are
// complete.
type Service struct {
	Preset       string            `yaml:"preset" eg:"openai" doc:"A service that ships with Sallyport: it fills in what is left open here. docs/presets.md lists them."`
	Secret       secret.Ref        `yaml:"secret" eg:"ref+builtin://openai" doc:"Short for credential.secret."`
	Upstream     *url.URL          `yaml:"upstream" eg:"https://api.example.com/v1" doc:"Scheme, host, port and base path of the API. http or https; no user, query or fragment."`
	CAFile       string            `yaml:"ca_file" path:"file" eg:"./ca.pem" doc:"PEM certificates to trust for this upstream instead of the system's."`
	ServerName   string            `yaml:"server_name" eg:"api.internal" doc:"The name to send in TLS (SNI) and to verify, where it differs from the upstream's host."`
	RSAExchange  bool              `yaml:"rsa_key_exchange" default:"false" doc:"Offer TLS 1.2 with RSA key exchange too, for an appliance that has nothing else. It has no forward secrecy: whoever gets the server's key later can read what was recorded, the credential in it too."`
	Credential   Credential        `yaml:"credential" doc:"What is injected, and where."`
	Credentials  []Credential      `yaml:"credentials" doc:"Several credentials in one request, instead of credential; one with a preset that has several fills in the same entry. At most one of them signs."`
	TLS          *ClientTLS        `yaml:"tls" doc:"A client certificate, for an API that knows its callers by one."`
	Proxy        *url.URL          `yaml:"proxy" url:"proxy" eg:"http://proxy.internal:3128" doc:"A proxy on the way to the upstream and to token endpoints: http:// or socks5://, without user and password."`
	ProxySecret  secret.Ref        `yaml:"proxy_secret" eg:"ref+builtin://proxy" doc:"USER:PASSWORD for the proxy, by reference."`
	Replay       Replay            `yaml:"replay" doc:"How much of a request's body is kept, for sending it once more after a token has expired, or for signing it."`
	Headers      map[string]string `yaml:"headers" free:"true" keys:"header" eg:"{Notion-Version: \"2022-06-28\"}" doc:"Fixed headers that are set unless the caller sends them; override_headers names those that are set all the same. A User-Agent goes onto calls to token endpoints too, unless token_headers has one. Never a credential."`
	Override     []string          `yaml:"override_headers" eg:"[User-Agent]" doc:"Those of headers that replace what the caller sends, such as a User-Agent that an API asks for: n8n always sends one of its own."`
	Allow        []notation.Rule   `yaml:"allow" eg:"[\"GET /v1/**\", \"GET,POST /v1/files/*\", \"* /v1/models\"]" doc:"What may be called: METHOD[,METHOD] or *, then a path glob below the base path; * stays within a segment, ** spans segments. Absent: everything."`
	Limits       Limits            `yaml:"limits" doc:"Limits of this service, counted at each replica by itself. Absent: none."`
	Circuit      Circuit           `yaml:"circuit" doc:"When an API that cannot be connected to is not called for a moment. Responses of the API, whatever their status, have no part in it."`
	Timeouts     Timeouts          `yaml:"timeouts" doc:"Timeouts. There is none for the whole request: long responses stream as long as they move."`
	Connections  Connections       `yaml:"connections" doc:"How long connections to the API are used again. A shorter time that the API names itself (Keep-Alive: timeout=5) holds in any case."`
	AllowPrivate []netip.Prefix    `yaml:"allow_private" eg:"[10.1.2.3/32]" doc:"Addresses that are not public and may be dialled all the same. Everything else that is not public is refused."`
	Redirects    string            `yaml:"redirects" default:"refuse" enum:"refuse fetch" doc:"Redirects that leave the service: refuse them, or fetch the target without a credential and stream it."`
	FetchPrivate []netip.Prefix    `yaml:"fetch_private" eg:"[10.1.2.4/32]" doc:"Addresses that are not public and may be dialled to fetch such a redirect; allow_private is not about them. The gate's own listeners are never dialled."`
	Cookies      string            `yaml:"cookies" default:"strip" enum:"strip pass" doc:"Whether cookies pass between caller and API."`
	EncodedSlash bool              `yaml:"encoded_slash" default:"false" doc:"Let %2F through in the path, for APIs that use it inside identifiers."`
	DoubleSlash  bool              `yaml:"double_slash" default:"false" doc:"Let // through in the path, for APIs that take a whole URL in it, such as r.jina.ai/https://example.com. An allow rule has to match the path as it is, and with the slashes merged."`
	HTTP2        bool              `yaml:"http2" default:"false" doc:"Speak HTTP/2 to the upstream where it offers it."`
	Test         *Test             `yaml:"test" doc:"The call that service test makes."`
	_            struct{}          `yaml:"retry methods" later:"true"`
}

// Limits of one service. Zero is no limit.
type Limits struct {
	Rate        notation.Rate `yaml:"rate" eg:"50/s" doc:"Requests per second, minute or hour, at each replica: two replicas let twice as many through."`
	Burst       int           `yaml:"burst" eg:"100" min:"1" max:"1000000" doc:"How many requests may come at once within the rate. Default: one second's worth, at least 1."`
	Concurrency int           `yaml:"concurrency" eg:"20" min:"1" max:"1000000" doc:"Requests at one time."`
	Body        notation.Size `yaml:"body" eg:"2GiB" min:"1" doc:"The greatest request body."`
}

// Circuit says when a service's API is left alone for a moment.
type Circuit struct {
	Failures int           `yaml:"failures" default:"5" max:"1000" doc:"Failures to connect in a row (DNS, connection, TLS handshake) after which requests are answered with circuit_open. 0: never."`
	Pause    time.Duration `yaml:"pause" default:"1s" min:"100ms" max:"1h" doc:"How long until one request is let through to try again. It doubles each time that this fails."`
	Longest  time.Duration `yaml:"longest" default:"30s" min:"100ms" max:"1h" doc:"The longest such pause."`
}

// Timeouts of one service.
type Timeouts struct {
	Dial           time.Duration `yaml:"dial" default:"10s" min:"1ms" max:"10m" doc:"Resolve and connect."`
	TLS            time.Duration `yaml:"tls" default:"10s" min:"1ms" max:"10m" doc:"The TLS handshake."`
	ResponseHeader time.Duration `yaml:"response_header" default:"5m" min:"1ms" max:"24h" doc:"From the end of the request to the response's header."`
	Idle           time.Duration `yaml:"idle" default:"5m" min:"1ms" max:"24h" doc:"The longest pause within a response's body."`
	RequestIdle    time.Duration `yaml:"request_idle" default:"1m" min:"1ms" max:"24h" doc:"The longest pause within a request's body, while the gate waits for the caller; then the request ends with request_timeout."`
}

// Connections that are kept to an API.
type Connections struct {
	Idle time.Duration `yaml:"idle" default:"90s" min:"1s" max:"1h" doc:"How long a connection that no request uses is kept. Shorter than the API keeps it, or a request may meet one that the API is just closing."`
	Age  time.Duration `yaml:"age" default:"1m" min:"1s" max:"24h" doc:"How old a connection may be and still be given to a request. When the API's name gets another address, new requests go there within this time."`
}

// Test is a harmless call that shows whether the credential works.
type Test struct {
	Method string `yaml:"method" default:"GET" doc:"The method."`
	Path   string `yaml:"path" eg:"/v1/models" doc:"The path below the base path, with a query if need be."`
	Status []int  `yaml:"status" default:"200" min:"100" max:"599" doc:"The statuses that mean it works."`
}

// Token is what the configuration says of a proxy token. The token itself is made by token issue and never stands here.
type Token struct {
	Services []string       `yaml:"services" eg:"[openai, github]" doc:"The services it may call; [\"*\"] for all."`
	Methods  []string       `yaml:"methods" eg:"[GET, POST]" doc:"The methods it may use. Absent: all."`
	From     []netip.Prefix `yaml:"from" eg:"[10.0.0.0/8]" doc:"The networks it may come from. Absent: any."`
	Expires  time.Duration  `yaml:"expires" eg:"90d" min:"1m" doc:"The life of a generation. Absent: until revoked or rotated."`
	Rotate   *Rotate        `yaml:"rotate" doc:"Rotation by itself."`
}

// Rotate is the schedule of a token's rotation.
type Rotate struct {
	Every   time.Duration `yaml:"every" eg:"24h" min:"1m" doc:"How often a new generation is made."`
	Overlap time.Duration `yaml:"overlap" default:"1h" min:"1s" doc:"How long the old generation stays valid beside the new one. Shorter than every."`
	Push    *Push         `yaml:"push" doc:"Where the new value is written."`
}

// Push names the consumers of a token.
type Push struct {
	N8N *PushN8N `yaml:"n8n" doc:"A Header Auth credential in n8n."`
}

// PushN8N is one n8n and the Header Auth credential in it.
type PushN8N struct {
	URL        *url.URL   `yaml:"url" eg:"http://n8n-main:5678" doc:"n8n's base URL."`
	APIKey     secret.Ref `yaml:"api_key" eg:"ref+builtin://n8n-api-key" doc:"An API key of n8n with the scope credential:update, by reference."`
	Credential string     `yaml:"credential" eg:"Sallyport" doc:"The Header Auth credential's id or name."`
	Gate       *url.URL   `yaml:"gate" eg:"http://gate:8470" doc:"The gateway as n8n reaches it; the credential has to be locked to its host. Default: the gateway listener."`
	CAFile     string     `yaml:"ca_file" path:"file" eg:"./n8n-ca.pem" doc:"PEM certificates to trust for n8n instead of the system's."`
	CLI        []string   `yaml:"cli" free:"true" eg:"[docker, exec, n8n, n8n]" doc:"The n8n command, for n8n 1.x, whose API cannot update credentials."`
}
