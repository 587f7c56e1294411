package check

import (
	"context"
	_ "embed" // the page
	"fmt"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
)

//go:embed audit-log.md
var auditLogPage string

func auditLog() doctor.Check {
	return doctor.Check{
		ID: "audit-log", Title: "The gate's audit log is what was written", Severity: doctor.High,
		Asks: "The gate's audit log: the hash chain of every record, and the signed checkpoints.",
		Page: auditLogPage, Look: lookAtAuditLog,
	}
}

func lookAtAuditLog(ctx context.Context, on *site.Site) ([]doctor.Seen, error) {
	if on.Audit == nil {
		return nil, errNobody("there is no gate here", "run it where the gate runs")
	}
	report, file, err := on.Audit(ctx)
	switch {
	case err != nil:
		return nil, err
	case report.OK && report.Records == 0:
		return []doctor.Seen{doctor.Dark(file, "it has no record yet", "look again once the gate has run")}, nil
	case report.OK:
		return []doctor.Seen{doctor.Good(file, fmt.Sprintf("%d records are intact, under %d signed checkpoints",
			report.Records, report.Checkpoints))}, nil
	}
	evidence := "it is not what was written"
	switch {
	case report.FirstBad != nil:
		evidence += ": " + report.FirstBad.String()
	case report.CutTail:
		evidence += ": it ends before its last checkpoint"
	case report.Missing != nil:
		evidence += fmt.Sprintf(": records %d to %d are missing", report.Missing.From, report.Missing.To)
	}
	return []doctor.Seen{doctor.Bad(file, evidence, "keep all files as they are; `sallyport audit verify` says "+
		"more, and "+
		"docs/audit.md what each finding means")}, nil
}
