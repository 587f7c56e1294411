package monitor

// The metrics that count what happens.
//
//nolint:gochecknoglobals // declarations, never written to
var (
	requestsTotal = counter("requests_total",
		"Requests by service, outcome (ok or a code of docs/errors.md) and the party to blame.",
		"The availability of Sallyport, of each API and of each credential: `blame` says who has to act.",
		labelCalled, labelOutcome, labelBlame)
	gateDuration = histogram("gate_duration_seconds",
		"Time spent in Sallyport, without waiting for the API or the caller.",
		"What the gate adds to each call. When it grows, look at the machine's processor and the disk of the audit "+
			"log.",
		0.00005, labelCalled)
	upstreamDuration = histogram("upstream_duration_seconds",
		"Time spent waiting for the API, over the whole response.",
		"How slow an API is, whatever the gate does. `timeouts` of the service ends what takes too long.",
		0.001, labelCalled)
	bodyBytes = counter("body_bytes_total", "Bytes of bodies by direction: request or response.",
		"How much goes to and from each API.", labelCalled, labelDirection)
	scrubbed = counter("scrubbed_total", "Held secrets taken out of responses.",
		"Above 0, the API echoes its key: tell its operator. The gate has masked it.", labelCalled)
	inFlight = gauge("in_flight_requests", "Requests being served.",
		"Compare it with `limits.in_flight`; beyond that, requests are answered with `overloaded`.")
	resentTotal = counter("resent_requests_total",
		"Requests that were sent once more, by service and why: expired (with a newer token), or challenge (as the "+
			"API "+
			"asks for, Digest).",
		"If `expired` is frequent, the API ends tokens before the time it has told: shorten it with `expires_in`.",
		labelCalled, labelWhy)
	notResentTotal = counter("not_resent_requests_total",
		"Requests of which the API said that the credential has expired, and that could not be sent once more: the "+
			"body was too large to be kept, or there was no newer token.",
		"n8n has seen these errors: run such executions again, and look why there was no newer token "+
			"(`sallyport service list`).",
		labelCalled)
	mintedTotal = counter("derived_token_minted_total",
		"Tokens that were obtained from a token endpoint, by service (service/N for its Nth credential).",
		"Each is a use of the client's secret. A rate far above the lifetime of a token is a provider that ends "+
			"them "+
			"early.", labelDerived)
	mintFailedTotal = counter("derived_token_failed_total",
		"Attempts to have a token that failed, by service and code of docs/errors.md.",
		"The active token works until it expires: mend it before. `code` and the log say what the provider answered.",
		labelDerived, labelCode)
	mintDuration = histogram("derived_token_mint_duration_seconds", "Time that token endpoints took.",
		"How slow a token endpoint is; a request waits for it only where there is no token yet.",
		0.001, labelDerived)
	panicsTotal = counter("panics_total",
		"Panics that ended a connection, a request, an attempt to mint a token or a run of a background task: "+
			"mistakes "+
			"in Sallyport. The log has each of them.",
		"Has to be 0. Report what the log says of it.")
	serverErrorsTotal = counter("http_server_errors_total",
		"What went wrong before there was a request, by listener and kind: panic, tls, accept, refused, write or "+
			"other. The log has a line for it once a minute.",
		"`tls`: most often a client does not trust the CA. `accept`: no file descriptors are left. `refused`: who "+
			"speaks to the admin listener speaks no proper HTTP; what comes to the gateway is in the audit log.",
		labelListener, labelKind)
	connectionsClosedTotal = counter("connections_closed_total",
		"Connections to the gateway that a limit closed: of one source without a valid token (source), of all "+
			"(total), or new ones while every other was in a request (refused).",
		"Find the source in the log, or raise `limits.connections` and `limits.connections_per_source`. `admin_…` "+
			"is "+
			"the admin listener, which takes 256.", labelLimit)
	rotationFailedTotal = counter("rotation_failed_total",
		"Rotations of a proxy token by its schedule that failed.",
		"The old token works still, until it expires: the log says why, `sallyport rotation list` where it "+
			"stands.", labelToken)
	buildInfo = gauge("build_info", "Always 1; the version is a label.",
		"Which versions run: `count by (version) (sallyport_build_info)`.", labelVersion)
)

