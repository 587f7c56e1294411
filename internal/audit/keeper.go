package audit

import (
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

const (
	// flushAfter is how long a record that nobody waits for may wait for company.
	flushAfter = 5 * time.Millisecond
	// lookAfter is how long the loss of the file may go unnoticed between commits.
	lookAfter = time.Second
)

// flush writes what Complete and Refuse left, when no caller came along to take it.
func (l *Log) flush() {
	timer := time.NewTimer(flushAfter)
	defer timer.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-l.wake:
		}
		timer.Reset(flushAfter)
		select {
		case <-l.quit:
			return
		case <-timer.C:
		}
		l.mu.Lock()
		l.armed = false
		l.drain()
	}
}

// drain commits what is pending unless someone is about to. It is called with mu held
// and releases it. A failure shows in Health.
func (l *Log) drain() {
	if len(l.pending.entries) == 0 || l.pending.claimed {
		l.mu.Unlock()
		return
	}
	_ = l.commit(nil) // settle keeps the error for Health
}

// keep syncs, looks after the file and anchors the chain, each in its time.
func (l *Log) keep() {
	look := time.NewTicker(lookAfter)
	defer look.Stop()
	anchor := time.NewTicker(l.o.CheckpointInterval)
	defer anchor.Stop()
	sync := time.NewTicker(max(l.o.Sync, time.Millisecond))
	defer sync.Stop()
	if l.o.Sync <= 0 {
		sync.Stop() // every commit syncs
	}
	var synced int
	for {
		select {
		case <-l.quit:
			return
		case <-sync.C:
			synced = l.syncSince(synced)
		case <-look.C:
			l.look()
			l.rotateWhenDue()
		case a := <-l.asks:
			r, err := l.rotate(a.moved)
			a.done <- rotated{r, err}
		case <-l.due:
			l.checkpoint(KindCheckpoint, l.o.CheckpointEvery)
		case <-anchor.C:
			l.checkpoint(KindCheckpoint, 1)
		}
	}
}

// syncSince calls fsync if records came after seq, and returns up to where it reached.
func (l *Log) syncSince(seq int) int {
	now := l.Stats().Seq
	if now == seq {
		return seq
	}
	err := guard.Try("syncing the audit log", l.file.sync)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = err
	if err != nil {
		return seq
	}
	return now
}

// look checks that the log still is where its path says, and tries again to write what a
// failed commit left.
func (l *Log) look() {
	err := l.file.attached()
	l.mu.Lock()
	l.gone = err
	l.drain()
}

// checkpoint writes a record of this kind and signs the chain as it stands after it, if
// there are at least so many records since the newest checkpoint.
func (l *Log) checkpoint(kind Kind, records int) {
	l.notary.Lock()
	defer l.notary.Unlock()
	var due bool
	err := guard.Try("anchoring the audit log", func() (err error) {
		due, err = l.anchorAfter(kind, records)
		return err
	})
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		l.o.Broke(why)
	} else if !due {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.anchor = err
}

// anchorAfter is what checkpoint does. It tells whether it was due.
func (l *Log) anchorAfter(kind Kind, records int) (due bool, err error) {
	l.mu.Lock()
	l.enter(l.summarise)
	if l.anchor == nil && l.at.seq+len(l.pending.entries)-l.marked.seq < records {
		l.mu.Unlock()
		return false, nil
	}
	l.enter(func() { l.declare(l.pending, kind, &Event{}, true) })
	if err := l.commit(nil); err != nil {
		return true, err
	}
	return true, l.sign()
}

// summarise adds records of what was left out. It is called with mu held.
func (l *Log) summarise() {
	if n := l.refusal.take(); n > 0 {
		l.pending.add(KindRefused, &Event{Suppressed: n}, l.o.Now(), entry{keep: true})
	}
	if n, source, detail := l.strangers.summary(); n > 0 {
		l.pending.add(KindRefused, &Event{Suppressed: n, Source: source, Detail: detail}, l.o.Now(), entry{keep: true})
	}
	if n, label, detail := l.holders.summary(); n > 0 {
		l.pending.add(KindRefused, &Event{Suppressed: n, Label: label, Detail: detail}, l.o.Now(), entry{keep: true})
	}
}

// declare adds a record that says which log this is and how many checkpoints it has, and what more says. It is
// called with mu held.
func (l *Log) declare(b *batch, kind Kind, ev *Event, mark bool, more ...byte) {
	b.add(kind, ev, l.o.Now(), entry{mark: mark})
	if kind == KindOpened || kind == KindContinued {
		b.buf = appendText(b.buf, `,"log":"`, l.id, maxText)
	}
	b.buf = fmt.Appendf(b.buf, `,"checkpoints":%d`, l.stats.Checkpoint.Number)
	b.buf = append(b.buf, more...)
	b.entries[len(b.entries)-1].end = len(b.buf)
}

// sign anchors the chain right after the last marked record. The log is synced first: a
// checkpoint must never outlive, in a power cut, what it speaks of.
func (l *Log) sign() error {
	l.mu.Lock()
	at, last := l.marked, l.stats.Checkpoint
	l.mu.Unlock()
	if err := l.file.sync(); err != nil {
		return fmt.Errorf("syncing before a checkpoint: %w", err)
	}
	c := Checkpoint{
		Number: last.Number + 1, Log: l.id, Seq: at.seq, Offset: at.offset,
		MAC: macEncoding.EncodeToString(at.mac[:]), Time: l.o.Now().UTC().Truncate(time.Microsecond),
		Key: KeyID(l.o.Keys.Public().Sign),
	}.sign(l.o.Keys.Sign)
	line, err := c.line()
	if err != nil {
		return err
	}
	if err := l.writeCheckpoint(c.Number, line); err != nil {
		return err
	}
	l.mu.Lock()
	l.stats.Checkpoint = c
	l.mu.Unlock()
	l.o.OnCheckpoint(c)
	return nil
}

// writeCheckpoint adds a line to the checkpoints. Whatever keeps it from being there whole and on the disk, a panic
// too, has it cut off before the next.
func (l *Log) writeCheckpoint(number int, line []byte) error {
	before, written := l.anchors.size, false
	defer func() {
		if !written {
			l.anchors.uncertain(before)
		}
	}()
	if err := l.anchors.append(line); err != nil {
		return fmt.Errorf("writing checkpoint %d: %w", number, err)
	}
	if err := l.anchors.sync(); err != nil {
		return fmt.Errorf("syncing checkpoint %d: %w", number, err)
	}
	written = true
	return nil
}
