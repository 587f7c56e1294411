package config

import (
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"sallyport/internal/secret"
)

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
	Allow        []Rule            `yaml:"allow" eg:"[\"GET /v1/**\", \"GET,POST /v1/files/*\", \"* /v1/models\"]" doc:"What may be called: METHOD[,METHOD] or *, then a path glob below the base path; * stays within a segment, ** spans segments. Absent: everything."`
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
	Test         *Test             `yaml:"test" doc:"The call that service test makes, and that probes make."`
	Probe        ServiceProbe      `yaml:"probe" doc:"How this service is probed, where that differs from probes."`
	_            struct{}          `yaml:"retry methods" later:"true"`
}

// Limits of one service. Zero is no limit.
type Limits struct {
	Rate        Rate `yaml:"rate" eg:"50/s" doc:"Requests per second, minute or hour, at each replica: two replicas let twice as many through."`
	Burst       int  `yaml:"burst" eg:"100" min:"1" max:"1000000" doc:"How many requests may come at once within the rate. Default: one second's worth, at least 1."`
	Concurrency int  `yaml:"concurrency" eg:"20" min:"1" max:"1000000" doc:"Requests at one time."`
	Body        Size `yaml:"body" eg:"2GiB" min:"1" doc:"The greatest request body."`
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

	Expires Expires `yaml:"expires" doc:"Where the response says when the credential expires; sallyport_credential_expiry_timestamp_seconds tells it. A date (2026-12-31), a date with a time, or Unix time."`
}

// Expires is where a response says when the credential expires: one of the two, or neither.
type Expires struct {
	Header  string `yaml:"header" eg:"GitHub-Authentication-Token-Expiration" doc:"A header of the response."`
	Pointer string `yaml:"pointer" eg:"/expires_at" doc:"A member of the response's JSON body (RFC 6901)."`
}

// ServiceProbe says how one service is probed.
type ServiceProbe struct {
	Every time.Duration `yaml:"every" eg:"1h" min:"1m" max:"168h" doc:"How often, instead of probes.every."`
	Off   bool          `yaml:"off" default:"false" doc:"Never, whatever probes.every says."`
}

// surroundings are the service as the settings of its credentials see it.
func (s *Service) surroundings() Surroundings {
	return Surroundings{s.Upstream, s.TLS != nil, s.Headers, s.AllowPrivate}
}

// Placements returns the service's credentials as a list: one, or several.
func (s *Service) Placements() []Credential {
	if len(s.Credentials) > 0 {
		return s.Credentials
	}
	return []Credential{s.Credential}
}

// Refs returns every reference of the service: of its credentials, client certificate and proxy.
func (s *Service) Refs() []secret.Ref {
	var out []secret.Ref
	if s.TLS != nil {
		out = appendRefs(out, reflect.ValueOf(s.TLS).Elem())
	}
	if !s.ProxySecret.IsZero() {
		out = append(out, s.ProxySecret)
	}
	if len(s.Credentials) == 0 {
		return s.Credential.appendRefs(out)
	}
	for i := range s.Credentials {
		out = s.Credentials[i].appendRefs(out)
	}
	return out
}

// eachCredential calls do for the service's credentials, with the key of each. key is the service's.
func (s *Service) eachCredential(key string, do func(cred *Credential, at string)) {
	if len(s.Credentials) == 0 {
		do(&s.Credential, key+".credential")
		return
	}
	for i := range s.Credentials {
		do(&s.Credentials[i], key+".credentials."+strconv.Itoa(i))
	}
}
