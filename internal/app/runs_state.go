package app

import (
	"context"
	"time"

	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/run"
)

// secretRuns is the journal of the runs of rotations of secrets.
func (s *State) secretRuns() *run.Journal {
	return run.NewJournal(s.DB, s.sealer, s.runs, time.Now).OfReplicas()
}

// RunsOfSecrets lists the runs of rotations of secrets, by rotation, oldest first, as they are on record.
func (s *State) RunsOfSecrets(ctx context.Context) ([]run.Entry, error) {
	return s.secretRuns().List(ctx)
}

// planApprovals are those of the plans of rotations of secrets.
func (s *State) planApprovals() *approval.Approvals { return approval.New(s.DB, s.approvals, time.Now) }
