package sink

import (
	"context"

	"sallyport/internal/audit"
)

// Log is the audit log as a Source needs it.
type Log interface {
	Stats() audit.Stats
}

// Records are the records of a log as a Source.
func Records(log Log, path string) Source { return records{log, path} }

type records struct {
	log  Log
	path string
}

// Newest implements Source.
func (r records) Newest() int { return r.log.Stats().Seq }

// Signed implements Source.
func (r records) Signed() int { return r.log.Stats().Checkpoint.Seq }

// Read implements Source.
func (r records) Read(_ context.Context, at audit.Mark, bound audit.Bound) (audit.Run, error) {
	return audit.ReadAfter(r.path, at, bound)
}

// End implements Source.
func (r records) End(context.Context) (audit.Mark, error) { return audit.Newest(r.path) }

// Checkpoints are the checkpoints of a log as a Source.
func Checkpoints(log Log, path string) Source { return checkpoints{log, path} }

type checkpoints struct {
	log  Log
	path string
}

// Newest implements Source.
func (c checkpoints) Newest() int { return c.log.Stats().Checkpoint.Number }

// Signed implements Source: a checkpoint is synced before it is told of.
func (c checkpoints) Signed() int { return c.Newest() }

// Read implements Source.
func (c checkpoints) Read(ctx context.Context, at audit.Mark, bound audit.Bound) (audit.Run, error) {
	return audit.ReadCheckpointsAfter(ctx, c.path, at, bound)
}

// End implements Source.
func (c checkpoints) End(ctx context.Context) (at audit.Mark, err error) {
	for {
		run, err := c.Read(ctx, at, audit.Bound{Upto: c.Newest(), Records: 1000, Bytes: 1 << 20})
		if err != nil || len(run.Lines) == 0 {
			return run.At, err
		}
		at = run.At
	}
}
