package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport/internal/guard"
	"sallyport/internal/localfile"
)

// Log is an open audit log. All methods are safe for concurrent use.
type Log struct {
	o  Options
	id string

	mu        sync.Mutex // guards what follows, down to the blank line
	pending   *batch     // what the next commit takes
	spare     *batch     // the one before, to be used again
	writing   bool       // a leader is at work: file, chain, next and out are its own
	holding   bool       // a rotation waits for its turn
	filed     error      // of the last rotation
	retained  error      // of the last retention
	closed    bool
	fault     error // of the last commit
	synced    error // of the last background fsync
	anchor    error // of the last checkpoint
	gone      error // the file is no longer where Path says
	refusal   refusals
	strangers quota
	holders   quota // of valid tokens
	lost      int
	armed     bool // the flusher has been told about pending records
	stats     Stats

	at     position // behind the newest record; only the leader moves it, under mu
	marked position // right after the last record that a checkpoint is to sign

	file  *file // the leader's own; only a rotation changes it, with the turn, the notary and mu
	chain *chain
	next  position
	out   []byte

	dir      *localfile.Dir // of the log
	guard    *file          // a lock that stays where it is while files change their names
	unbegun  bool           // the file's first record has to be a continued one
	previous string         // the name of the file before
	begun    time.Time      // when the file's first record was written; the keeper's own, and retryAt
	retryAt  time.Time      // when a rotation that failed is tried again
	removed  int            // the last record that retention is known to have removed; its own

	notary  sync.Mutex // one checkpoint at a time
	anchors *file      // the checkpoint file

	turn chan struct{} // the leader to the first follower of the next batch
	held chan struct{} // the leader to a rotation
	asks chan ask      // for a rotation
	full chan struct{} // a file was ended: is there one to be removed?
	wake chan struct{} // records without a waiting caller came in
	due  chan struct{} // enough records for a checkpoint
	quit chan struct{}
	done guard.Group
}

// Authorise puts on record that a credential is about to be used. It returns once the
// record was handed to the kernel (and, with Options.Sync 0, to the disk); after an error
// the credential must not be used. A cancelled ctx ends the wait, and the record may
// stand in the log all the same.
func (l *Log) Authorise(ctx context.Context, ev *Event) error {
	return l.put(ctx, KindAuthorised, ev)
}

// Admin puts on record what a person or a schedule changed. Guarantees as Authorise.
func (l *Log) Admin(ctx context.Context, ev *Event) error {
	return l.put(ctx, KindAdmin, ev)
}

// Complete puts on record how an authorised use ended. It never waits for the disk: the
// record goes out with the next commit, about 5 ms later at the latest.
func (l *Log) Complete(ev *Event) { l.leave(KindCompleted, ev) }

// Refuse is like Complete for a request that got no credential. Of tokens that are valid (those with a Label) at most
// 100 per second are written; the others are counted, and the next refused record says how many they were. Beyond that
// each token, each source of requests without one, and all of either have a budget of bytes. A request without a valid
// token leaves a short record, and so does a token that has used up half of its budget; what is beyond the budget is
// counted, and a record says once a minute how many there were.
func (l *Log) Refuse(ev *Event) { l.leave(KindRefused, ev) }

// Close writes what is pending, a closed record and a last checkpoint, and gives the file
// free. Later calls return nil.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.quit)
	l.done.Wait()
	l.checkpoint(KindClosed, 0)
	return errors.Join(l.Health(), l.anchors.close(), l.file.close(), l.guard.close(), l.dir.Close())
}

// Health is the last failure to write, sync or anchor; nil again once that succeeded.
func (l *Log) Health() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range []error{l.fault, l.gone, l.synced, l.anchor} {
		if err != nil {
			return fmt.Errorf("writing audit log %q: %w", l.o.Path, err)
		}
	}
	return nil
}

// Stats is a snapshot.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Pending = len(l.pending.entries)
	s.Suppressed = l.refusal.suppressed
	s.Summarised = l.strangers.total + l.holders.total
	s.Lost = l.lost
	s.Rotation, s.Retention = l.filed, l.retained
	return s
}

// put adds a record and returns once it is written.
func (l *Log) put(ctx context.Context, kind Kind, ev *Event) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("writing audit record: %w", err)
	}
	now := l.o.Now()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.enter(func() { l.pending.add(kind, ev, now, entry{}) })
	err := l.commit(ctx.Done())
	if errors.Is(err, errAbandoned) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("writing audit record: %w", err)
	}
	return nil
}

// enter runs add, with mu held. After a panic mu is free: nobody else is kept from writing.
func (l *Log) enter(add func()) {
	added := false
	defer func() {
		if !added {
			l.mu.Unlock()
		}
	}()
	add()
	added = true
}

// leave adds a record that nobody waits for.
func (l *Log) leave(kind Kind, ev *Event) {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		l.lost++
		return
	case kind == KindRefused:
		l.leaveRefused(ev, now)
	case len(l.pending.buf) > maxPending:
		l.lost++
		return
	default:
		l.pending.add(kind, ev, now, entry{keep: true})
	}
	if !l.armed {
		l.armed = true
		l.wake <- struct{}{} // capacity 1, and armed says that it is empty
	}
}

// frame is about what a line has beside its body, in bytes: its number and its MAC.
const frame = trailer + 16

// leaveRefused adds a refused record, or counts it.
func (l *Log) leaveRefused(ev *Event, now time.Time) {
	quota, name := &l.holders, ev.Label
	if name == "" {
		quota, name = &l.strangers, sourceOf(ev.Source)
	} else if !l.refusal.admit(now) {
		return
	}
	write, short := quota.admit(now, name, ev.Code)
	switch {
	case !write:
		return
	case len(l.pending.buf) > maxPending:
		l.lost++
		return
	}
	if short || ev.Label == "" {
		ev = brief(ev)
	}
	if ev.Label != "" {
		if n := l.refusal.take(); n > 0 {
			told := *ev
			told.Suppressed += n
			ev = &told
		}
	}
	before := len(l.pending.buf)
	l.pending.add(KindRefused, ev, now, entry{keep: true})
	quota.charge(name, len(l.pending.buf)-before+frame)
}
