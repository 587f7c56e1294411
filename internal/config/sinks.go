package config

import (
	"time"

	"sallyport/internal/audit/sink"
)

// AuditSink is a receiver of the audit log beside its file.
type AuditSink struct {
	Kind     string        `yaml:"kind" needed:"write kind: NAME" doc:"What the receiver is, which says what other keys there are."`
	Ship     string        `yaml:"ship" default:"records" enum:"records checkpoints" doc:"What it gets: the records, or the signed checkpoints, which prove the more the further from this host they are."`
	Format   string        `yaml:"format" default:"sallyport" enum:"sallyport ocsf" doc:"The form of records: as they stand in the log, or as events of OCSF. Checkpoints stay as they are."`
	From     string        `yaml:"from" default:"oldest" enum:"oldest newest" doc:"Where a sink begins that has got nothing yet: with the oldest record that there is, or with the next one."`
	Batch    int           `yaml:"batch" default:"500" min:"1" max:"10000" doc:"Records at once, at most; 1 MiB in any case."`
	Timeout  time.Duration `yaml:"timeout" default:"30s" min:"1s" max:"10m" doc:"How long the receiver may take for a batch."`
	Settings sink.Settings `of:"kind"`
}

// The values of AuditSink.Ship and AuditSink.From.
const (
	ShipRecords     = "records"
	ShipCheckpoints = "checkpoints"
	FromNewest      = "newest"
)
