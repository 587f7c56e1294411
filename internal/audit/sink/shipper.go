package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/pause"
)

const (
	// lookEvery is how often a Shipper looks for new records.
	lookEvery = time.Second
	// firstWait is how long it waits after a failure; doubled each time, up to lastWait.
	firstWait = time.Second
	lastWait  = time.Minute
	// longestWait is the most that a receiver can ask for.
	longestWait = 10 * time.Minute
	// batchBytes bounds what is read at once, and so the memory of a Shipper.
	batchBytes = 1 << 20
)

// Options are what a Shipper needs.
type Options struct {
	Name    string
	Sink    Sink
	Source  Source
	Cursors *Cursors
	Cursor  string // the name under which its cursor is kept; default Name
	// Format makes what is shipped of what was read.
	Format     func(audit.Line) (Item, error)
	Batch      int           // items at once, at most
	Timeout    time.Duration // of one batch
	FromNewest bool          // a sink without a cursor begins behind the newest item, in place of before the oldest
	// Gap puts on record that items were removed before they were shipped. It is called again until it returns nil.
	Gap func(ctx context.Context, gap Gap) error
	Log *slog.Logger
	Now func() time.Time
	// Wait is between attempts; nil is pause.For.
	Wait func(context.Context, time.Duration) error
}

// Gap is items that a sink never gets.
type Gap struct {
	Sink  string
	Range audit.Range // To 0: to the end of a log that is no longer there
	Log   string      // of which log
}

// String is a sentence about it.
func (g Gap) String() string {
	if g.Range.To == 0 {
		return fmt.Sprintf("what came after number %d of log %s was gone before it was shipped: another log is there",
			g.Range.From-1, g.Log)
	}
	return fmt.Sprintf("numbers %d to %d of log %s were removed before they were shipped", g.Range.From, g.Range.To,
		g.Log)
}

// Shipper ships what a Source has to a Sink, for as long as Run is called.
type Shipper struct {
	o Options

	cursor Cursor     // Run's own
	next   audit.Mark // becomes the cursor's anchor once it is signed
	loaded bool
	dirty  bool // the cursor on disk is an older one
	batch  int  // how many items are sent at once now

	mu     sync.Mutex
	status Status
}

// Status is where a sink stands.
type Status struct {
	Sink    string    `json:"sink"`
	Seq     int       `json:"seq"`               // the receiver has everything up to it
	Newest  int       `json:"newest"`            // of the log
	Behind  int       `json:"behind"`            // how many that is, but for what no file has any more
	Oldest  time.Time `json:"oldest,omitzero"`   // of the item that waits longest
	Last    time.Time `json:"last,omitzero"`     // when the receiver last took something
	Failing time.Time `json:"failing,omitzero"`  // since when it does not; zero: it does
	Why     string    `json:"why,omitempty"`     // why not
	Hint    string    `json:"hint,omitempty"`    // what to do
	Skipped int       `json:"skipped,omitempty"` // items in gaps

	Shipped  int `json:"shipped"`  // since this process began
	Failures int `json:"failures"` // attempts that failed, since then
}

