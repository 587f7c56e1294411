package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/fault"
)

// AuditKeys returns the keys of the audit log.
func (s *State) AuditKeys(ctx context.Context) (audit.Keys, error) {
	chain, err := s.sealer.MACKey(ctx, keyAuditChain)
	if err != nil {
		return audit.Keys{}, err
	}
	sign, err := s.sealer.SigningKey(ctx, keyAuditSign)
	if err != nil {
		return audit.Keys{}, err
	}
	return audit.Keys{Chain: chain, Sign: sign}, nil
}

// openAudit opens the log for writing; only one process can. What the configuration says is added to o.
func (s *State) openAudit(ctx context.Context, o audit.Options) (*audit.Log, error) {
	keys, err := s.AuditKeys(ctx)
	if err != nil {
		return nil, err
	}
	c := s.Config.Audit
	o.Path, o.CheckpointPath, o.Keys, o.Sync = c.File, c.CheckpointFile, keys, c.Sync
	o.CheckpointEvery, o.CheckpointInterval = c.CheckpointEvery, c.CheckpointInterval
	if o.OnCheckpoint != nil { // a gate; a command that ends at once leaves the files to it
		o.RotateSize, o.RotateEvery, o.KeepAge, o.KeepSize = int64(c.Rotate.Size), c.Rotate.Every,
			c.Keep.Age, int64(c.Keep.Size)
	}
	l, err := audit.Open(ctx, o)
	if _, damaged := errors.AsType[*audit.DamageError](err); damaged {
		return nil, fault.WithHint(err,
			"`sallyport audit verify` says where; `sallyport serve --accept-audit-damage` sets the damaged files "+
				"aside and begins a new log")
	}
	return l, err
}

// recordPatience is how long Record waits for another command, or a gate that is just starting or stopping, to let go
// of the log.
const recordPatience = 10 * time.Second

// Record puts what a person did on record before it is done: through the running gate when there is one, which holds
// the log, or in the log itself.
func (s *State) Record(ctx context.Context, ev *audit.Event) error {
	return patiently(ctx, func() error { return s.record(ctx, ev) })
}

// RotateAudit ends the audit log's file and begins the next one, through the running gate when there is one. ev goes on
// record first.
func (s *State) RotateAudit(ctx context.Context, ev *audit.Event) (r audit.Rotation, err error) {
	err = patiently(ctx, func() (err error) {
		r, err = s.rotateAudit(ctx, ev)
		return err
	})
	return r, err
}

// rotateAudit is one attempt, as record.
func (s *State) rotateAudit(ctx context.Context, ev *audit.Event) (audit.Rotation, error) {
	l, err := s.openAudit(ctx, audit.Options{})
	switch {
	case errors.Is(err, audit.ErrLocked):
		var r audit.Rotation
		payload, err := json.Marshal(ev)
		if err != nil {
			return r, fmt.Errorf("writing a message to the running gate: %w", err)
		}
		answer, err := s.control().call(ctx, http.MethodPost, "/audit/rotate", payload)
		if err != nil {
			return r, err
		}
		if err := json.Unmarshal(answer, &r); err != nil {
			return r, fmt.Errorf("reading the running gate's answer: %w", err)
		}
		return r, nil
	case err != nil:
		return audit.Rotation{}, err
	}
	r, err := recordAndRotate(ctx, l, ev)
	return r, errors.Join(err, l.Close())
}

func recordAndRotate(ctx context.Context, l *audit.Log, ev *audit.Event) (audit.Rotation, error) {
	if err := l.Admin(ctx, ev); err != nil {
		return audit.Rotation{}, err
	}
	return l.Rotate(ctx)
}

// patiently tries again while the log is held by a process that takes nothing (errNoGate).
func patiently(ctx context.Context, try func() error) error {
	waiting, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if !errors.Is(err, errNoGate) {
			return err
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			return fault.WithExit(fault.WithHint(audit.ErrLocked,
				"it is neither a gate on this data directory nor a command that ends"), fault.ExitLocked)
		}
	}
}

// record is one attempt; errNoGate tells that the log is held by a process that takes no events.
func (s *State) record(ctx context.Context, ev *audit.Event) error {
	l, err := s.openAudit(ctx, audit.Options{})
	if errors.Is(err, audit.ErrLocked) {
		return s.control().post(ctx, "/audit", ev)
	}
	if err != nil {
		return err
	}
	return errors.Join(l.Admin(ctx, ev), l.Close())
}

// mintEvent is the record of a call to a token endpoint: the credential leaves for it.
func mintEvent(actor, name string) *audit.Event {
	return &audit.Event{Actor: actor, Action: "token.mint", Subject: name}
}
