package fault

import (
	"net/http"
	"time"
)

// Code names one kind of fault. The set is closed: the constants below are all there are.
type Code string

// Blame is the party that has to act.
type Blame string

// The parties. A code of the class "credential" is the operator's to mend, in the store or at the API's provider.
const (
	BlameNobody     Blame = ""
	BlameCaller     Blame = "caller"
	BlameCredential Blame = "credential"
	BlameUpstream   Blame = "upstream"
	BlameSallyport  Blame = "sallyport"
)

// The codes, in the order of the table.
const (
	TokenMissing          Code = "token_missing"
	TokenInvalid          Code = "token_invalid"
	TokenExpired          Code = "token_expired"
	TokenRevoked          Code = "token_revoked"
	ServiceUnknown        Code = "service_unknown"
	RequestDenied         Code = "request_denied"
	RequestMalformed      Code = "request_malformed"
	RateLimited           Code = "rate_limited"
	BodyTooLarge          Code = "body_too_large"
	RequestTimeout        Code = "request_timeout"
	ClientGone            Code = "client_gone"
	CredentialMissing     Code = "credential_missing"
	CredentialMintFailed  Code = "credential_mint_failed"
	CredentialRejected    Code = "credential_rejected"
	UpstreamDNS           Code = "upstream_dns"
	UpstreamRefused       Code = "upstream_refused"
	UpstreamTLS           Code = "upstream_tls"
	UpstreamTimeout       Code = "upstream_timeout"
	UpstreamReset         Code = "upstream_reset"
	UpstreamTruncated     Code = "upstream_truncated"
	UpstreamMalformed     Code = "upstream_malformed"
	RedirectRefused       Code = "redirect_refused"
	DestinationProhibited Code = "destination_prohibited"
	CircuitOpen           Code = "circuit_open"
	Upstream4xx           Code = "upstream_4xx"
	Upstream5xx           Code = "upstream_5xx"
	StoreUnavailable      Code = "store_unavailable"
	AuditUnavailable      Code = "audit_unavailable"
	Draining              Code = "draining"
	Overloaded            Code = "overloaded"
	SystemRefused         Code = "system_refused"
	Internal              Code = "internal"
)

// Row is one line of the taxonomy.
type Row struct {
	Code       Code
	Blame      Blame
	Status     int           // HTTP status of Sallyport's own response; 0: the upstream's status is passed through
	ProxyError string        // RFC 9209 section 2.3 error type; empty when the upstream answered
	RetryAfter time.Duration // default Retry-After; 0: none
	Exit       Exit          // exit code of a command that ends with this fault
	Meaning    string        // for docs/errors.md
	Hint       string        // what to do, when nothing nearer is known
}

// SlotStatus is Status for a request that carries a credential where the API's own key goes. What sends that is a
// client of the API, which knows 401 and not 407: fetch makes a network error of a 407 (Fetch Standard,
// HTTP-network-or-cache fetch), and the person who looks at n8n's AI nodes would never learn why.
func (r Row) SlotStatus() int {
	if r.Status == http.StatusProxyAuthRequired {
		return http.StatusUnauthorized
	}
	return r.Status
}

// Lookup returns the row of code; an unknown code is a programming error and reads as Internal.
func Lookup(code Code) Row {
	for i := range table {
		if table[i].Code == code {
			return table[i]
		}
	}
	return table[len(table)-1]
}

// Table returns a copy of the whole taxonomy, in order.
func Table() []Row { return append([]Row(nil), table[:]...) }

const (
	hintToken    = "check the Header Auth credential in n8n, or issue a token with `sallyport token issue`"
	hintExpired  = "make the next generation with `sallyport token rotate NAME`; `--push n8n` puts it into n8n"
	hintUpstream = "the API's side or the way to it; `sallyport service test NAME` makes one call"
)

