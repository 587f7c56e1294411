package alerts

import "time"

// job finds the targets that are gates. One job is one Sallyport, with all of its replicas.
const job = `job=~"sallyport.*"`

// gate is about Sallyport itself.
func gate() []Alert {
	return []Alert{
		{
			Name: "SallyportDown", Severity: Critical, For: 2 * time.Minute,
			Expr: `max by (job) (up{` + job + `}) == 0
or absent(up{` + job + `})`,
			Summary: "no Sallyport answers: n8n's calls fail",
			Detail: "No replica's /metrics answers, or Prometheus has no target for one. Whether the gateway still " +
				"answers n8n, a " +
				"probe from n8n's network tells.",
			Datadog: `"sallyport.openmetrics.health".over("*").by("*").last(4).count_by_status()`,
		},
		{
			Name: "SallyportReplicaDown", Severity: Warning, For: 5 * time.Minute,
			Expr:    `up{` + job + `} == 0 and on (job) max by (job) (up{` + job + `}) == 1`,
			Summary: "a replica of Sallyport does not answer ({{ $labels.instance }})",
			Detail:  "The others serve. A revocation waits for this one until revocation.max_stale has passed.",
		},
		{
			Name: "SallyportSealed", Severity: Critical, For: 2 * time.Minute,
			Expr:    `sallyport_build_info unless on (job, instance) sallyport_audit_healthy`,
			Summary: "a Sallyport runs sealed ({{ $labels.instance }})",
			Detail:  "Its database or its seal key cannot be opened, so it answers every call with store_unavailable.",
		},
		{
			Name: "SallyportAuditUnhealthy", Severity: Critical, For: time.Minute,
			Expr:    `sallyport_audit_healthy == 0`,
			Summary: "the audit log of {{ $labels.instance }} cannot be written",
			Detail:  "Nothing leaves without a record: this replica refuses every call until the log can be written.",
			Datadog: `max(last_5m):min:sallyport.audit_healthy{*} by {host} < 1`,
		},
		{
			Name: "SallyportAuditSinkBehind", Severity: Warning, For: 5 * time.Minute,
			Expr:    `sallyport_audit_sink_behind_seconds > <#10m> or sallyport_audit_sink_gap_records > 0`,
			Summary: "the audit sink {{ $labels.sink }} of {{ $labels.instance }} does not have all of the log",
			Detail: "Requests are served and on record in the file. The receiver takes nothing, or too little; or " +
				"files were removed before it had them, which no waiting mends.",
			Datadog: `min(last_10m):max:sallyport.audit_sink_behind_seconds{*} by {sink,host} > 600`,
		},
		{
			Name: "SallyportStoreAway", Severity: Warning, For: 5 * time.Minute,
			Expr:    `min by (job, store) (sallyport_store_up) == 0`,
			Summary: "the store {{ $labels.store }} does not answer",
			Detail: "Sallyport serves what it read last, up to max_stale of the store, and cannot learn of new " +
				"versions. A gate " +
				"that starts now has none of its secrets.",
			Datadog: `max(last_10m):min:sallyport.store_up{*} by {store} < 1`,
		},
		{
			Name: "SallyportReplicaBehind", Severity: Warning, For: time.Minute,
			Expr:    `sallyport_tokens_stale_seconds > 10`,
			Summary: "{{ $labels.instance }} does not confirm changes",
			Detail: "It cannot read and write the database, so that it does not learn which tokens were revoked. At " +
				"revocation.max_stale it accepts no token.",
			Datadog: `min(last_5m):max:sallyport.tokens_stale_seconds{*} by {host} > 10`,
		},
		{
			Name: "SallyportDatabaseAltered", Severity: Critical, For: 0,
			Expr:    `max by (job, table) (sallyport_database_rows_refused) > 0 or min by (job, table) (sallyport_database_list_trusted) == 0`,
			Summary: "rows of {{ $labels.table }} in the database are not as Sallyport has written them",
			Detail:  "Another process writes to the database, or an older one was put back. The rows do not count.",
			Datadog: `max(last_5m):max:sallyport.database_rows_refused{*} by {table} > 0`,
		},
	}
}

// parts are about what the gate is made of.
func parts() []Alert {
	return []Alert{
		{
			Name: "SallyportConfigRefused", Severity: Warning, For: 5 * time.Minute,
			Expr:    `sallyport_config_last_reload_successful == 0`,
			Summary: "{{ $labels.instance }} has refused the configuration on disk",
			Detail:  "The configuration before it stays active. A gate that starts now would not.",
			Datadog: `max(last_10m):min:sallyport.config_last_reload_successful{*} by {host} < 1`,
		},
		{
			Name: "SallyportDegraded", Severity: Warning, For: 15 * time.Minute,
			Expr:    `sallyport_degraded{part!~"store .*|token of .*|rows of .*|audit sink .*|database"} == 1`,
			Summary: "{{ $labels.instance }} serves without a part: {{ $labels.part }}",
			Detail:  "What can be served is served. /readyz says why, and what to do.",
			Datadog: `min(last_15m):max:sallyport.degraded{*} by {part} > 0`,
		},
		{
			Name: "SallyportPanics", Severity: Warning, For: 0,
			Expr:    `increase(sallyport_panics_total[<15m>]) > 0`,
			Summary: "{{ $labels.instance }} met a mistake of its own",
			Detail:  "One request or task ended in a panic, and the gate went on. The log has it; please report it.",
			Datadog: `sum(last_15m):sum:sallyport.panics.count{*}.as_count() > 0`,
		},
	}
}

