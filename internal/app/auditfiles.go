package app

import (
	"context"
	"encoding/json"

	"sallyport/internal/audit"
	"sallyport/internal/monitor"
)

func (a *App) auditRotated(r audit.Rotation, err error) {
	if err != nil {
		a.log.Error("the audit log goes on in the file it had", "error", err)
		return
	}
	a.log.Info("the audit log goes on in a new file", "before", r.File, "first", r.Records.From, "last", r.Records.To)
}

func (a *App) auditRemoved(gone audit.Range, err error) {
	if gone.To > 0 {
		a.log.Info("old files of the audit log were removed, as audit.keep says", "first", gone.From, "last", gone.To)
	}
	if err != nil {
		a.log.Error("old files of the audit log are kept", "error", err)
	}
}

// ResettleAudit begins a new file of the audit log where someone has moved the one before, as logrotate does. How it
// ends is logged.
func (a *App) ResettleAudit(ctx context.Context) {
	if a.audit == nil { // the store is not open yet
		return
	}
	if _, _, err := a.audit.Resettle(ctx); err != nil {
		a.log.ErrorContext(ctx, "looking for the audit log's file", "error", err)
	}
}

// auditParts tell of files that are not ended or removed as they should be. The log itself is written.
func (a *App) auditParts() []monitor.Part {
	var parts []monitor.Part
	stats := a.audit.Stats()
	if err := stats.Rotation; err != nil {
		parts = append(parts, monitor.Part{
			Name: "audit rotation", Ready: true, Why: err.Error(),
			Hint: "the log goes on in the file it had, and a file that is due is tried again every minute",
		})
	}
	if err := stats.Retention; err != nil {
		parts = append(parts, monitor.Part{
			Name: "audit retention", Ready: true, Why: err.Error(),
			Hint: "run `sallyport audit verify`; nothing is removed until it holds",
		})
	}
	return parts
}

// checkpointed writes each whole checkpoint, signature included, to the process's log, which may be kept outside the
// host: a copy of it there is what shows that log and checkpoints were not cut back together.
func (a *App) checkpointed(c audit.Checkpoint) {
	text, err := json.Marshal(c)
	if err != nil {
		a.log.Error("writing an audit checkpoint to the log", "error", err)
		return
	}
	write := a.log.Info
	if !a.started.Load() {
		write = a.log.Debug // it signs nothing yet but that the log was opened
	}
	write("audit checkpoint", "checkpoint", json.RawMessage(text))
}