//nolint:gochecknoglobals // the one table that everything else is generated from; never written to
var table = [...]Row{
	{
		TokenMissing, BlameCaller, 407, "http_request_denied", 0, ExitError, "The request carries no proxy token.",
		"send the token in X-Sallyport-Token, Proxy-Authorization, or where the API's own key would go",
	},
	{
		TokenInvalid, BlameCaller, 407, "http_request_denied", 0, ExitError,
		"The proxy token is unknown, malformed, or contradicts another one in the same request.", hintToken,
	},
	{
		TokenExpired, BlameCaller, 407, "http_request_denied", 0, ExitError,
		"The proxy token, or this generation of it, is past its time.", hintExpired,
	},
	{TokenRevoked, BlameCaller, 407, "http_request_denied", 0, ExitError, "The proxy token was revoked.", hintToken},
	{
		ServiceUnknown, BlameCaller, 404, "destination_not_found", 0, ExitError,
		"No service of this name is configured.",
		"`sallyport service list` shows the names; the path is /s/<service>/…",
	},
	{
		RequestDenied, BlameCaller, 403, "http_request_denied", 0, ExitError,
		"The token or the service's allow rules do not permit this request.",
		"`sallyport service explain NAME METHOD PATH --token ID` says which rule decides",
	},
	{
		RequestMalformed, BlameCaller, 400, "http_request_error", 0, ExitError,
		"The request is ambiguous or malformed, and was refused before anything was resolved or dialled.",
		"send an origin-form path without dot segments, encoded slashes or doubled headers",
	},
	{
		RateLimited, BlameCaller, 429, "http_request_denied", time.Second, ExitError,
		"The service's rate or concurrency limit at this replica is reached; each replica counts by itself.",
		"wait for Retry-After, or raise `limits` of the service",
	},
	{
		BodyTooLarge, BlameCaller, 413, "http_request_error", 0, ExitError,
		"The request body is larger than the service allows.", "raise `limits.body` of the service",
	},
	{
		RequestTimeout, BlameCaller, 408, "http_request_error", 0, ExitError,
		"The request body stopped in the middle for longer than the service allows.",
		"look at the caller and the network before it, or raise `timeouts.request_idle` of the service",
	},
	{
		ClientGone, BlameCaller, 499, "", 0, ExitError,
		"The caller closed the connection before the response was complete.", "look at the caller's own time-out",
	},
	{
		CredentialMissing, BlameCredential, 503, "proxy_configuration_error", 0, ExitError,
		"The service's credential is not available: the secret does not exist, or cannot be used as it is.",
		"`sallyport secret list` shows what is held; `sallyport secret set NAME` sets it",
	},
	{
		CredentialMintFailed, BlameCredential, 503, "proxy_internal_error", 5 * time.Second, ExitError,
		"The provider refused to issue a derived token.", "check the client credential at the provider",
	},
	{
		CredentialRejected, BlameCredential, 0, "", 0, ExitError,
		"The API refused the credential (401): passed through, and counted here. Or the provider refuses to go on " +
			"with a consent, so that there is no token: answered with 503.",
		"the key may be dead at the API's provider: set a new one with `sallyport secret set NAME`",
	},
	{
		UpstreamDNS, BlameUpstream, 502, "dns_error", 5 * time.Second, ExitError,
		"The API's host name could not be resolved.", hintUpstream,
	},
	{
		UpstreamRefused, BlameUpstream, 502, "connection_refused", 5 * time.Second, ExitError,
		"The API's address refused the connection or could not be reached.", hintUpstream,
	},
	{
		UpstreamTLS, BlameUpstream, 502, "tls_certificate_error", 0, ExitError,
		"The TLS handshake with the API failed, or its certificate is not trusted.",
		"set `ca_file` of the service for a private CA",
	},
	{
		UpstreamTimeout, BlameUpstream, 504, "http_response_timeout", 5 * time.Second, ExitError,
		"The API did not connect, answer or go on in time.",
		"raise `timeouts` of the service, or ask the API's operator",
	},
	{
		UpstreamReset, BlameUpstream, 502, "connection_terminated", time.Second, ExitError,
		"The API closed the connection in the middle.", hintUpstream,
	},
	{
		UpstreamTruncated, BlameUpstream, 502, "http_response_incomplete", 0, ExitError,
		"The API's response ended short; the caller's connection was broken off so that it cannot pass for whole.",
		hintUpstream,
	},
	{
		UpstreamMalformed, BlameUpstream, 502, "http_protocol_error", 0, ExitError,
		"The API's response is not valid HTTP, or is in a content coding that cannot be checked.", hintUpstream,
	},
	{
		RedirectRefused, BlameUpstream, 502, "http_request_denied", 0, ExitError,
		"The API answered with a redirect that leaves the service.",
		"set `redirects: fetch` of the service to let the gate fetch such targets without a credential",
	},
	{
		DestinationProhibited, BlameUpstream, 502, "destination_ip_prohibited", 0, ExitError,
		"The API's name resolves to an address that is not public and not named in `allow_private`.",
		"name the address in `allow_private` of the service if it is yours",
	},
	{
		CircuitOpen, BlameUpstream, 503, "destination_unavailable", 10 * time.Second, ExitError,
		"The API could not be connected to several times in a row, and is not called for a moment.",
		"see why it cannot be reached: `sallyport service test NAME`; `circuit` of the service sets when this happens",
	},
	{
		Upstream4xx, BlameUpstream, 0, "", 0, ExitError,
		"The API answered with a 4xx status: passed through untouched.",
		"read the API's own response",
	},
	{
		Upstream5xx, BlameUpstream, 0, "", 0, ExitError,
		"The API answered with a 5xx status: passed through untouched.",
		"read the API's own response",
	},
	{
		StoreUnavailable, BlameSallyport, 503, "proxy_internal_error", 5 * time.Second, ExitStore,
		"The store that holds the secret cannot be read, or is sealed; or this replica could not learn for " +
			"revocation.max_stale which tokens were revoked.",
		"`/readyz` on the admin listener names the part; check the store and the seal key",
	},
	{
		AuditUnavailable, BlameSallyport, 503, "proxy_internal_error", 5 * time.Second, ExitError,
		"The audit log cannot be written, so nothing may leave.",
		"free the disk or restore the log file, see docs/audit.md",
	},
	{
		Draining, BlameSallyport, 503, "proxy_internal_response", 2 * time.Second, ExitError,
		"This Sallyport is stopping and takes no new requests.",
		"retry: another replica or the restarted one will answer",
	},
	{
		Overloaded, BlameSallyport, 503, "proxy_internal_response", time.Second, ExitError,
		"More requests are in flight than this Sallyport is allowed.", "retry later, or raise `limits.in_flight`",
	},
	{
		SystemRefused, BlameSallyport, 503, "proxy_internal_error", time.Second, ExitError,
		"The machine beneath Sallyport did not give it what it needs: file descriptors, ports, memory, room on the " +
			"disk, or leave to connect.",
		"`details` of Proxy-Status says what was missing",
	},
	{
		Internal, BlameSallyport, 500, "proxy_internal_error", 0, ExitError, "Something inside Sallyport went wrong.",
		"look up the request id in Sallyport's log",
	},
}
