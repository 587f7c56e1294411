package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"sallyport/bench/load"
	"sallyport/bench/proxy"
	"sallyport/bench/upstream"
)

// yardstick is the proxy that the others' CPU time is divided by.
const yardstick = "ReverseProxy"

// sample is one turn of one proxy in one cell.
type sample struct {
	rate   float64 // requests per second
	p50    time.Duration
	p99    time.Duration
	cpu    time.Duration // of the proxy, per request
	memory int64         // bytes, right after
}

// compare measures every proxy in every cell: plain and TLS upstream, each number of connections. Within a cell the
// proxies take turns, round after round, so that a machine which slows down does so for all of them.
func compare(ctx context.Context, l *lab) error {
	programs, err := l.programs(ctx)
	if err != nil {
		return err
	}
	report("GET of a %d-byte JSON document, HTTP/1.1 keep-alive on both sides, all on this machine (%s).\n",
		upstream.DocumentBytes, machine())
	report("%v per turn after %v of warm-up, %d rounds in turns; each figure is the median of its rounds.\n",
		l.seconds, warmup, l.rounds)
	report("%s is a plain httputil.ReverseProxy without a buffer pool; all may keep %d idle upstream connections.\n",
		yardstick, proxy.Idle)
	for _, api := range []proxy.API{l.plain, l.tls} {
		if err := l.compareOver(ctx, programs, api); err != nil {
			return err
		}
	}
	return nil
}

const warmup = time.Second

// compareOver measures all cells of one upstream.
func (l *lab) compareOver(ctx context.Context, programs []proxy.Program, api proxy.API) error {
	var proxies []*proxy.Proxy
	defer func() {
		for _, p := range proxies {
			p.Stop()
		}
	}()
	for _, program := range programs {
		p, err := l.start(ctx, program, api)
		if err != nil {
			return err
		}
		proxies = append(proxies, p)
	}
	for _, connections := range l.connections {
		samples := map[string][]sample{}
		for range l.rounds {
			for _, p := range proxies {
				s, err := l.turn(ctx, p, connections)
				if err != nil {
					return fmt.Errorf("measuring %s: %w", p.Name, err)
				}
				samples[p.Name] = append(samples[p.Name], s)
			}
		}
		if err := printCell(api, connections, proxies, samples); err != nil {
			return err
		}
	}
	return nil
}

// turn measures one proxy once.
func (l *lab) turn(ctx context.Context, p *proxy.Proxy, connections int) (sample, error) {
	var before proxy.Usage
	var usageErr error
	result, err := l.load(ctx, load.Options{
		Address: p.Address, Request: p.Request("/v1/items?page=2&limit=50"), Connections: connections,
		BodyBytes: upstream.DocumentBytes, Warmup: warmup, Duration: l.seconds,
	}, func(n note) {
		if n.Measuring {
			before, usageErr = p.Usage()
		}
	})
	if err != nil || usageErr != nil {
		return sample{}, errors.Join(err, usageErr)
	}
	after, err := p.Usage()
	if err != nil {
		return sample{}, err
	}
	return sample{
		rate: float64(result.Requests) / result.Elapsed.Seconds(),
		p50:  result.P50, p99: result.P99,
		cpu:    (after.CPU - before.CPU) / time.Duration(max(result.Requests, 1)),
		memory: after.RSS,
	}, nil
}

// printCell prints a cell's table: a line per proxy.
func printCell(api proxy.API, connections int, proxies []*proxy.Proxy, samples map[string][]sample) error {
	over := "plain HTTP"
	if api.TLS {
		over = "TLS"
	}
	report("\nupstream over %s, %d connections\n", over, connections)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\trequests/s\tp50\tp99\tCPU/request\tmemory\tCPU beside "+yardstick+"\t")
	for _, p := range proxies {
		own := samples[p.Name]
		fmt.Fprintf(table, "%s\t%.0f\t%s\t%s\t%.1f µs\t%.1f MiB\t%s\t\n", p.Name,
			medianOf(own, func(s sample) float64 { return s.rate }),
			milliseconds(medianOf(own, func(s sample) float64 { return float64(s.p50) })),
			milliseconds(medianOf(own, func(s sample) float64 { return float64(s.p99) })),
			medianOf(own, func(s sample) float64 { return float64(s.cpu) / 1e3 }),
			medianOf(own, func(s sample) float64 { return float64(s.memory) / (1 << 20) }),
			ratio(own, samples[yardstick]))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing a table: %w", err)
	}
	return nil
}

// ratio is the median of the rounds' ratios of CPU time, with the least and the greatest.
func ratio(own, others []sample) string {
	var all []float64
	for i := range min(len(own), len(others)) {
		if others[i].cpu > 0 {
			all = append(all, float64(own[i].cpu)/float64(others[i].cpu))
		}
	}
	if len(all) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(all), slices.Min(all), slices.Max(all))
}

func medianOf(samples []sample, figure func(sample) float64) float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = figure(s)
	}
	return median(all)
}

// median sorts all; with an even number it is the mean of the middle two.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	middle := len(all) / 2
	if len(all)%2 == 1 {
		return all[middle]
	}
	return (all[middle-1] + all[middle]) / 2
}

func milliseconds(nanoseconds float64) string { return fmt.Sprintf("%.2f ms", nanoseconds/1e6) }
