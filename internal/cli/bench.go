package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// warmups are not counted: connections are opened by them.
const warmups = 3

func (e *env) bench() *cobra.Command {
	var name, path string
	var n int
	cmd := &cobra.Command{
		Use:   "bench --service NAME",
		Short: "Measure what the hop through the gate adds to a service of your own",
		Long: `Calls the service's test request in turns: straight, with the credential put on by this command, and through the gate. Both
keep their connections open. It prints how long each took and the difference; every call is a real one, and on record.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				return usage(errors.New("which service?"), "add --service NAME")
			}
			if n < 1 {
				return usage(fmt.Errorf("reading --n %d: there is nothing to measure", n), "make it at least 1")
			}
			c, _, err := e.load()
			if err != nil {
				return err
			}
			return e.measure(cmd.Context(), c, hop{name: name, test: testOf(c, name, path), n: n})
		},
	}
	cmd.Flags().StringVar(&name, "service", "", "the service to call")
	cmd.Flags().StringVar(&path, "path", "", "call this path with GET instead of the test request")
	cmd.Flags().IntVar(&n, "n", 50, "how many calls each way")
	return cmd
}

// hop is one measurement.
type hop struct {
	name     string
	test     config.Test
	n        int
	straight []time.Duration
	gate     []time.Duration
}

func (e *env) measure(ctx context.Context, c *config.Config, h hop) error {
	caller, err := app.Call(ctx, e.quiet(c), h.name)
	if err != nil {
		return err
	}
	err = h.run(ctx, c, caller)
	if err == nil {
		err = e.print(h.summary(), h.tell)
	}
	return errors.Join(err, caller.Close(context.WithoutCancel(ctx)))
}

func (h *hop) run(ctx context.Context, c *config.Config, caller *app.Caller) error {
	direct, err := newDirect(ctx, c, h.name)
	if err != nil {
		return err
	}
	for i := range h.n + warmups {
		for _, way := range []struct {
			do   func() (*http.Response, error)
			into *[]time.Duration
		}{
			{func() (*http.Response, error) { return direct.do(ctx, h.test) }, &h.straight},
			{func() (*http.Response, error) { return caller.Do(ctx, h.test.Method, h.test.Path) }, &h.gate},
		} {
			took, err := timed(way.do)
			if err != nil {
				return err
			}
			if i >= warmups {
				*way.into = append(*way.into, took)
			}
		}
	}
	return nil
}

func timed(do func() (*http.Response, error)) (time.Duration, error) {
	before := time.Now()
	resp, err := do()
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	took := time.Since(before)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, fmt.Errorf("reading a response: %w", err)
	}
	if ours(resp) {
		return 0, fault.WithHint(fmt.Errorf("the gate answered instead of the API: %s",
			resp.Header.Get("Proxy-Status")), "`sallyport service test` says more")
	}
	return took, nil
}

// direct calls the API without the gate, with the same transport and credential.
type direct struct {
	svc      *service.Service
	material *credential.Material
}

func newDirect(ctx context.Context, c *config.Config, name string) (*direct, error) {
	s, err := app.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer s.Close() //nolint:errcheck // read only
	if err := record(ctx, s, "service.bench", name); err != nil {
		return nil, err
	}
	svc, material, err := s.Service(ctx, name)
	return &direct{svc, material}, err
}

func (d *direct) do(ctx context.Context, t config.Test) (*http.Response, error) {
	path, query, _ := strings.Cut(t.Path, "?")
	o := credential.Outgoing{
		Method: t.Method, Scheme: d.svc.Scheme, Host: d.svc.Host, Base: d.svc.BasePath, Path: path, RawQuery: query,
		Header: make(http.Header), Now: time.Now(),
	}
	for name, value := range d.svc.Headers {
		o.Header[name] = []string{value}
	}
	if f := d.material.Inject(ctx, &o); f != nil {
		return nil, f
	}
	req, err := http.NewRequestWithContext(ctx, t.Method, d.svc.Scheme+"://"+d.svc.Host+o.Target(), nil)
	if err != nil {
		return nil, fmt.Errorf("calling the API: %w", err)
	}
	req.URL.RawQuery, req.Header = o.RawQuery, o.Header
	if body, ok := o.Body.(credential.Bytes); ok {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return d.svc.Transport.RoundTrip(req)
}

// summary is the result as JSON, in microseconds.
func (h *hop) summary() map[string]any {
	return map[string]any{
		"service": h.name, "calls": h.n,
		"straight_us": map[string]int64{
			"p50": quantile(h.straight, 50).Microseconds(),
			"p99": quantile(h.straight, 99).Microseconds(),
		},
		"gate_us": map[string]int64{
			"p50": quantile(h.gate, 50).Microseconds(),
			"p99": quantile(h.gate, 99).Microseconds(),
		},
	}
}

func (h *hop) tell(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "\tp50\tp99\t")
	_, _ = fmt.Fprintf(t, "straight\t%s\t%s\t\n", ms(quantile(h.straight, 50)), ms(quantile(h.straight, 99)))
	_, _ = fmt.Fprintf(t, "through the gate\t%s\t%s\t\n", ms(quantile(h.gate, 50)), ms(quantile(h.gate, 99)))
	_, _ = fmt.Fprintf(t, "the hop adds\t%s\t%s\t\n", ms(quantile(h.gate, 50)-quantile(h.straight, 50)),
		ms(quantile(h.gate, 99)-quantile(h.straight, 99)))
	return t.Flush()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// quantile is the q-th percentile by nearest rank.
func quantile(all []time.Duration, q int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, len(sorted)*q/100)]
}
