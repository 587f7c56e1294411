package check

import (
	"context"
	_ "embed" // the page
	"fmt"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/masterkey/nodes"
)

//go:embed key-nodes.md
var keyNodesPage string

func keyNodes() doctor.Check {
	return doctor.Check{
		ID: "key-nodes", Title: "Every node of n8n has the same master key, and the database needs it",
		Severity: doctor.Critical,
		Asks: "Each node for the HMAC-SHA256 of its key under a fresh nonce; n8n's database, where it is named, " +
			"whether the " +
			"key opens it.",
		Guide: []string{doctor.GuideSameKey}, Page: keyNodesPage, Look: lookAtNodes,
	}
}

func lookAtNodes(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	if on.Nodes == nil {
		return nil, errNobody("no node was named", "--docker-label KEY=VALUE, --kubectl-selector KEY=VALUE or --node "+
			"NAME=WAY, as `sallyport key verify` takes them; and --database-file with --key-file")
	}
	report, err := on.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	if ref := report.Reference; ref != nil && ref.Database != nil {
		seen = append(seen, databaseSeen(ref))
	}
	for i := range report.Nodes {
		seen = append(seen, nodeSeen(&report, &report.Nodes[i])...)
	}
	if len(report.Nodes) == 1 && report.Reference == nil {
		seen = append(seen, doctor.Dark("the other nodes", "one node alone was asked, and nothing says which key is "+
			"right",
			"name all nodes, or --database-file with --key-file"))
	}
	return seen, nil
}

func databaseSeen(ref *nodes.Reference) doctor.Seen {
	db := ref.Database
	switch db.Result {
	case nodes.Match:
		return doctor.Good(db.Name, fmt.Sprintf("the key of %s opens all of %d values", ref.From, db.Readable))
	case nodes.Unproven:
		return doctor.Dark(db.Name, "it holds nothing encrypted: any key would do",
			"look again once it has a credential")
	case nodes.Mixed:
		return doctor.Bad(db.Name, fmt.Sprintf("the key of %s opens %d values, and %d it does not", ref.From,
			db.Readable,
			db.Unreadable), "`sallyport key rekey --dry-run` names them; docs/masterkey.md says what to do")
	case nodes.Mismatch:
	}
	return doctor.Bad(db.Name, "the key of "+ref.From+" does not open it", "find the key that n8n ran with before")
}

func nodeSeen(report *nodes.Report, row *nodes.Row) (seen []doctor.Seen) {
	at := "node " + row.Name
	if row.Error != "" {
		return []doctor.Seen{doctor.Dark(at, "it could not be asked: "+row.Error, row.Hint)}
	}
	for _, f := range row.Findings {
		switch f.Severity {
		case nodes.Wrong:
			seen = append(seen, doctor.Bad(at, f.What, f.Todo))
		case nodes.Worry:
			seen = append(seen, doctor.Doubtful(at, f.What, f.Todo))
		case nodes.Note:
		}
	}
	switch {
	case len(seen) > 0:
	case report.Reference == nil && report.Keys > 1:
		seen = append(seen, doctor.Bad(at, fmt.Sprintf("it has key %s, of %d that differ", row.Group, report.Keys),
			"--database-file with --key-file tells which one is right; a majority proves nothing"))
	case report.Reference == nil:
		seen = append(seen, doctor.Good(at, "it has the same key as the others, from "+row.From))
	case row.Match == nodes.Yes:
		seen = append(seen, doctor.Good(at, "it has the key that it should have, from "+row.From))
	default:
		seen = append(seen, doctor.Bad(at, "it does not have the key that it should have",
			"`sallyport key verify` says where its key comes from"))
	}
	return seen
}
