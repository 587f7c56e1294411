// Package check has the checks of the checklist, a file for each with its page and its test.
//
// A new one is a file with a function that returns a doctor.Check, its page beside it, its line in All, and
// `make generate`. What it looks at it takes from the site.Site.
package check

import (
	"context"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
)

// All is the checklist, in its order.
func All() []doctor.Check {
	return []doctor.Check{
		keyFiles(),
		keyGit(),
		keyRuntime(),
		keyNodes(),
		storeRights(),
		imageSecrets(),
		rotations(),
		alertsLoaded(),
		tlsEverywhere(),
		n8nVersion(),
		n8nSettings(),
		credentialLocks(),
		egress(),
		adminReach(),
		storeAudit(),
		auditLog(),
		backups(),
		ownFiles(),
		configuration(),
		listen(),
	}
}

// errNobody says that a check needs to be told where to look.
func errNobody(what, hint string) error { return fault.WithHint(nobodyError(what), hint) }

type nobodyError string

// Error implements error.
func (n nobodyError) Error() string { return string(n) }

// each calls look for every n8n that runs, and says what could not be looked at.
func each(ctx context.Context, on *site.Site, look func(w site.Workload) []doctor.Seen) ([]doctor.Seen, error) {
	sources := on.Sources(ctx)
	if len(sources) == 0 {
		return nil, errNobody("no place was named where n8n runs",
			"--docker-host unix:///var/run/docker.sock or --kubeconfig FILE; or run it in n8n's container")
	}
	var seen []doctor.Seen
	for _, source := range sources {
		switch {
		case source.Err != nil:
			seen = append(seen, doctor.DarkBy(source.Name, source.Err))
			continue
		case len(source.Workloads) == 0:
			seen = append(seen, doctor.Dark(source.Name, "no n8n runs there",
				"is it the right place? --docker-label and --kubectl-selector name n8n's containers and pods"))
		}
		for _, w := range source.Workloads {
			seen = append(seen, look(w)...)
		}
	}
	return seen, nil
}
