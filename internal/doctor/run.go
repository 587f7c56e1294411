package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// The bounds of a run, and of what it keeps.
const (
	DefaultTimeout  = 30 * time.Second // for one check
	DefaultParallel = 8                // checks at one time

	maxSeen     = 200  // of one check
	maxSubject  = 200  // characters
	maxEvidence = 600  // characters
	maxRemedy   = 1200 // characters

	// patience is what a check gets beyond its time to say what it has seen. Without a report of its own it is said to
	// have hung.
	patience = 2 * time.Second
)

// Options say how a run goes. The zero value is a run with the defaults.
type Options struct {
	Timeout  time.Duration // for a check that has none of its own
	Parallel int
	Fix      bool                                 // repair what is safe
	Told     func(done, of int, running []string) // is told how far it is, never twice at once; may be nil
	Version  string
	Host     string
}

// Run runs the checks, and says how they turned out. The error is that of ctx: checks that had not ended then could not
// look.
func Run(ctx context.Context, checks []Check, on *site.Site, o Options) (Report, error) {
	r := Report{Version: o.Version, Host: o.Host, Began: time.Now().UTC(), Results: make([]Result, len(checks))}
	p := &progress{of: len(checks), told: o.Told}
	slots := make(chan struct{}, cmp.Or(max(o.Parallel, 0), DefaultParallel))
	var group guard.Group
	for i := range checks {
		group.Go("running a check", func() {
			r.Results[i] = Result{Began: time.Now().UTC()}
			select {
			case slots <- struct{}{}:
				p.began(checks[i].ID)
				r.Results[i] = one(ctx, &checks[i], on, o)
				p.ended(checks[i].ID)
				<-slots
			case <-ctx.Done():
				r.Results[i] = conclude(&checks[i], time.Now(), nil, errInterrupted)
			}
		})
	}
	group.Wait()
	for i := range r.Results {
		r.Counts.add(r.Results[i].Status)
	}
	r.Ended = time.Now().UTC()
	return r, ctx.Err()
}

var errInterrupted = errors.New("it was interrupted")

// outcome is what a check has returned.
type outcome struct {
	seen  []Seen
	fixed []string
	err   error
}

// one runs a check. One that does not return in its time is left behind.
func one(ctx context.Context, c *Check, on *site.Site, o Options) Result {
	began := time.Now()
	limit := cmp.Or(c.Timeout, o.Timeout, DefaultTimeout)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	came := make(chan outcome, 1)
	guard.Go("running check "+c.ID, func() { came <- look(bounded, c, on, o.Fix) },
		func(p *fault.Panic) { came <- outcome{err: p} })
	var got outcome
	select {
	case got = <-came:
	case <-bounded.Done():
		hung := time.NewTimer(patience)
		defer hung.Stop()
		select {
		case got = <-came:
		case <-hung.C:
			got.err = fault.WithHint(fmt.Errorf("no response within %s", limit),
				"what it looks at hangs, or needs more: --timeout 2m")
		}
	}
	if ctx.Err() != nil && got.err != nil {
		got.err = errInterrupted
	}
	result := conclude(c, began, got.seen, got.err)
	for _, line := range got.fixed {
		result.Fixed = append(result.Fixed, clean(line, maxEvidence))
	}
	return result
}

// look looks and, where that is wanted, repairs what it may, and looks again.
func look(ctx context.Context, c *Check, on *site.Site, fix bool) outcome {
	seen, err := c.Look(ctx, on)
	if err != nil || !fix || c.Fix == nil || status(seen) == OK {
		return outcome{seen: seen, err: err}
	}
	fixed, err := c.Fix(ctx, on, seen)
	again, lookErr := c.Look(ctx, on)
	if err != nil {
		again = append(again, Bad("--fix", err.Error(), fault.HintOf(err)))
	}
	return outcome{seen: again, fixed: fixed, err: lookErr}
}

// status is that of all that a check has seen; nothing is Unseen.
func status(seen []Seen) Status {
	worst := OK
	for i := range seen {
		worst = Worse(worst, seen[i].Status)
	}
	if len(seen) == 0 {
		return Unseen
	}
	return worst
}

// conclude makes the result of what was seen: clean, bounded, the worst first.
func conclude(c *Check, began time.Time, seen []Seen, err error) Result {
	r := Result{
		ID: c.ID, Title: c.Title, Severity: c.Severity, Asks: c.Asks, Guide: c.Guide, Page: PageOf(c.ID),
		Began: began.UTC(), Millis: time.Since(began).Milliseconds(),
	}
	seen = slices.Clone(seen)
	if err != nil {
		seen = append(seen, DarkBy(c.ID, err))
	}
	if len(seen) == 0 {
		seen = []Seen{Dark(c.ID, "there was nothing to look at", "its page says what it looks at")}
	}
	for i := range seen {
		s := &seen[i]
		if s.Status != OK && s.Status.rank() == OK.rank() {
			s.Status = Unseen // who has not said how it is has not said that it is well
		}
		s.Subject, s.Evidence = clean(s.Subject, maxSubject), clean(s.Evidence, maxEvidence)
		s.Remedy, s.File = clean(s.Remedy, maxRemedy), clean(s.File, maxRemedy)
	}
	slices.SortStableFunc(seen, func(a, b Seen) int { return cmp.Compare(a.Status.rank(), b.Status.rank()) })
	r.Status = status(seen)
	if len(seen) > maxSeen {
		r.More = len(seen) - maxSeen
		seen = seen[:maxSeen]
	}
	r.Seen = seen
	return r
}

// PageOf is the page of a check, from the top of the repository.
func PageOf(id string) string { return path.Join("docs/doctor", id+".md") }

// clean makes one line of a text that may be anybody's: without what commands a terminal or turns text around, and not
// longer than so many characters.
func clean(text string, most int) string {
	if len(text) > most*8 {
		text = text[:most*8] // cut before it is walked through: it may be a stranger's megabytes
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r) && r != '\u200d':
			return '\ufffd'
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

func (n *Counts) add(s Status) {
	switch s {
	case Failed:
		n.Failed++
	case Warning:
		n.Warning++
	case OK:
		n.OK++
	default:
		n.Unseen++
	}
}

// String is the counts in words.
func (n Counts) String() string {
	var parts []string
	for _, one := range []struct {
		n    int
		what Status
	}{{n.Failed, Failed}, {n.Warning, Warning}, {n.Unseen, Unseen}, {n.OK, OK}} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.what))
		}
	}
	return strings.Join(parts, ", ")
}

// progress tells how far a run is.
type progress struct {
	mu      sync.Mutex
	done    int
	of      int
	running []string
	told    func(done, of int, running []string)
}

func (p *progress) began(id string) {
	p.tell(func() { p.running = append(p.running, id) })
}

func (p *progress) ended(id string) {
	p.tell(func() {
		p.done++
		p.running = slices.DeleteFunc(p.running, func(one string) bool { return one == id })
	})
}

func (p *progress) tell(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	if p.told != nil {
		p.told(p.done, p.of, slices.Clone(p.running))
	}
}
