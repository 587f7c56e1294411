package proxytoken

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/pause"
	"sallyport/internal/rotation"
)

// scheduleInterval is how often the schedule is looked at; the shortest `every` is a minute.
const scheduleInterval = 15 * time.Second

// ScheduleOptions are what a Schedule needs.
type ScheduleOptions struct {
	Config   func() *config.Config                            // the active one
	Rotator  func() *Rotator                                  // under the active configuration
	Record   func(ctx context.Context, ev *audit.Event) error // puts on record that a token is about to be rotated
	Failed   func(token string)                               // counts a rotation that failed
	Panicked func(why *fault.Panic)
	Log      *slog.Logger
}

// Schedule rotates what is due.
type Schedule struct {
	o     ScheduleOptions
	waits map[string]*backoff
}

// NewSchedule returns a Schedule that has not tried anything yet.
func NewSchedule(o ScheduleOptions) *Schedule { return &Schedule{o, make(map[string]*backoff)} }

// Run rotates what is due until ctx ends. After a failure it waits longer each time: every attempt is a generation and
// a record.
func (s *Schedule) Run(ctx context.Context) {
	for pause.For(ctx, scheduleInterval) == nil {
		s.Look(ctx)
	}
}

// Look rotates what is due now. It is for one caller at a time.
func (s *Schedule) Look(ctx context.Context) {
	list, err := s.o.Rotator().Tokens.List(ctx)
	if err != nil {
		s.o.Log.ErrorContext(ctx, "looking for tokens to rotate", "error", err)
		return
	}
	for name, c := range s.o.Config().Tokens {
		if c.Rotate == nil || c.Rotate.Every <= 0 || !due(list, name, c.Rotate.Every) {
			continue
		}
		if s.waits[name] == nil {
			s.waits[name] = new(backoff)
		}
		left := leftOf(list, name)
		s.waits[name].longest = longestWait(left)
		// a panic is this token's failure, and keeps no other from its rotation
		s.waits[name].try(time.Now(), func() error {
			err := guard.Try("rotating a token", func() error { return s.rotate(ctx, name, c, left) })
			if why, ok := errors.AsType[*fault.Panic](err); ok {
				s.o.Panicked(why)
			}
			return err
		})
	}
}

// leftOf is how long the last generation of name is accepted still; 0 and less: it has ended, and the greatest: no end
// is set.
func leftOf(list []token.Generation, name string) time.Duration {
	g := token.Last(list, name)
	if g == nil || g.Expires.IsZero() {
		return math.MaxInt64
	}
	return time.Until(g.Expires)
}

// longestWait is the longest pause between two attempts: short enough for several before a token runs out, and when it
// has, a minute, for nothing works until then.
func longestWait(left time.Duration) time.Duration {
	return min(max(left/8, time.Minute), time.Hour)
}

// backoff spaces attempts that fail: 30 s, then twice as long each time, up to the longest.
type backoff struct {
	next    time.Time
	wait    time.Duration
	longest time.Duration // 0: an hour
}

func (b *backoff) try(now time.Time, do func() error) {
	if now.Before(b.next) && (b.longest == 0 || b.next.Sub(now) <= b.longest) {
		return
	}
	if do() == nil {
		*b = backoff{}
		return
	}
	b.wait = min(max(2*b.wait, 2*scheduleInterval), cmp.Or(b.longest, time.Hour))
	b.next = now.Add(b.wait)
}

// DueAt is when the last generation of name is as old as it may get, or has run out. It is zero for one that a person
// revoked, which the clock does not replace, and for a token that was never issued.
func DueAt(list []token.Generation, name string, age time.Duration) time.Time {
	g := token.Last(list, name)
	if g == nil || !g.Revoked.IsZero() {
		return time.Time{}
	}
	at := g.Created.Add(age)
	for _, end := range []time.Time{g.Expires, g.RetireAt} {
		if !end.IsZero() && end.Before(at) {
			at = end
		}
	}
	return at
}

func due(list []token.Generation, name string, age time.Duration) bool {
	at := DueAt(list, name, age)
	return !at.IsZero() && !time.Now().Before(at)
}

func (s *Schedule) rotate(ctx context.Context, name string, c *config.Token, left time.Duration) error {
	if c.Rotate.Push == nil || c.Rotate.Push.N8N == nil {
		s.o.Failed(name)
		s.o.Log.WarnContext(ctx, "a token is due for rotation, but nothing says where to write it", "token", name,
			"time_left", timeLeft(left),
			"hint", "set rotate.push, or run `sallyport token rotate "+name+"`")
		return errNotRotated
	}
	err := s.o.Record(ctx, &audit.Event{Actor: "schedule", Action: "token.rotate", Subject: name})
	var result rotation.Result
	if err == nil {
		result, err = s.o.Rotator().Rotate(ctx, Rotation{Name: name, PushN8N: true})
	}
	switch {
	case errors.Is(err, rotation.ErrInProgress):
		s.o.Log.InfoContext(ctx, "a rotation is in progress elsewhere", "token", name)
	case unconfirmed(err) && result.ID != "":
		s.o.Log.WarnContext(ctx, "token rotated, but not every replica confirmed it", "token", name,
			"generation", result.ID, "why", err)
		return nil
	case err != nil:
		s.o.Failed(name)
		s.o.Log.ErrorContext(ctx, "ROTATION FAILED; no token was revoked", "token", name, "time_left", timeLeft(left),
			"error", err, "hint", fault.HintOf(err))
	default:
		s.o.Log.InfoContext(ctx, "token rotated", "token", name, "generation", result.ID, "note", result.Note)
	}
	return err
}

// timeLeft says for people how long a token is accepted still.
func timeLeft(left time.Duration) string {
	switch {
	case left == math.MaxInt64:
		return "no end is set"
	case left <= 0:
		return "none: it HAS EXPIRED, n8n's calls are refused"
	}
	return left.Round(time.Second).String()
}

// errNotRotated is logged where it occurs.
var errNotRotated = errors.New("not rotated")