// The metrics that State fills when Prometheus asks.
//
//nolint:gochecknoglobals // declarations, never written to
var (
	TokenAge = gauge("token_age_seconds",
		"Age of the current generation of a proxy token, or of the last when that has expired.",
		"How long a leaked token would have been of use.", labelToken)
	TokenExpiry = gauge("token_expiry_seconds",
		"Seconds until the current generation of a proxy token expires, negative when the last one has; absent when "+
			"no end is set.",
		"Rotate it before it is 0.", labelToken)
	TokenLastUsed = gauge("token_last_used_timestamp_seconds",
		"When a generation of a proxy token was last used, as Unix time.",
		"After a rotation: the old generation is dead when its time stands still.", labelToken, labelGeneration)
	RotationLast = gauge("rotation_last_success_timestamp_seconds",
		"When the last generation of a proxy token with a schedule was made, as Unix time.",
		"When the schedule last worked.", labelToken)
	RotationDue = gauge("rotation_due_timestamp_seconds",
		"When a proxy token with a schedule is due for rotation, as Unix time; absent while it is revoked.",
		"Some seconds after that time the schedule rotates it. When it stays in the past, rotating fails.", labelToken)
	RotationBegan = gauge("rotation_began_timestamp_seconds",
		"When the unfinished rotation of a proxy token began, as Unix time; absent when there is none.",
		"A rotation takes seconds. `sallyport rotation list` says where one stands that does not go on.", labelToken)
	Degraded = gauge("degraded", "1 while a part is away and the gate serves without it, else 0.",
		"`/readyz` says why, and what to do.", labelPart)
	TokensStale = gauge("tokens_stale_seconds",
		"Time since this gate last knew every revocation; at revocation.max_stale it accepts no token.",
		"The gate cannot read or write the database.")
	CredentialValid = gauge("credential_valid",
		"1 when a service has a usable credential, if only the last known good, and the API did not refuse it "+
			"the last time, else 0.",
		"Put a working key into the store.",
		labelService)
	CircuitOpen = gauge("circuit_open",
		"1 since the last attempts to connect to a service's API failed and until one succeeds, so that it is "+
			"called "+
			"no more than now and then; else 0.",
		"The API cannot be reached from here: DNS, network, or the API's side. `sallyport service test NAME`.",
		labelService)
	UpstreamUp = gauge("upstream_up",
		"1 when the API of a service gave a response to the last probe, whatever it says of the credential, 0 when "+
			"it could not be reached or said 5xx; absent while no probe has shown it.",
		"At 0, look at the API's status page and at `sallyport service test NAME`. n8n's calls fail, too, or will.",
		labelService)
	ProbeSuccess = gauge("probe_success",
		"1 when the last probe of a service got what its test call expects, else 0; absent while no probe has shown "+
			"it.",
		"`sallyport service list` says what the probe got.", labelService)
	ProbeLast = gauge("probe_last_timestamp_seconds",
		"When a service was last probed, by whichever replica, as Unix time.",
		"When it falls behind `probes.every` (an hour for a credential that was refused), the database is away, "+
			"or more probes hang than there is room for.",
		labelService)
	CredentialExpiry = gauge("credential_expiry_timestamp_seconds",
		"When the credential of a service expires, as Unix time: as the API said to the last probe that worked "+
			"(`test.expires`), or the client certificate, whichever is first; absent when neither is known.",
		"`(sallyport_credential_expiry_timestamp_seconds - time()) / 86400` is the days that are left. Make a new key "+
			"before.", labelService)
	ProbesTotal = counter("probes_total", "Probes that this process made, by what they have shown.",
		"`not made`: the gate did not let the call out, by the service's own limits or since it fails itself.",
		labelVerdict)
	AuditHealthy = gauge("audit_healthy", "1 when the audit log can be written, else 0.",
		"Nothing leaves without a record, so every "+
			"request is refused.")
	AuditRecords = gauge("audit_records", "Records in the audit log.",
		"Some 900 bytes each: see how fast the disk fills. `audit.rotate` and `audit.keep` bound it.")
	AuditSummarised = counter("audit_summarised_refusals_total",
		"Refused requests that were counted in a summary in place of a record each: they came faster than such "+
			"requests may write.",
		"Someone sends many requests without a token: the summaries in the audit log say from where.")
	AuditPending = gauge("audit_unanchored_records", "Records since the last signed checkpoint.",
		"What a thief of the audit key could cut off unseen. It goes back to 0 with each checkpoint "+
			"(`audit.checkpoint`).")
	SinkBehind = gauge("audit_sink_behind_records", "Records of the audit log that a sink does not have yet.",
		"Nothing is lost while the files are there: keep `audit.keep` longer than a receiver may be away.", labelSink)
	SinkLag = gauge("audit_sink_behind_seconds",
		"How long the record has waited that waits longest for a sink; 0 when the sink has everything.",
		"When it grows, the receiver takes nothing, or too little: `sallyport audit sinks` says why.", labelSink)
	SinkShipped = counter("audit_sink_shipped_total", "Records that a sink has taken from this process.",
		"How much goes to a receiver. After a restart the last batch may be counted again.", labelSink)
	SinkFailures = counter("audit_sink_failures_total", "Attempts to ship to a sink that failed.",
		"`/readyz` and the log say why. It is tried again by itself, at least once a minute.", labelSink)
	SinkSkipped = gauge("audit_sink_gap_records",
		"Records that a sink never gets: no file had them any more when it was their turn.",
		"The log and an `audit.sink.gap` record name them. Keep files longer (`audit.keep`).", labelSink)
	DerivedExpiry = gauge("derived_token_expiry_seconds",
		"Seconds until the active token of a service expires; absent when there is none. It is refreshed before.",
		"If it falls below a tenth of its lifetime, refreshing fails: see `sallyport_derived_token_healthy`.",
		labelDerived)
	DerivedHealthy = gauge("derived_token_healthy",
		"1 when the last attempt to have a token of a service went well, or none was needed yet, else 0.",
		"At 0 while there is an active token, the credential dies when that expires: `sallyport service list` says "+
			"why.", labelDerived)
	StoreUp = gauge("store_up", "1 when a secret store answered the last time it was asked, else 0.",
		"Secrets in memory stay active up to `max_stale`.",
		labelStore)
	StoreLast = gauge("store_last_success_timestamp_seconds",
		"When a secret store last answered, as Unix time; absent when it never did.",
		"Since when a store is away.", labelStore)
	SecretStale = gauge("secret_stale_seconds",
		"Age of the last confirmation of the secret that waits longest for one; 0 when the store confirms all.",
		"At `max_stale` of the store, its secrets are no longer used.", labelStore)
	RowsRefused = gauge("database_rows_refused",
		"Rows of a table that are gone, or left out since Sallyport has not written them so; above 0 another "+
			"process "+
			"writes to the database, or an older one was put back.",
		"`sallyport database check` names the rows.",
		labelTable)
	DatabaseTrusted = gauge("database_list_trusted",
		"1 when the database's own list of a table's rows is whole and not older than one that was seen before, "+
			"else "+
			"0.",
		"At 0 an older database was put back, or a part of one: see operations.md, Restore.", labelTable)
	SecretRotationLast = gauge("secret_rotation_last_success_timestamp_seconds",
		"When a run of a rotation was last done, as Unix time; absent before the first.",
		"An alert on its age finds a rotation that does not happen.", labelRotation)
	SecretRotationState = gauge("secret_rotation_state",
		"1 for how a rotation stands: the state of its newest run, or that none has begun.",
		"`waiting`: someone still uses the old value; `stuck`: a person has to look; `approval`: a run is due, and "+
			"people have to approve. `sallyport rotation status` says more.", labelRotation, labelState)
	SecretRotationConsumers = gauge("secret_rotation_waiting_consumers",
		"Workflows and tokens that have used the old version of a rotation's secret and not the new one; the old key "+
			"is kept for them.",
		"`sallyport rotation status` names them: run each, or restart it.", labelRotation)
	SecretRotationBegan = gauge("secret_rotation_began_timestamp_seconds",
		"When the unfinished run of a rotation began, as Unix time; absent when there is none.",
		"Until the new version is current a run takes minutes, and after that at least the grace time.",
		labelRotation)
	SecretRotationDue = gauge("secret_rotation_due_timestamp_seconds",
		"When a rotation with a schedule is due, as Unix time; it stays in the past until a run has begun that was "+
			"not taken back.",
		"An alert on the past finds what does not begin. Until the first run it is known soon after the start.",
		labelRotation)
	SecretRotationFailing = gauge("secret_rotation_failing",
		"1 while this gate could not begin a run of a rotation, or go on with it, and tries again, else 0.",
		"`sallyport rotation status` says why.", labelRotation)
	SecretRotationRuns = counter("secret_rotation_runs_total", "Runs of a rotation that this process ended, by how.",
		"`rolled back`: the old value stays current, and the next attempt is made later.", labelRotation, labelResult)
	RotationNotices = counter("rotation_notices_total",
		"Notices of a rotation of a secret to its webhooks, by what became of them.",
		"`dropped`: the webhook refused it, or took nothing for too long. The log says why, once for each outage.",
		labelRotation, labelDelivery)
	TraceSpans = counter("trace_spans_total", "Spans of traces, by what became of them; absent while tracing is off.",
		"`dropped`: the queue was full; `failed`: the receiver did not take them. Requests are not concerned.",
		labelSpans)
	ConfigValid = gauge("config_last_reload_successful",
		"1 when the active configuration is the one on disk, else 0: the last load was refused.",
		"`sallyport config check` says why.")
	ConfigLoaded = gauge("config_last_reload_success_timestamp_seconds",
		"When a configuration was last activated, as Unix time.",
		"Whether a change has reached every replica.")
)

