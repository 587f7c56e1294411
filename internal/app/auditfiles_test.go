package app_test

import (
	"os"
	"testing"

	"sallyport/internal/audit"
)

// TestAuditRotatesWhileItServes: a command and a moved file begin the next one, requests go on, and the log holds over
// all files.
func TestAuditRotatesWhileItServes(t *testing.T) {
	b := newBed(t, one(""))
	b.put("key", "sk-live-one")
	a := b.serve()
	c := b.load().Audit
	b.get(a.AdminURL()+"/readyz").is(t, 200, `"ready":true`)
	r, err := b.state.RotateAudit(t.Context(), &audit.Event{Actor: "tester", Action: "audit.rotate"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.File); err != nil || r.Records.From != 1 {
		t.Errorf("ended: %+v %v", r, err)
	}
	a.ResettleAudit(t.Context()) // in its place: nothing
	if err := os.Rename(c.File, c.File+".1"); err != nil {
		t.Fatal(err)
	}
	a.ResettleAudit(t.Context())
	if err := b.state.Record(t.Context(), &audit.Event{Actor: "tester", Action: "x", Subject: "y"}); err != nil {
		t.Errorf("after the file was moved: %v", err)
	}
	b.get(a.AdminURL()+"/readyz").is(t, 200, `"ready":true`)
	keys, err := b.state.AuditKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.VerifyFile(t.Context(), c.File, c.CheckpointFile, keys.Public())
	if err != nil || !report.OK || len(report.Files) != 3 {
		t.Errorf("got %+v %v", report, err)
	}
}
