package cli

import (
	"fmt"
	"io"
	"time"

	"sallyport/internal/masterkey/rekey"
)

// progress is one line on a terminal that is written over; elsewhere it is quiet.
type progress struct {
	w     io.Writer // nil: quiet
	stage string
	began time.Duration // of the stage
	last  time.Duration // when something was shown
}

const progressEvery = 200 * time.Millisecond

func newProgress(w io.Writer) *progress {
	if !isTerminal(w) {
		return &progress{}
	}
	return &progress{w: unwrapped(w)} // its own carriage return is meant; names are escaped in line
}

// show writes the line again, with the rate and the time left.
func (p *progress) show(now rekey.Progress) {
	if p.w == nil {
		return
	}
	fresh := now.Stage != p.stage
	if fresh {
		p.stage, p.began = now.Stage, now.Elapsed
	}
	if !fresh && now.Elapsed-p.last < progressEvery {
		return
	}
	p.last = now.Elapsed
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", escaped(p.line(now), ""))
}

func (p *progress) line(now rekey.Progress) string {
	line := now.Stage
	if now.Location != "" {
		line += " " + now.Location
	}
	spent := (now.Elapsed - p.began).Seconds()
	if now.Done == 0 || spent <= 0 {
		return line
	}
	rate := float64(now.Done) / spent
	if now.Total == 0 {
		return fmt.Sprintf("%s: %d rows, %.0f a second", line, now.Done, rate)
	}
	left := time.Duration(float64(now.Total-now.Done) / rate * float64(time.Second))
	return fmt.Sprintf("%s: %d of %d rows (%d%%), %.0f a second, %s left", line, now.Done, now.Total,
		100*now.Done/max(now.Total, 1), rate, max(left, 0).Round(time.Second))
}

// end clears the line.
func (p *progress) end() {
	if p.w != nil && p.stage != "" {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}
