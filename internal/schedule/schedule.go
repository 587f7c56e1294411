// Package schedule says when a rotation is due: by an interval or a cron expression, spread by jitter, inside windows
// and outside freezes, in a time zone. It is a function of the last run and the time: it keeps nothing, and runs
// nothing. A schedule decides when a run may begin; one that has begun is not interrupted.
package schedule

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	_ "time/tzdata" // images without a base system have no time zones

	"sallyport/internal/fault"

	"github.com/robfig/cron/v3"
)

// Text is a schedule as people write it.
type Text struct {
	Every time.Duration // after the last run; or
	Cron  string        // five fields, or @daily and its like
	Zone  string        // of everything here, such as Europe/Berlin; "" is UTC
	// when a run may begin: "22:00-04:00", "Sat,Sun 00:00-24:00", "Mon-Fri 20:00-23:30"; none is always
	Window []string
	Freeze []string // when none may: "2026-12-20..2027-01-03", the last day included
	// by up to which a run begins later; always the same for one name and last run, on every replica
	Jitter time.Duration
}

// Schedule tells when runs are due. It is not changed once it is made.
type Schedule struct {
	every   time.Duration
	cron    cron.Schedule
	zone    *time.Location
	windows []window
	freezes []freeze
	jitter  time.Duration
}

// Parse reads a schedule. Neither Every nor Cron is a schedule of which nothing is ever due.
func Parse(t Text) (*Schedule, error) {
	s := &Schedule{every: t.Every, jitter: t.Jitter, zone: time.UTC}
	var err error
	if t.Zone != "" {
		if s.zone, err = time.LoadLocation(t.Zone); err != nil || t.Zone == "Local" {
			return nil, fault.WithHint(fmt.Errorf("reading the time zone %q: there is none of this name", t.Zone),
				"write it as Europe/Berlin, or UTC")
		}
	}
	switch {
	case t.Every < 0 || t.Jitter < 0:
		return nil, errors.New("reading a schedule: an interval is negative")
	case t.Every > 0 && t.Cron != "":
		return nil, fault.WithHint(errors.New("reading a schedule: it has an interval and a cron expression"),
			"keep one of them")
	case strings.Contains(t.Cron, "TZ="):
		return nil, fault.WithHint(fmt.Errorf("reading the schedule %q: it has a time zone of its own", t.Cron),
			"write the zone under zone")
	case t.Cron != "":
		if s.cron, err = cron.ParseStandard(t.Cron); err != nil {
			return nil, fault.WithHint(fmt.Errorf("reading the schedule %q: %w", t.Cron, err),
				"write minute, hour, day of month, month, day of week: 0 3 * * 0 is Sundays at 3")
		}
	}
	for _, text := range t.Window {
		w, err := parseWindow(text)
		if err != nil {
			return nil, err
		}
		s.windows = append(s.windows, w)
	}
	for _, text := range t.Freeze {
		f, err := parseFreeze(text, s.zone)
		if err != nil {
			return nil, err
		}
		s.freezes = append(s.freezes, f)
	}
	return s, nil
}

// Next returns the earliest time from now on at which a run of name may begin, after one that began at last: now itself
// if it is due. Zero: never. A last that lies ahead is from before the clock was set back, and counts as now.
func (s *Schedule) Next(name string, last, now time.Time) time.Time {
	if last.After(now) {
		last = now
	}
	var due time.Time
	switch {
	case s.every > 0:
		due = last.Add(s.every)
	case s.cron != nil:
		due = s.cron.Next(last.In(s.zone))
	}
	if due.IsZero() {
		return time.Time{}
	}
	due = due.Add(s.spread(name, last))
	if due.Before(now) {
		due = now // it was missed, or had to wait
	}
	return s.open(due)
}

