package app_test

import (
	"errors"
	"testing"

	"sallyport/internal/audit"
)

// TestRecordWaitsItsTurn: another command has the log, and lets go of it in a moment.
func TestRecordWaitsItsTurn(t *testing.T) {
	b := newBed(t, one(""))
	keys, err := b.state.AuditKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := audit.Open(t.Context(),
		audit.Options{Path: b.load().Audit.File, CheckpointPath: b.load().Audit.CheckpointFile, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	recorded := make(chan error, 1)
	go func() {
		recorded <- b.state.Record(t.Context(), &audit.Event{Actor: "tester", Action: "secret.set", Subject: "crm"})
	}()
	if err := errors.Join(other.Admin(t.Context(), &audit.Event{Actor: "other", Action: "x", Subject: "y"}),
		other.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-recorded; err != nil {
		t.Error(err)
	}
}
