package check

import (
	"context"
	_ "embed" // the page

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/secret"
)

//go:embed store-audit.md
var storeAuditPage string

func storeAudit() doctor.Check {
	return doctor.Check{
		ID: "store-audit", Title: "The stores record who reads and writes them", Severity: doctor.Medium,
		Asks: "Each store: is its own audit on? Vault's audit devices, the Kubernetes API server's audit log.",
		Page: storeAuditPage,
		Look: func(ctx context.Context, on *site.Site) ([]doctor.Seen, error) { return probes(ctx, on, trailOf) },
	}
}

func trailOf(at string, p secret.Probe) []doctor.Seen {
	switch p.Audit.State {
	case secret.TrailOn:
		return []doctor.Seen{doctor.Good(at, p.Audit.Evidence)}
	case secret.TrailOff:
		return []doctor.Seen{doctor.Bad(at, p.Audit.Evidence, p.Audit.Hint)}
	case secret.TrailUnknown:
	}
	return []doctor.Seen{doctor.Dark(at, p.Audit.Evidence, p.Audit.Hint)}
}
