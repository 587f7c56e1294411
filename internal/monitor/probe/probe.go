// Package probe calls each service's API by its test call from time to time, so that a dead key or an API that is away
// shows before a workflow fails.
//
// Of all replicas, one makes a probe: it claims the service's row in the database, and writes down what it has seen,
// which the others show too. Probes go through the gate's own pipeline, as a caller of its own: they are on record, and
// in no metric of callers. Only GET and HEAD are called by themselves (config.ProbeOf).
//
// It decides nothing: a service whose probe fails is called as before.
//
// Invariant: while a replica holds the claim of a service, no other one probes it.
package probe

import (
	"context"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

const (
	atOnce   = 16               // probes under way in this process
	timeout  = 15 * time.Second // of one
	claimFor = 2 * timeout      // how long a replica that does not come back is waited for
	perLook  = 100              // probes that one look begins
	look     = 5 * time.Second
	// lookMore is how much longer the pause between looks is for each service: a look reads the whole table
	lookMore = 2 * time.Millisecond
	// spread is how far apart the first probes of services are, over min(every, services × spread)
	spread     = 250 * time.Millisecond
	retryFirst = time.Minute // until what fails is looked at again; it doubles, up to the service's own time
	// retryRefused is the same for a credential that was refused: accounts are locked after a few tries in a short
	// time. It doubles up to refusedLast, or to the service's own time if that is longer.
	retryRefused = 10 * time.Minute
	refusedLast  = time.Hour
)

// Options are what a Prober needs.
type Options struct {
	Config  func() *config.Config
	DB      *database.DB
	Key     []byte // authenticates rows; all replicas have it
	Replica string // this one's id
	// makes a call through the gate's own pipeline; the error is an *inside.Error, or about req itself
	Call func(ctx context.Context, service string, req *http.Request) (*http.Response, error)
	// tells whether the service's rules let a call through
	Permits func(service, method, path string) bool
	// is equal to what it was before only if the service's credential is the same
	Version func(service string) any
	// is told of each result that another replica has seen
	Learned func(service string, r *Result)
	Log     *slog.Logger
	Now     func() time.Time
	Broke   func(name string, why *fault.Panic)
}

// Prober probes. It is safe for concurrent use.
type Prober struct {
	o       Options
	rows    rows
	started time.Time
	places  chan struct{} // one for each probe under way

	mu    sync.Mutex
	known map[string]row // by service, as the last look read them, and what was probed here since
	away  bool           // the last look found no database
	count map[Verdict]int
	tried map[string]any // the credential with which a probe was made here
}

// New returns a Prober. Run makes it work.
func New(o Options) *Prober {
	return &Prober{
		o: o, rows: rows{o.DB, o.Key, o.Replica}, started: o.Now(), places: make(chan struct{}, atOnce),
		known: make(map[string]row), count: make(map[Verdict]int),
		tried: make(map[string]any),
	}
}

// Run probes until ctx ends, and returns when the last probe has.
func (p *Prober) Run(ctx context.Context) {
	var running guard.Group
	defer running.Wait()
	for {
		p.Look(ctx, &running)
		timer := time.NewTimer(look + time.Duration(len(p.o.Config().Services))*lookMore)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Look begins the probes that are due, those that wait longest first, as far as there is room.
func (p *Prober) Look(ctx context.Context, running *guard.Group) {
	c := p.o.Config()
	due := p.plan(c)
	if len(due) == 0 || !p.read(ctx, due) {
		return
	}
	for _, one := range p.ripe(due) {
		select {
		case <-ctx.Done():
			return
		case p.places <- struct{}{}:
		default:
			return // all places are taken: the next look goes on
		}
		running.Go("probing a service", func() {
			defer func() { <-p.places }()
			if why := guard.Call("probing a service", func() { p.probe(ctx, one) }); why != nil {
				p.o.Broke("probes", why)
			}
		})
	}
}

// planned is a service with its probe.
type planned struct {
	name  string
	probe config.Probe
	seen  row
}

// plan are the services that are probed, and that the gate lets be.
func (p *Prober) plan(c *config.Config) (list []planned) {
	for name := range c.Services {
		if one, why := p.probeOf(c, name); why == "" {
			list = append(list, planned{name: name, probe: one})
		}
	}
	return list
}

// probeOf is the probe of a service, or why it has none.
func (p *Prober) probeOf(c *config.Config, name string) (config.Probe, string) {
	one, why := c.ProbeOf(name)
	path, _, _ := strings.Cut(one.Path, "?")
	if why == "" && !p.o.Permits(name, one.Method, path) {
		why = "its allow rules do not let " + one.Method + " " + path + " through"
	}
	return one, why
}

// read takes over what the table says, and tells of what other replicas have found.
func (p *Prober) read(ctx context.Context, due []planned) bool {
	known, err := p.rows.all(ctx)
	learned := p.take(ctx, due, known, err)
	for name, r := range learned {
		p.o.Learned(name, r)
	}
	return err == nil
}

// take returns the results that are news here: of services that are probed, and no older than a probe may be.
func (p *Prober) take(ctx context.Context, due []planned, known map[string]row, err error) map[string]*Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if !p.away && ctx.Err() == nil {
			p.o.Log.WarnContext(ctx, "services are not probed for the moment", "error", err)
		}
		p.away = true
		return nil
	}
	p.away = false
	learned := make(map[string]*Result)
	for i := range due {
		before, now := p.known[due[i].name].result, known[due[i].name].result
		if now == nil || now.From == p.o.Replica || p.o.Now().Sub(now.At) > 2*due[i].probe.Every {
			continue
		}
		if before == nil || before.At.Before(now.At) {
			learned[due[i].name] = now
		}
	}
	p.known = known
	return learned
}

// ripe are the probes that are due, in the order in which they became so.
func (p *Prober) ripe(list []planned) []planned {
	now := p.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	window := time.Duration(len(list)) * spread
	ripe := list[:0]
	for _, one := range list {
		row, there := p.known[one.name]
		if !there { // the first time: apart, and at the same time on every replica
			row.due = p.started.Add(time.Duration(share(one.name) * float64(min(window, one.probe.Every))))
		}
		one.seen = row
		if p.mended(one.name, row.result) {
			row.due, one.seen.due = now, row.due
		}
		if row.free(now, one.probe.Every) {
			ripe = append(ripe, one)
		}
	}
	slices.SortFunc(ripe, func(a, b planned) int {
		return a.seen.due.Compare(b.seen.due)
	})
	return ripe[:min(len(ripe), perLook)]
}

// mended tells whether a credential that did not work here is another one by now: that is tried at once.
func (p *Prober) mended(name string, last *Result) bool {
	return last != nil && last.From == p.o.Replica && (last.Verdict == Refused || last.Verdict == NoKey) &&
		p.o.Version(name) != p.tried[name]
}

// share is a number from 0 to 1 that belongs to a name.
func share(name string) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return float64(h.Sum32()) / (1 << 32)
}

