package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/wayout"
)

// egressChecking is what `egress check` was called with.
type egressChecking struct {
	targets  []string
	baseline string
	zone     string
	timeout  time.Duration
	role     string
	version  string
}

func (e *env) egressCheck() *cobra.Command {
	var c egressChecking
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Try every way past the gate from here; exit code 3 when one is open, 1 when one is unclear",
		Long: `Run it where n8n runs: in its container, its pod, its network namespace, or as its user. It needs no configuration. It tries to
connect to public addresses past any proxy, over every protocol that a workflow could use, and says what got out and which rule
closes it. It sends nothing secret, and ends within half a minute.

By default it goes to public resolvers and the like (docs/egress.md lists what goes to whom). With --target it goes to hosts of
your own, on which 'sallyport egress listen' runs. Silence counts as closed only where the other side is known to respond: run it
once outside of the wall with --json, and name that report inside with --baseline.`,
		Example: "  sallyport egress check\n" +
			"  sallyport egress check --target 203.0.113.7 --json > outside.json    # outside of the wall\n" +
			"  sallyport egress check --target 203.0.113.7 --baseline outside.json  # inside",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.checkEgress(cmd.Context(), c) },
	}
	c.flags(cmd)
	return cmd
}

func (c *egressChecking) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&c.targets, "target", nil, "address to try instead of the public ones; may be repeated")
	f.StringVar(&c.baseline, "baseline", "", "file with what the check printed with --json outside of the wall")
	f.StringVar(&c.zone, "dns-zone", "",
		"zone of others for the question to the configured resolver (default example.com)")
	f.DurationVar(&c.timeout, "timeout", 0, "for one attempt (default 3s); all of them take ten times as long at most")
	f.StringVar(&c.role, "role", "", "what this node is, for the report: main, webhook, worker, runner")
	f.StringVar(&c.version, "n8n-version", "", "version of n8n, where that cannot be seen")
}

// options are those of the check.
func (c *egressChecking) options() (o wayout.Options, err error) {
	o = wayout.Options{Zone: c.zone, Timeout: c.timeout, Role: c.role, Version: c.version}
	if c.timeout < 0 || c.timeout > time.Minute {
		return o, usage(errors.New("--timeout is not within a minute"), "for example 3s")
	}
	for _, text := range c.targets {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return o, usage(fmt.Errorf("--target %q is no IP address", text),
				"an address, since a closed node resolves no names; for example 203.0.113.7 or 2001:db8::7")
		}
		o.Targets = append(o.Targets, a)
	}
	if c.baseline != "" {
		r, err := readReport(c.baseline)
		if err != nil {
			return o, err
		}
		o.Baseline = &r
	}
	return o, nil
}

// readReport reads what `egress check --json` printed.
func readReport(file string) (wayout.Report, error) {
	text, err := localfile.Read(file, localfile.Small)
	if err != nil {
		return wayout.Report{}, fmt.Errorf("reading %q: %w", file, err)
	}
	r, err := wayout.ReadReport(text)
	if err != nil {
		return r, fault.WithHint(fmt.Errorf("reading %q: %w", file, err),
			"it has to be what `sallyport egress check --json` printed")
	}
	return r, nil
}

func (e *env) checkEgress(ctx context.Context, c egressChecking) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	o.Done = e.counting()
	r, err := wayout.Check(ctx, o)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(e.print(r, func(w io.Writer) error { return tellEgress(w, r) }), egressVerdict(r))
}

// counting shows how many attempts are done, on a terminal.
func (e *env) counting() func(done, all int) {
	if !isTerminal(e.Err) {
		return nil
	}
	w := unwrapped(e.Err)
	return func(done, all int) {
		_, _ = fmt.Fprintf(w, "\r\x1b[K%d of %d", done, all)
		if done == all {
			_, _ = fmt.Fprint(w, "\r\x1b[K")
		}
	}
}

// egressVerdict is the exit code of a report.
func egressVerdict(r wayout.Report) error {
	wrong := 0
	for _, s := range r.Settings {
		if !s.OK {
			wrong++
		}
	}
	switch open, unclear := r.Count(wayout.Open), r.Count(wayout.Unclear); {
	case open > 0:
		return fault.WithExit(fault.WithHint(fmt.Errorf("%s past the gate %s open", counted(open, "way"), are(open)),
			"each has the rule that closes it; docs/egress.md has all of them as files"), fault.ExitFindings)
	case wrong > 0:
		return fault.WithExit(fault.WithHint(fmt.Errorf("%s of n8n %s wrong", counted(wrong, "setting"), are(wrong)),
			"each has what to change"), fault.ExitFindings)
	case unclear > 0:
		return fault.WithHint(fmt.Errorf("%s could not be told to be closed", counted(unclear, "way")),
			"run `sallyport egress listen` outside, and name it with --target and --baseline: docs/egress.md")
	}
	return nil
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// tellEgress writes what is wrong first, then what is right in a line each.
func tellEgress(w io.Writer, r wayout.Report) error {
	where := r.Host
	if r.Namespace != "" {
		where += ", " + r.Namespace
	}
	_, err := fmt.Fprintf(w, "From %s: %s. %d closed, %d open, %d unclear, %.1f s\n", where,
		map[wayout.Status]string{
			wayout.Closed: "no way out", wayout.Open: "THERE IS A WAY OUT", wayout.Unclear: "not known",
		}[r.Status], r.Count(wayout.Closed), r.Count(wayout.Open), r.Count(wayout.Unclear), float64(r.Spent))
	for _, status := range []wayout.Status{wayout.Open, wayout.Unclear, wayout.Closed} {
		for _, p := range r.Probes {
			if p.Status == status {
				err = errors.Join(err, tellProbe(w, p))
			}
		}
	}
	for _, s := range r.Settings {
		state := "ok"
		if !s.OK {
			state = "WRONG"
		}
		_, wrote := fmt.Fprintf(w, "%-8s %s: %s\n", state, s.ID, s.Saw)
		err = errors.Join(err, wrote)
		if s.Do != "" {
			_, wrote = fmt.Fprintf(w, "         set      %s\n", s.Do)
			err = errors.Join(err, wrote)
		}
	}
	return err
}

func tellProbe(w io.Writer, p wayout.Probe) error {
	if p.Status == wayout.Closed {
		_, err := fmt.Fprintf(w, "%-8s %s: %s\n", p.Status, p.Title, p.Attempts[0].Saw)
		return err
	}
	state := map[wayout.Status]string{wayout.Open: "OPEN", wayout.Unclear: "unclear"}[p.Status]
	_, err := fmt.Fprintf(w, "%-8s %s\n", state, p.Title)
	for _, a := range p.Attempts {
		if a.Status == p.Status {
			_, wrote := fmt.Fprintf(w, "         %-8s %s\n", a.To, a.Saw)
			err = errors.Join(err, wrote)
		}
	}
	_, wrote := fmt.Fprintf(w, "         closed by  %s\n", p.Close)
	return errors.Join(err, wrote)
}
