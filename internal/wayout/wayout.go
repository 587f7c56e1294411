// Package wayout tries to leave past the gate, in each way that a workflow could, and says what got out and what
// closes it. It is run where n8n runs: in its container, its pod, its network namespace, or as its user.
//
// It does not judge rules by reading them: it sends packets and looks at what comes back. What it sends holds nothing
// of anybody's: a handshake, a question for a documented name, a fixed request.
//
// Invariants: a way is closed only where something was seen that an open way would not show. Silence proves nothing by
// itself; it counts where the other side is known to respond: an address that is public for that purpose, or one that
// the same check has reached from outside of the wall (Options.Baseline). Everything else is unclear, which is never
// taken for closed.
package wayout

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Format is the form of reports that this version writes.
const Format = "sallyport-egress-1"

// Status is what was seen of a way out.
type Status string

// The statuses, the worst first.
const (
	Open    Status = "open"
	Unclear Status = "unclear" // what was seen fits an open way and a closed one
	Closed  Status = "closed"
)

// rank is the place of a status, the worst first.
func (s Status) rank() int {
	switch s {
	case Open:
		return 0
	case Closed:
		return 2
	case Unclear:
	}
	return 1
}

func worse(a, b Status) Status {
	if b.rank() < a.rank() {
		return b
	}
	return a
}

// Attempt is one thing that was tried.
type Attempt struct {
	To     string `json:"to"` // address and port, or what was asked for
	Status Status `json:"status"`
	Saw    string `json:"saw"` // one clean line

	silent bool // nothing came back, and that shows nothing
}

// Probe is one way out with what became of it.
type Probe struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Status   Status    `json:"status"`
	Attempts []Attempt `json:"attempts"`
	Close    string    `json:"close,omitempty"` // the rule that closes it; "" for what is closed
}

// Setting is what was seen of one of n8n's own settings.
type Setting struct {
	ID  string `json:"id"`
	OK  bool   `json:"ok"`
	Saw string `json:"saw"`          // never a value that may be secret
	Do  string `json:"do,omitempty"` // what to change
}

// Report is what a check has seen.
type Report struct {
	Format    string    `json:"format"`
	Host      string    `json:"host"`
	Namespace string    `json:"namespace"` // the network namespace, as Linux names it; "" elsewhere
	Time      time.Time `json:"time"`
	Targets   []string  `json:"targets"`         // what --target named; empty: the public ones
	Baseline  string    `json:"baseline"`        // host and time of the run from outside; "" is none
	Role      string    `json:"role,omitempty"`  // what whoever ran it calls the node
	Status    Status    `json:"status"`          // the worst of the probes
	Probes    []Probe   `json:"probes"`          // in a fixed order
	Settings  []Setting `json:"settings"`        // of n8n's, where its environment is there
	Spent     Duration  `json:"seconds"`         // how long it took
	Note      string    `json:"notes,omitempty"` // what a reader has to know beside it
}

// Duration is a time in JSON as seconds.
type Duration float64

// Clean tells whether every way is closed and no setting is wrong.
func (r Report) Clean() bool {
	for _, s := range r.Settings {
		if !s.OK {
			return false
		}
	}
	return r.Status == Closed
}

// Count is how many probes have a status.
func (r Report) Count(s Status) (n int) {
	for _, p := range r.Probes {
		if p.Status == s {
			n++
		}
	}
	return n
}

// Options of a check. The zero value is a check with the public targets, in the environment of this process.
type Options struct {
	// Targets are addresses to try in place of the public ones: where `sallyport egress listen` runs.
	Targets []netip.Addr
	// Zone is the DNS zone under which a question goes to the resolver that is configured; "" is example.com.
	Zone string
	// Baseline is a report of the same check from outside of the wall: what it has reached is known to respond.
	Baseline *Report
	// Timeout bounds one attempt, 0 is 3 s; the whole is bounded by ten times of that.
	Timeout time.Duration
	// ResolvConf names the resolvers that are configured; "" is /etc/resolv.conf.
	ResolvConf string
	// DockerSocket is the engine's; "" is /var/run/docker.sock.
	DockerSocket string
	// Lookup reads the environment; nil is os.LookupEnv.
	Lookup func(name string) (value string, ok bool)
	// Version is n8n's, where it is known; "" looks for it.
	Version string
	// Role is copied into the report.
	Role string
	// Done is called after each attempt, by one goroutine at a time; it may be nil.
	Done func(done, all int)
}

const (
	defaultTimeout = 3 * time.Second
	defaultZone    = "example.com"
	atOnce         = 64 // attempts; they wait, and do not work
	silent         = 3  // attempts of the second round without any response, after which there is no third
	whole          = 10 // times the time of one attempt
	baselineAge    = 24 * time.Hour
)