// probe claims a service, calls it, and writes down what came of it.
func (p *Prober) probe(ctx context.Context, one planned) {
	now := p.o.Now()
	ours, err := p.rows.claim(ctx, one.name, one.seen, now)
	if err != nil || !ours {
		return // another replica was first, or the database is away, which is told elsewhere
	}
	r := p.call(ctx, &one.probe, one.name)
	version := p.o.Version(one.name) // after it: a call may itself obtain another token, which was tried then
	if ctx.Err() != nil {
		return // stopping says nothing of the API; the claim runs out
	}
	if before := one.seen.result; before != nil && r.Verdict != Works {
		r.Failures = before.Failures + 1
		if !r.Expires.After(before.Expires) {
			r.Expires = before.Expires
		}
	} else if r.Verdict != Works {
		r.Failures = 1
	}
	due := p.o.Now().Add(wait(&r, one.probe.Every, rand.Float64())) //nolint:gosec // not for secrets
	p.note(one.name, row{due: due, result: &r}, version)
	if err := p.rows.save(ctx, one.name, &r, due); err != nil && ctx.Err() == nil {
		p.o.Log.WarnContext(ctx, "keeping what a probe has shown", "service", one.name, "error", err)
	}
	p.tell(ctx, one, &r)
}

// call makes the call.
func (p *Prober) call(ctx context.Context, c *config.Probe, name string) Result {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	before := p.o.Now()
	req, err := http.NewRequestWithContext(ctx, c.Method, c.Path, http.NoBody)
	var resp *http.Response
	if err == nil {
		req.Header.Set("Accept", "application/json, text/plain, */*")
		req.Header.Set("User-Agent", "sallyport-probe") // GitHub and others refuse a call without one
		resp, err = p.o.Call(ctx, name, req)            //nolint:bodyclose // judged closes it
	}
	r := judged(c, resp, err, before)
	if r.Verdict != Works && ctx.Err() != nil {
		r.Verdict, r.Code, r.Message = Down, fault.UpstreamTimeout, "the API did not respond within "+timeout.String()
	}
	r.At, r.Took, r.From = before, p.o.Now().Sub(before), p.o.Replica
	return r
}

// wait is how long until the next probe. chance is from 0 to 1.
func wait(r *Result, every time.Duration, chance float64) time.Duration {
	d := every
	doubled := min(max(r.Failures-1, 0), 20)
	switch r.Verdict {
	case Works, Limited:
	case Refused:
		d = min(max(every, refusedLast), retryRefused<<doubled)
	default:
		d = min(every, retryFirst<<doubled)
	}
	return max(time.Duration((0.9+0.2*chance)*float64(d)), r.retryAfter)
}

func (p *Prober) note(name string, now row, version any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[name], p.tried[name] = now, version
	p.count[now.result.Verdict]++
}

// tell logs what changes.
func (p *Prober) tell(ctx context.Context, one planned, r *Result) {
	before := one.seen.result
	switch works, known := r.Told(); {
	case works && before != nil && before.Verdict != Works:
		p.o.Log.InfoContext(ctx, "a service's probe works again", "service", one.name)
	case !works && known && (before == nil || before.Verdict != r.Verdict):
		p.o.Log.WarnContext(ctx, "a service's probe fails", "service", one.name, "verdict", string(r.Verdict),
			"status", r.Status, "code", r.Code, "why", r.Message)
	}
}