// spread is the jitter of one run.
func (s *Schedule) spread(name string, last time.Time) time.Duration {
	if s.jitter == 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte(name+"\x00"), uint64(last.Unix()))) //nolint:gosec // the bits matter
	const parts = 1 << 20
	return s.jitter / parts * time.Duration(h.Sum64()%parts)
}

// farthest is how many windows and freezes are tried one after the other.
const farthest = 5000

// open is the earliest time from t on that is in a window and in no freeze. Zero: none.
func (s *Schedule) open(t time.Time) time.Time {
	for range farthest {
		next := t
		for _, f := range s.freezes {
			if !next.Before(f.from) && next.Before(f.to) {
				next = f.to
			}
		}
		if next = s.inWindow(next); next.Equal(t) {
			return t
		}
		t = next
	}
	return time.Time{}
}

// inWindow is the earliest time from t on that is in a window.
func (s *Schedule) inWindow(t time.Time) time.Time {
	if len(s.windows) == 0 {
		return t
	}
	var first time.Time
	year, month, day := t.In(s.zone).Date()
	for ahead := -1; ahead <= 7; ahead++ {
		for _, w := range s.windows {
			from, to := w.on(year, month, day+ahead, s.zone)
			switch {
			case !w.days[from.Weekday()] || !t.Before(to):
			case !t.Before(from):
				return t
			case first.IsZero() || from.Before(first):
				first = from
			}
		}
	}
	return first
}

// window is a part of some days of the week.
type window struct {
	days     [7]bool // on which it begins
	from, to int     // minutes of the day; to may be of the next day
}

// on is the window of a day. Where clocks are changed, a time that is not there is the next one that is.
func (w window) on(year int, month time.Month, day int, zone *time.Location) (from, to time.Time) {
	return time.Date(year, month, day, 0, w.from, 0, 0, zone), time.Date(year, month, day, 0, w.to, 0, 0, zone)
}

var weekdays = [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

func parseWindow(text string) (w window, err error) {
	bad := fault.WithHint(fmt.Errorf("reading the window %q: it is no window", text),
		`write it as "22:00-04:00", "Sat,Sun 00:00-24:00" or "Mon-Fri 20:00-23:30"`)
	days, hours, some := strings.Cut(text, " ")
	if !some {
		days, hours = "Sun-Sat", text
	}
	for part := range strings.SplitSeq(days, ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		a, b := weekday(first), weekday(last)
		if a < 0 || b < 0 {
			return w, bad
		}
		for d := a; ; d = (d + 1) % 7 {
			if w.days[d] = true; d == b {
				break
			}
		}
	}
	from, to, ok := strings.Cut(hours, "-")
	w.from, w.to = minutes(from), minutes(to)
	if !ok || w.from < 0 || w.to < 0 || w.from == w.to || w.from == 24*60 {
		return w, bad
	}
	if w.to < w.from {
		w.to += 24 * 60
	}
	return w, nil
}

func weekday(text string) int {
	for i, name := range weekdays {
		if strings.EqualFold(text, name) {
			return i
		}
	}
	return -1
}

// minutes reads HH:MM, up to 24:00; -1 if it is none.
func minutes(text string) int {
	if text == "24:00" {
		return 24 * 60
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return -1
	}
	return t.Hour()*60 + t.Minute()
}

// freeze is a time in which no run begins.
type freeze struct{ from, to time.Time }

func parseFreeze(text string, zone *time.Location) (f freeze, err error) {
	first, last, span := strings.Cut(text, "..")
	if !span {
		last = first
	}
	from, errFrom := time.ParseInLocation(time.DateOnly, first, zone)
	to, errTo := time.ParseInLocation(time.DateOnly, last, zone)
	if errFrom != nil || errTo != nil || to.Before(from) {
		return f, fault.WithHint(fmt.Errorf("reading the freeze %q: it is no span of days", text),
			"write it as 2026-12-20..2027-01-03; the last day is included")
	}
	return freeze{from, to.AddDate(0, 0, 1)}, nil
}