// ErrBaseline means that a baseline says nothing about this check.
var ErrBaseline = errors.New("the baseline does not fit")

// Check tries every way out. The error is about what it was given; what it sees is in the report. When ctx ends,
// whatever was not tried yet is unclear.
func Check(ctx context.Context, o Options) (Report, error) {
	o = o.filled()
	if err := o.checkBaseline(time.Now()); err != nil {
		return Report{}, err
	}
	began := time.Now()
	s := newScene(ctx, o)
	ways := s.ways()
	r := Report{
		Format: Format, Host: hostname(), Namespace: namespace(), Time: began.UTC().Truncate(time.Second),
		Targets: []string{}, Role: o.Role, Status: Closed, Settings: s.settings(),
	}
	for _, t := range o.Targets {
		r.Targets = append(r.Targets, t.String())
	}
	if b := o.Baseline; b != nil {
		r.Baseline = b.Host + " " + b.Time.UTC().Format(time.RFC3339)
	}
	attempts, err := s.run(ctx, ways)
	if err != nil {
		return Report{}, err
	}
	for i, w := range ways {
		p := w.probe(attempts[i])
		r.Probes, r.Status = append(r.Probes, p), worse(r.Status, p.Status)
	}
	r.Spent = Duration(time.Since(began).Round(time.Millisecond).Seconds())
	return r, nil
}

func (o Options) filled() Options {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Zone == "" {
		o.Zone = defaultZone
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.DockerSocket == "" {
		o.DockerSocket = "/var/run/docker.sock"
	}
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	if o.Done == nil {
		o.Done = func(int, int) {}
	}
	return o
}

func (o Options) checkBaseline(now time.Time) error {
	b := o.Baseline
	if b == nil {
		return nil
	}
	refuse := func(why, hint string) error { return fault.WithHint(fmt.Errorf("%w: %s", ErrBaseline, why), hint) }
	const again = "outside of the wall, with the same --target: sallyport egress check --json > outside.json"
	switch {
	case b.Format != Format:
		return refuse(fmt.Sprintf("its format is %q, wanted %s", b.Format, Format), again)
	case now.Sub(b.Time) > baselineAge || b.Time.Sub(now) > time.Hour:
		return refuse("it was written at "+b.Time.Format(time.RFC3339), "what responded then may be gone; "+again)
	case len(b.Targets) != len(o.Targets):
		return refuse("it has other targets", again)
	case b.Namespace == namespace() && b.Host == hostname() && b.Namespace != "":
		return refuse("it was written in this network namespace", "it has to come from outside of the wall; "+again)
	}
	for i, t := range o.Targets {
		if b.Targets[i] != t.String() {
			return refuse("it has other targets", again)
		}
	}
	return nil
}

// run makes all attempts, and returns them by way.
func (s *scene) run(ctx context.Context, ways []way) ([][]Attempt, error) {
	ctx, stop := context.WithTimeout(ctx, whole*s.Timeout)
	defer stop()
	all := 0
	results := make([][]Attempt, len(ways))
	for i, w := range ways {
		results[i] = make([]Attempt, len(w.tries))
		all += len(w.tries)
	}
	done, finished := 0, make(chan struct{}, all)
	group := new(errgroup.Group)
	group.SetLimit(atOnce)
	for i, w := range ways {
		for j, t := range w.tries {
			group.Go(guard.Func("trying a way out", func() error {
				results[i][j] = s.try(ctx, w, t)
				finished <- struct{}{}
				return nil
			}))
			for ; len(finished) > 0; done++ {
				<-finished
				s.Done(done+1, all)
			}
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	err := s.again(ctx, ways, results)
	s.Done(all, all)
	return results, err
}

// again tries once more what was silent and is not known to respond, one after another, each family by itself: the
// kernel of a wall that refuses by ICMP sends one such message a second, and the rest of the first round met silence.
func (s *scene) again(ctx context.Context, ways []way, results [][]Attempt) error {
	group := new(errgroup.Group)
	for _, f := range []string{"4", "6"} {
		group.Go(guard.Func("trying again", func() error {
			quiet := 0
			for i, w := range ways {
				for j, t := range w.tries {
					if !results[i][j].silent || t.family[:min(1, len(t.family))] != f {
						continue
					}
					if results[i][j] = s.try(ctx, w, t); results[i][j].silent {
						quiet++
					}
					if quiet >= silent {
						return nil // this wall drops
					}
				}
			}
			return nil
		}))
	}
	return group.Wait()
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// namespace is how Linux names this process's network namespace: "net:[4026531840]".
func namespace() string {
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	return name
}