// New returns a Shipper; Run has it work.
func New(o Options) *Shipper {
	if o.Wait == nil {
		o.Wait = pause.For
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Cursor == "" {
		o.Cursor = o.Name
	}
	o.Batch = max(1, o.Batch)
	return &Shipper{o: o, batch: o.Batch, status: Status{Sink: o.Name}}
}

// Close lets go of the sink's connections. Run has ended.
func (s *Shipper) Close() error { return s.o.Sink.Close() }

// Status is a snapshot.
func (s *Shipper) Status() Status {
	newest := s.o.Source.Newest()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Newest, st.Behind = newest, max(0, newest-st.Seq)
	return st
}

// Lag is how long the item that waits longest has waited.
func (st Status) Lag(now time.Time) time.Duration {
	from := st.Oldest
	if from.IsZero() && st.Behind > 0 {
		from = st.Failing
	}
	if from.IsZero() {
		return 0
	}
	return max(0, now.Sub(from))
}

// Run ships until ctx ends. It may be called again after a panic.
func (s *Shipper) Run(ctx context.Context) {
	s.load(ctx)
	wait := firstWait
	for ctx.Err() == nil {
		more, err := s.step(ctx)
		if ctx.Err() != nil {
			return
		}
		s.judged(ctx, err)
		pausing := lookEvery
		_, unsaved := errors.AsType[*unsavedError](err)
		switch {
		case err != nil && (!unsaved || !more):
			pausing = wait
			if told, ok := errors.AsType[*WaitError](err); ok {
				pausing = min(max(wait, told.After), longestWait)
			}
			wait = min(2*wait, lastWait)
		case more:
			wait = firstWait
			continue
		default:
			wait = firstWait
		}
		if s.o.Wait(ctx, pausing) != nil {
			return
		}
	}
}

// load reads the cursor. One that cannot be read counts as none: records that come twice are better than none.
func (s *Shipper) load(ctx context.Context) {
	if s.loaded {
		return
	}
	at, found, err := s.o.Cursors.Load(s.o.Cursor)
	if err != nil {
		s.o.Log.ErrorContext(ctx, "an audit sink begins with the oldest record", "sink", s.o.Name, "error", err)
	}
	if !found && err == nil && s.o.FromNewest {
		end, err := s.o.Source.End(ctx)
		if err != nil {
			s.o.Log.ErrorContext(ctx, "an audit sink begins with the oldest record", "sink", s.o.Name, "error", err)
		}
		at.At, at.Anchor = end, end
		s.dirty = true
	}
	s.cursor, s.next, s.loaded = at, at.At, true
	s.mu.Lock()
	s.status.Seq, s.status.Last, s.status.Skipped = at.At.Seq, at.Time, at.Skipped
	s.mu.Unlock()
}

// step ships one batch. more: there is probably more at once.
func (s *Shipper) step(ctx context.Context) (more bool, err error) {
	run, err := s.o.Source.Read(ctx, s.cursor.At, audit.Bound{
		Upto: s.o.Source.Newest(), Records: s.batch, Bytes: batchBytes,
	})
	switch {
	case errors.Is(err, audit.ErrNoMark):
		s.rewind(ctx, err)
		return true, nil
	case errors.Is(err, audit.ErrOtherLog):
		return true, s.leave(ctx)
	case err != nil:
		return false, err
	case run.Gap != (audit.Range{}) && run.Gap != s.cursor.Gap:
		if err := s.skip(ctx, Gap{Sink: s.o.Name, Range: run.Gap, Log: s.cursor.At.Log}); err != nil {
			return false, err
		}
	}
	if len(run.Lines) == 0 {
		s.waiting(time.Time{})
		if s.dirty {
			return false, s.save(s.cursor)
		}
		return false, nil
	}
	s.waiting(run.Lines[0].Time)
	return true, s.ship(ctx, run)
}

func (s *Shipper) waiting(oldest time.Time) {
	s.mu.Lock()
	s.status.Oldest = oldest
	s.mu.Unlock()
}

func (s *Shipper) ship(ctx context.Context, run audit.Run) error {
	items := make([]Item, 0, len(run.Lines))
	for _, line := range run.Lines {
		item, err := s.o.Format(line)
		if err != nil {
			return fmt.Errorf("formatting number %d: %w", line.Seq, err)
		}
		items = append(items, item)
	}
	trying, stop := context.WithTimeout(ctx, s.o.Timeout)
	err := guard.Try("shipping audit records", func() error { return s.o.Sink.Ship(trying, items) })
	stop()
	if errors.Is(err, ErrTooLarge) && len(items) > 1 {
		s.batch = len(items) / 2
		return nil // and at once again
	}
	if err != nil {
		return err
	}
	s.batch = min(2*s.batch, s.o.Batch)
	now := s.o.Now()
	s.cursor.At, s.cursor.Time = run.At, now
	if s.next.Seq <= s.o.Source.Signed() {
		s.cursor.Anchor, s.next = s.next, run.At
	}
	s.mu.Lock()
	s.status.Seq, s.status.Last, s.status.Oldest = run.At.Seq, now, time.Time{}
	s.status.Shipped += len(items)
	s.mu.Unlock()
	// What cannot be saved is shipped again after a restart. That is no reason to ship nothing meanwhile.
	return s.save(s.cursor)
}

// rewind goes back to where the log is known to be as it was: its end was lost, and was written otherwise since.
func (s *Shipper) rewind(ctx context.Context, why error) {
	from := s.cursor.At.Seq
	if s.cursor.At == s.cursor.Anchor {
		s.cursor.Anchor = audit.Mark{}
	}
	s.cursor.At, s.next = s.cursor.Anchor, s.cursor.Anchor
	s.o.Log.WarnContext(ctx, "an audit sink goes back: some records come again, and some numbers with other records",
		"sink", s.o.Name, "from", from, "to", s.cursor.At.Seq, "why", why)
	s.mu.Lock()
	s.status.Seq = s.cursor.At.Seq
	s.mu.Unlock()
}

// leave begins with another log.
func (s *Shipper) leave(ctx context.Context) error {
	gap := Gap{Sink: s.o.Name, Range: audit.Range{From: s.cursor.At.Seq + 1}, Log: s.cursor.At.Log}
	err := s.skip(ctx, gap)
	if _, unsaved := errors.AsType[*unsavedError](err); err != nil && !unsaved {
		return err
	} // an unsaved one is on record, and would be again with each step
	s.cursor.At, s.cursor.Anchor, s.next = audit.Mark{}, audit.Mark{}, audit.Mark{}
	s.mu.Lock()
	s.status.Seq = 0
	s.mu.Unlock()
	return s.save(s.cursor)
}

// skip tells of a gap, once.
func (s *Shipper) skip(ctx context.Context, gap Gap) error {
	if s.o.Gap != nil {
		if err := s.o.Gap(ctx, gap); err != nil {
			return fmt.Errorf("putting a gap of audit sink %q on record: %w", s.o.Name, err)
		}
	}
	s.o.Log.ErrorContext(ctx, "an audit sink has a gap", "sink", s.o.Name, "gap", gap.String())
	s.cursor.Gap = gap.Range
	s.cursor.Skipped += max(1, gap.Range.To-gap.Range.From+1) // of an unknown number at least one is counted
	s.mu.Lock()
	s.status.Skipped = s.cursor.Skipped
	s.mu.Unlock()
	return s.save(s.cursor)
}

func (s *Shipper) save(at Cursor) error {
	err := s.o.Cursors.Save(s.o.Cursor, at)
	s.dirty = err != nil
	if err != nil {
		return &unsavedError{fault.WithHint(err, "free the disk of the data directory; what is shipped until then "+
			"comes again after a restart")}
	}
	return nil
}

// unsavedError is an error after which shipping goes on all the same.
type unsavedError struct{ error }

// Unwrap implements errors.Unwrap.
func (e *unsavedError) Unwrap() error { return e.error }

// judged notes how a step ended. An outage is logged once.
func (s *Shipper) judged(ctx context.Context, err error) {
	s.mu.Lock()
	before := s.status.Failing
	if err == nil {
		s.status.Failing, s.status.Why, s.status.Hint = time.Time{}, "", ""
	} else {
		s.status.Failures++
		s.status.Why, s.status.Hint = err.Error(), fault.HintOf(err)
		if before.IsZero() {
			s.status.Failing = s.o.Now()
		}
	}
	s.mu.Unlock()
	switch {
	case err != nil && before.IsZero():
		s.o.Log.WarnContext(ctx, "an audit sink takes nothing; it gets the rest when it does again", "sink", s.o.Name,
			"error", err, "hint", fault.HintOf(err))
	case err == nil && !before.IsZero():
		s.o.Log.InfoContext(ctx, "an audit sink takes records again", "sink", s.o.Name)
	}
}
