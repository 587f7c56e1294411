package service

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// Circuit stops calls to an API that cannot be connected to, so that they do not all wait for a time-out and hold their
// places meanwhile. It opens after a number of failures to connect in a row, and lets one request through after a
// pause: if that connects it closes, otherwise the pause doubles. The first pause is short, since most outages are
// those of a restart.
//
// Only the opening of connections counts: no status of a response, nothing that goes wrong on an open connection, no
// caller that leaves, and no fault of Sallyport's own or of the machine beneath it. It is safe for concurrent use.
type Circuit struct {
	failures int64 // in a row, to open; 0: never
	first    time.Duration
	longest  time.Duration

	count   atomic.Int64 // of failures in a row
	until   atomic.Int64 // when the next try may be, as Unix time in nanoseconds; 0: closed
	probing atomic.Bool  // a request is trying
	told    atomic.Bool  // that it has opened
	mu      sync.Mutex   // guards what follows, and every change of until
	pause   time.Duration
	why     string // of the last failure
}

func newCircuit(c config.Circuit) *Circuit {
	return &Circuit{failures: int64(c.Failures), first: c.Pause, longest: max(c.Longest, c.Pause)}
}

// Admit lets a request pass, or says when to come again. Whoever is told that its request is the probe calls Probed at
// its end.
func (c *Circuit) Admit(now time.Time) (probe bool, f *fault.Fault) {
	until := c.until.Load()
	if until == 0 {
		return false, nil
	}
	wait := time.Duration(until - now.UnixNano())
	if wait <= 0 && c.probing.CompareAndSwap(false, true) {
		return true, nil
	}
	c.mu.Lock()
	why := c.why
	c.mu.Unlock()
	if wait = max(wait, time.Second); c.until.Load() == 0 {
		return false, nil // closed meanwhile
	}
	return false, fault.New(fault.CircuitOpen,
		fmt.Sprintf("it could not be connected to %d times in a row, and is not called for a moment; the last time: %s",
			c.count.Load(), why)).
		WithDetails("circuit open").WithRetryAfter(wait + time.Second - 1)
}

// Probed ends a probe, however it went.
func (c *Circuit) Probed() { c.probing.Store(false) }

// Connected notes that the API can be reached: a connection was opened, or one from before brought a response.
func (c *Circuit) Connected() {
	if c.count.Load() == 0 && c.until.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.Store(0)
	c.until.Store(0)
}

// Dialled notes how an attempt to connect ended. A failure that is not the API's does not count.
func (c *Circuit) Dialled(now time.Time, err error) {
	if err == nil {
		c.Connected()
		return
	}
	f := egress.Classify(err)
	if f.Row().Blame != fault.BlameUpstream || f.Code == fault.DestinationProhibited || c.failures == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, until := c.count.Add(1), c.until.Load()
	c.why = f.Message
	switch {
	case until == 0 && n < c.failures, until > now.UnixNano():
		return // not yet; or it was under way before the circuit opened
	case until == 0:
		c.pause = c.first
		c.told.Store(false)
	default:
		c.pause = min(2*c.pause, c.longest)
	}
	c.until.Store(now.Add(c.pause).UnixNano())
}

// Open tells whether the last attempts to connect failed, and none has succeeded since.
func (c *Circuit) Open() bool { return c.until.Load() != 0 }

// Tell is true once for each time that the circuit opens, for the log.
func (c *Circuit) Tell() bool { return c.Open() && c.told.CompareAndSwap(false, true) }

// take goes on with what another Circuit knows of the same API.
func (c *Circuit) take(before *Circuit) {
	before.mu.Lock()
	defer before.mu.Unlock()
	c.pause, c.why = before.pause, before.why
	c.count.Store(before.count.Load())
	if c.failures > 0 {
		c.until.Store(before.until.Load())
	}
}

// Inherit goes on with what a former version of the service has counted: the places that its requests hold, its rate as
// far as it is the same, and whether its API can be reached at all. Call it before s is used.
func (s *Service) Inherit(before *Service) {
	s.Limits.take(before.Limits, s.Config.Limits == before.Config.Limits)
	if s.Scheme == before.Scheme && s.Address() == before.Address() &&
		fmt.Sprint(s.Config.Proxy) == fmt.Sprint(before.Config.Proxy) {
		s.Circuit.take(before.Circuit)
	}
}
