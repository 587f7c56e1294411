package audit

import (
	"errors"
	"fmt"
	"time"

	"sallyport/internal/guard"
)

// errAbandoned ends a caller's wait, not the write.
var errAbandoned = errors.New("the caller gave up waiting")

// maxPending bounds what waits in memory while the log can't be written.
const maxPending = 4 << 20

// entry is one record of a batch.
type entry struct {
	end  int  // of its body in buf
	keep bool // try again after a failed write: what it tells has happened, and nobody waits
	mark bool // a checkpoint will sign the chain as it stands after this record
}

// batch is a run of records that share one write. Their place in the chain is decided
// when they are written, so a failed write leaves no gap.
type batch struct {
	buf     []byte // bodies, without seq and mac
	entries []entry
	claimed bool // a follower waits for its turn to write this batch
	wait    *wait
	marked  position // right after the last record with a mark; seq 0: none
}

// wait is where followers learn how their batch ended.
type wait struct {
	done chan struct{}
	err  error
}

func (b *batch) add(kind Kind, ev *Event, now time.Time, e entry) {
	before, added := len(b.buf), false
	defer func() {
		if !added { // a panic: what there is of the record must not become the beginning of the next
			b.buf = b.buf[:before]
		}
	}()
	b.buf = appendBody(b.buf, kind, ev, now)
	e.end = len(b.buf)
	b.entries = append(b.entries, e)
	added = true
}

func (b *batch) reset() {
	if cap(b.buf) > maxPending/4 {
		b.buf = nil
	}
	*b = batch{buf: b.buf[:0], entries: b.entries[:0]}
}

// kept are the records of a failed batch that are still to be written.
func (b *batch) kept() *batch {
	again := &batch{}
	begin := 0
	for _, e := range b.entries {
		if e.keep {
			again.buf = append(again.buf, b.buf[begin:e.end]...)
			again.entries = append(again.entries, entry{end: len(again.buf), keep: true})
		}
		begin = e.end
	}
	return again
}

// then puts the records of next behind those of b.
func (b *batch) then(next *batch) {
	base := len(b.buf)
	b.buf = append(b.buf, next.buf...)
	for _, e := range next.entries {
		e.end += base
		b.entries = append(b.entries, e)
	}
	b.claimed, b.wait = next.claimed, next.wait
}

// commit returns once the pending batch is written, or with errAbandoned on stop. It is
// called with mu held and releases it.
//
// Whoever finds nobody writing leads: it writes all that is pending with one write(2), on
// its own goroutine. Who comes meanwhile joins the next batch; the first of them takes
// over when the leader is done, the others wait for it. So a lone caller pays one system
// call and no hand-over, and many callers share both.
func (l *Log) commit(stop <-chan struct{}) error {
	if !l.writing {
		l.writing = true
		return l.lead()
	}
	b := l.pending
	if !b.claimed {
		b.claimed = true
		l.mu.Unlock()
		<-l.turn // comes whatever happens: a leader always settles
		l.mu.Lock()
		return l.lead()
	}
	if b.wait == nil {
		b.wait = &wait{done: make(chan struct{})}
	}
	w := b.wait
	l.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-stop:
		return errAbandoned
	}
}

// lead writes the pending batch. It is called with mu held and writing set, by the one
// goroutine whose turn it is, and releases mu.
func (l *Log) lead() error {
	b := l.pending
	l.pending, l.spare = l.spare, nil
	gone := l.gone
	l.mu.Unlock()

	next, err := l.writeSafely(b, gone)

	l.mu.Lock()
	l.settle(b, next, err)
	w := b.wait
	b.reset()
	l.spare = b
	l.pass()
	l.mu.Unlock()
	if w != nil {
		w.err = err
		close(w.done)
	}
	return err
}

// writeSafely is write; a panic fails the batch. A leader that did not settle would have everybody wait for ever.
func (l *Log) writeSafely(b *batch, gone error) (next position, err error) {
	why := guard.Call("writing the audit log", func() { next, err = l.write(b, gone) })
	if why == nil {
		return next, err
	}
	// nothing says how much of it is in the file: it is cut off before the next
	l.file.uncertain(l.at.offset - l.file.base)
	l.o.Broke(why)
	return l.at, why
}

// pass lets the next one write: a rotation first, which only one at a time waits for. It is called with mu held.
func (l *Log) pass() {
	switch {
	case l.holding:
		l.holding = false
		l.held <- struct{}{} // capacity 1
	case l.pending.claimed:
		l.turn <- struct{}{} // capacity 1, one claimant
	default:
		l.writing = false
	}
}

// hold returns once nobody writes; nobody else does until pass. The caller has the notary, so it is the only one.
func (l *Log) hold() {
	l.mu.Lock()
	if !l.writing {
		l.writing = true
		l.mu.Unlock()
		return
	}
	l.holding = true
	l.mu.Unlock()
	<-l.held // comes whatever happens: a leader always settles
}

// write seals a batch and hands it to the kernel. It returns the position behind it.
func (l *Log) write(b *batch, gone error) (position, error) {
	if gone != nil {
		if err := l.file.attached(); err != nil {
			return l.at, err
		}
	}
	l.out = l.out[:0]
	if cap(l.out) > maxPending/2 {
		l.out = nil
	}
	l.next = l.at
	begin := 0
	for _, e := range b.entries {
		l.out = l.chain.seal(l.out, &l.next, b.buf[begin:e.end])
		begin = e.end
		if e.mark {
			b.marked = l.next
		}
	}
	if err := l.file.append(l.out); err != nil {
		return l.at, err
	}
	l.o.wrote()
	if l.o.Sync <= 0 {
		if err := l.file.sync(); err != nil {
			l.file.uncertain(l.at.offset - l.file.base)
			return l.at, fmt.Errorf("syncing: %w", err)
		}
	}
	return l.next, nil
}

func (l *Log) tellLost() {
	told := &Event{
		Detail: fmt.Sprintf("%d completed or refused records were dropped while the log could not be written", l.lost),
	}
	l.pending.add(KindRecovered, told, l.o.Now(), entry{keep: true})
	l.lost = 0
}

// settle notes how a commit ended. It is called with mu held.
func (l *Log) settle(b *batch, next position, err error) {
	l.fault = err
	if err != nil {
		again := b.kept()
		again.then(l.pending)
		l.pending = again
		return
	}
	l.gone = nil
	l.at = next
	if b.marked.seq > 0 {
		l.marked = b.marked
	}
	n := len(b.entries)
	l.stats.Seq, l.stats.Bytes = next.seq, next.offset-l.file.base
	l.stats.Records += n
	if l.lost > 0 && !l.closed {
		_ = guard.Call("telling of lost records", l.tellLost) // or with the next commit
	}
	if next.seq-l.marked.seq >= l.o.CheckpointEvery {
		select {
		case l.due <- struct{}{}:
		default:
		}
	}
}