// Group is metrics that belong together, for docs/metrics.md.
type Group struct {
	Name    string
	Metrics []*Metric
}

// Groups are all metrics of ours, in the order of docs/metrics.md.
func Groups() []Group {
	return []Group{
		{"Requests", []*Metric{
			requestsTotal, gateDuration, upstreamDuration, inFlight, bodyBytes, scrubbed, resentTotal, notResentTotal,
		}},
		{"APIs and their credentials", []*Metric{
			CredentialValid, UpstreamUp, ProbeSuccess, ProbeLast, CredentialExpiry, ProbesTotal, CircuitOpen,
			DerivedHealthy, DerivedExpiry, mintedTotal, mintFailedTotal, mintDuration,
		}},
		{"Proxy tokens", []*Metric{
			TokenAge, TokenExpiry, TokenLastUsed, TokensStale, RotationLast, RotationDue, RotationBegan,
			rotationFailedTotal,
		}},
		{"Rotations of secrets", []*Metric{
			SecretRotationState, SecretRotationConsumers, SecretRotationBegan, SecretRotationDue, SecretRotationLast,
			SecretRotationFailing, SecretRotationRuns, RotationNotices,
		}},
		{"Stores and the database", []*Metric{StoreUp, StoreLast, SecretStale, RowsRefused, DatabaseTrusted}},
		{"The audit log", []*Metric{
			AuditHealthy, AuditRecords, AuditPending, AuditSummarised, SinkBehind, SinkLag, SinkShipped, SinkFailures,
			SinkSkipped,
		}},
		{"The gate itself", []*Metric{
			Degraded, ConfigValid, ConfigLoaded, panicsTotal, serverErrorsTotal, connectionsClosedTotal,
			TraceSpans, buildInfo,
		}},
	}
}

// Catalogue are all metrics of ours.
func Catalogue() []*Metric {
	var all []*Metric
	for _, g := range Groups() {
		all = append(all, g.Metrics...)
	}
	return all
}
