package alerts

import "time"

// rotations are about secrets that Sallyport replaces.
func rotations() []Alert {
	return []Alert{
		{
			Name: "SallyportSecretRotationFailing", Severity: Warning, For: 15 * time.Minute,
			Expr:    `max by (job, rotation) (sallyport_secret_rotation_failing) == 1`,
			Summary: "the rotation of {{ $labels.rotation }} fails",
			Detail: "A run could not begin or cannot go on, and is tried again by itself. The value that is current " +
				"works, and so does the old key.",
			Datadog: `min(last_15m):max:sallyport.secret_rotation_failing{*} by {rotation} > 0`,
		},
		{
			Name: "SallyportSecretRotationStuck", Severity: Warning, For: 0,
			Expr: `max by (job, rotation) (sallyport_secret_rotation_state{state="stuck"}) == 1
or max by (job, rotation) (sallyport_secret_rotation_state{state="running"}) == 1
  and on (job, rotation)
    time() - min by (job, rotation) (sallyport_secret_rotation_began_timestamp_seconds) > <#6h>`,
			Summary: "the rotation of {{ $labels.rotation }} does not go on",
			Detail: "A person has to look, or it has been under way for six hours. The value that is current works, " +
				"and no key is ended.",
			Datadog: `max(last_5m):max:sallyport.secret_rotation_state{state:stuck} by {rotation} > 0`,
		},
		{
			Name: "SallyportSecretRotationWaiting", Severity: Warning, For: 0,
			Expr: `max by (job, rotation) (sallyport_secret_rotation_waiting_consumers) > 0
and on (job, rotation) time() - min by (job, rotation) (sallyport_secret_rotation_began_timestamp_seconds) > <#3d>`,
			Summary: "the old key of {{ $labels.rotation }} is still needed after three days",
			Detail: "Workflows or tokens that have used the old version have not used the new one. Nothing fails: " +
				"both keys work until they have.",
			Datadog: `min(last_2d):max:sallyport.secret_rotation_waiting_consumers{*} by {rotation} > 0`,
		},
		{
			Name: "SallyportSecretRotationOverdue", Severity: Warning, For: 5 * time.Minute,
			Expr:    `time() - max by (job, rotation) (sallyport_secret_rotation_due_timestamp_seconds) > <#1h>`,
			Summary: "the rotation of {{ $labels.rotation }} is overdue",
			Detail: "Its schedule said so an hour ago, and no run has begun, or each was taken back. The value that " +
				"is current works.",
		},
	}
}

// rotationPanels are of secrets that Sallyport replaces.
func rotationPanels() []panel {
	return []panel{
		{
			row: "Rotations of secrets", title: "Rotations by state", unit: "short", by: "{{rotation}}: {{state}}",
			query: `max by (rotation, state) (sallyport_secret_rotation_state{job=~"$job"})`,
		},
		{
			title: "Consumers that still need the old key", unit: "short", by: "{{rotation}}",
			query: `max by (rotation) (sallyport_secret_rotation_waiting_consumers{job=~"$job"})`,
		},
		{
			title: "Rotations that fail", unit: "short", by: "{{rotation}}",
			query: `max by (rotation) (sallyport_secret_rotation_failing{job=~"$job"})`,
		},
	}
}