// nodes are about n8n's own nodes, as sallyport watch sees them.
func nodes() []Alert {
	return []Alert{
		{
			Name: "SallyportMasterKeyMismatch", Severity: Critical, For: 0,
			Expr: `min by (job, node) (sallyport_n8n_key_match) == 0
or sum by (job, node) (increase(sallyport_n8n_problems_total{problem=~"key_mismatch|key_missing"}[<15m>])) > 0`,
			Summary: "the n8n node {{ $labels.node }} does not have the right master key",
			Detail: "It does not start, or every workflow on it that uses a credential of n8n fails. The other nodes " +
				"work.",
			Datadog: `max(last_5m):min:sallyport.n8n_key_match{*} by {node} < 1`,
		},
		{
			Name: "SallyportN8NCredential", Severity: Warning, For: 0,
			Expr: `sum by (job, node, problem) (increase(sallyport_n8n_problems_total{` +
				`problem=~"credential_undecryptable|credential_missing"}[<15m>])) > 0`,
			Summary: "n8n cannot use one of its own credentials on {{ $labels.node }}: {{ $labels.problem }}",
			Detail: "That is n8n's, and neither the API's nor Sallyport's: the execution failed before it called " +
				"anything. On one node alone, it has another master key.",
			Datadog: `sum(last_15m):sum:sallyport.n8n_problems.count{problem IN ` +
				`(credential_undecryptable,credential_missing)} by {node}.as_count() > 0`,
		},
		{
			Name: "SallyportN8NLogAway", Severity: Warning, For: 10 * time.Minute,
			Expr:    `sallyport_n8n_log_readable == 0`,
			Summary: "the log of the n8n node {{ $labels.node }} cannot be read",
			Detail:  "Nothing is known of what n8n says there. Calls through Sallyport are not touched.",
			Datadog: `max(last_10m):max:sallyport.n8n_log_readable{*} by {node} < 1`,
		},
	}
}

// credentials are about what Sallyport holds, and what n8n holds.
func credentials() []Alert {
	return []Alert{
		{
			Name: "SallyportCredentialDead", Severity: Critical, For: 2 * time.Minute,
			Expr:    `min by (job, service) (sallyport_credential_valid) == 0`,
			Summary: "the credential of {{ $labels.service }} does not work",
			Detail:  "There is none, or the API refused it the last time. No other service is concerned.",
			Datadog: `max(last_5m):min:sallyport.credential_valid{*} by {service} < 1`,
		},
		{
			Name: "SallyportCredentialDying", Severity: Warning, For: 10 * time.Minute,
			Expr:    `min by (job, service) (sallyport_derived_token_healthy) == 0`,
			Summary: "the token of {{ $labels.service }} cannot be refreshed",
			Detail: "Calls go on until the active token expires (sallyport_derived_token_expiry_seconds), and fail " +
				"from then on. " +
				"It is tried again by itself.",
			Datadog: `max(last_10m):min:sallyport.derived_token_healthy{*} by {service} < 1`,
		},
		{
			Name: "SallyportCredentialExpiring", Severity: Warning, For: 0,
			Expr:    `min by (job, service) (sallyport_credential_expiry_timestamp_seconds) - time() < <#14d>`,
			Summary: "the credential of {{ $labels.service }} expires within 14 days",
			Detail: "The API, or the client certificate, says when. From then on every call of the service fails. No " +
				"call fails yet.",
		},
		{
			Name: "SallyportProbeFailing", Severity: Warning, For: 5 * time.Minute,
			Expr:    `max by (job, service) (sallyport_probe_success) == 0`,
			Summary: "the probe of {{ $labels.service }} fails",
			Detail: "The test call that Sallyport makes by itself does not get what it expects: the API is away, " +
				"refuses the credential, or responds in another way. Workflows may not have met it yet.",
			Datadog: `max(last_10m):max:sallyport.probe_success{*} by {service} < 1`,
		},
		{
			Name: "SallyportTokenExpiring", Severity: Critical, For: 0,
			Expr: `max by (job, token) (sallyport_token_expiry_seconds) < <#1d>
and max by (job, token) (sallyport_token_expiry_seconds)
  < 0.2 * max by (job, token) (sallyport_token_age_seconds + sallyport_token_expiry_seconds)`,
			Summary: "the proxy token {{ $labels.token }} expires soon, or has expired",
			Detail:  "When it has expired, every call of n8n with it is refused.",
			Datadog: `max(last_5m):max:sallyport.token_expiry_seconds{*} by {token} < 86400`,
		},
		{
			Name: "SallyportTokenOverdue", Severity: Warning, For: 5 * time.Minute,
			Expr:    `time() - max by (job, token) (sallyport_rotation_due_timestamp_seconds) > <#10m>`,
			Summary: "the proxy token {{ $labels.token }} is overdue for rotation",
			Detail: "Its schedule said so ten minutes ago, and it has not been rotated. The token works until it " +
				"expires.",
		},
		{
			Name: "SallyportTokenRotationFailing", Severity: Warning, For: 0,
			Expr: `sum by (job, token) (increase(sallyport_rotation_failed_total[<2h>])) > 0
and time() > max by (job, token) (sallyport_rotation_due_timestamp_seconds)`,
			Summary: "rotating the proxy token {{ $labels.token }} fails",
			Detail:  "No token was revoked: the old one works until it expires. It is tried again by itself.",
		},
		{
			Name: "SallyportRotationStuck", Severity: Warning, For: 0,
			Expr:    `time() - min by (job, token) (sallyport_rotation_began_timestamp_seconds) > <#15m>`,
			Summary: "a rotation of the proxy token {{ $labels.token }} does not go on",
			Detail:  "It was broken off between making the new generation and retiring the old one. Both are accepted.",
		},
	}
}
