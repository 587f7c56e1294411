package audit

import (
	"fmt"
	"time"
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

// drain commits what is pending unless somebody is about to. It is called with mu held
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
	err := l.file.sync()
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
	l.mu.Lock()
	if n := l.refusal.take(); n > 0 {
		l.pending.add(KindRefused, &Event{Suppressed: n}, l.o.Now(), entry{keep: true})
	}
	if n, source, detail := l.strangers.summary(); n > 0 {
		l.pending.add(KindRefused, &Event{Suppressed: n, Source: source, Detail: detail}, l.o.Now(), entry{keep: true})
	}
	if n, label, detail := l.holders.summary(); n > 0 {
		l.pending.add(KindRefused, &Event{Suppressed: n, Label: label, Detail: detail}, l.o.Now(), entry{keep: true})
	}
	if l.anchor == nil && l.at.seq+len(l.pending.entries)-l.marked.seq < records {
		l.mu.Unlock()
		return
	}
	l.declare(kind, &Event{}, true)
	err := l.commit(nil)
	if err == nil {
		err = l.sign()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.anchor = err
}

// declare adds a record that says which log this is and how many checkpoints it has. It is
// called with mu held.
func (l *Log) declare(kind Kind, ev *Event, mark bool) {
	b := l.pending
	b.add(kind, ev, l.o.Now(), entry{mark: mark})
	if kind == KindOpened {
		b.buf = appendText(b.buf, `,"log":"`, l.id, maxText)
	}
	b.buf = fmt.Appendf(b.buf, `,"checkpoints":%d`, l.stats.Checkpoint.Number)
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
	before := l.anchors.size
	if err := l.anchors.append(line); err != nil {
		return fmt.Errorf("writing checkpoint %d: %w", c.Number, err)
	}
	if err := l.anchors.sync(); err != nil {
		l.anchors.uncertain(before)
		return fmt.Errorf("syncing checkpoint %d: %w", c.Number, err)
	}
	l.mu.Lock()
	l.stats.Checkpoint = c
	l.mu.Unlock()
	l.o.OnCheckpoint(c)
	return nil
}
