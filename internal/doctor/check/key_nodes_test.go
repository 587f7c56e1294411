package check_test

import (
	"context"
	"errors"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/masterkey/nodes"
)

func TestKeyNodes(t *testing.T) {
	says := func(report nodes.Report, err error) *site.Site {
		return &site.Site{Nodes: func(context.Context) (nodes.Report, error) { return report, err }}
	}
	ref := &nodes.Reference{From: "n8n.key", Database: &nodes.Database{Name: "db", Result: nodes.Match, Readable: 7}}
	right := nodes.Row{Name: "main", Match: nodes.Yes, From: "N8N_ENCRYPTION_KEY_FILE"}
	for _, c := range []struct {
		name   string
		report nodes.Report
		err    error
		want   doctor.Status
	}{
		{"all right", nodes.Report{Reference: ref, Keys: 1, Nodes: []nodes.Row{right, right}}, nil, doctor.OK},
		{"the same, nothing to compare with", nodes.Report{Keys: 1, Nodes: []nodes.Row{right, right}}, nil, doctor.OK},
		{"one alone", nodes.Report{Keys: 1, Nodes: []nodes.Row{right}}, nil, doctor.Unseen},
		{"another", nodes.Report{Reference: ref, Keys: 2, Nodes: []nodes.Row{right, {Name: "worker", Match: nodes.No}}}, nil, doctor.Failed},
		{"nobody knows", nodes.Report{Keys: 2, Nodes: []nodes.Row{
			{Name: "a", Match: nodes.Unknown, Group: "A"}, {Name: "b", Match: nodes.Unknown, Group: "B"},
		}}, nil, doctor.Failed},
		{"unasked", nodes.Report{Reference: ref, Keys: 1, Nodes: []nodes.Row{right, {Name: "b", Error: "no way", Hint: "go"}}}, nil, doctor.Unseen},
		{"weak", nodes.Report{Reference: ref, Keys: 1, Nodes: []nodes.Row{{
			Name: "a", Match: nodes.Yes, Findings: []nodes.Finding{{
				Severity: nodes.Worry, What: "short",
				Todo: "longer",
			}},
		}, right}}, nil, doctor.Warning},
		{"an empty database", nodes.Report{
			Reference: &nodes.Reference{Database: &nodes.Database{Result: nodes.Unproven}}, Keys: 1,
			Nodes: []nodes.Row{right},
		}, nil, doctor.Unseen},
		{"no answer", nodes.Report{}, errors.New("no docker"), doctor.Unseen},
		{"no nodes", nodes.Report{}, nil, doctor.Unseen},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := one(t, "key-nodes", says(c.report, c.err))
			if r.Status != c.want {
				t.Errorf("got %q: %+v", r.Status, r.Seen)
			}
			if c.name == "another" {
				golden(t, "key-nodes", r)
			}
		})
	}
}
