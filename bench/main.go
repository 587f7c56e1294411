// Command bench measures the gate: beside other proxies (compare), with a body of 2 GiB (stream), over a million
// requests (soak), and with 10,000 services (config). `make bench`, `bench-stream`, `bench-soak` and `bench-config` run
// it; README.md beside this file says how to read the figures.
//
// Settings come from the environment:
//
//	BENCH_SECONDS  counted seconds per cell (5), after a second's warm-up
//	BENCH_ROUNDS   rounds, in each of which every proxy has its turn (3)
//	BENCH_CONNS    connections (1,64,512); soak takes the last one that is at most 64
//	BENCH_ONLY     proxies to measure (sallyport,ReverseProxy,nginx,Caddy)
//	BENCH_GATE     the gate's binary (bin/sallyport)
//	BENCH_SERVICES services, and as many tokens, of config (10000)
//
// Everything runs on this machine, over loopback: the stand-in API, the load generator, and one proxy at a time under
// load. The requests per second are therefore those of the whole chain; what a proxy itself costs is its CPU time per
// request.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"sallyport/bench/load"
	"sallyport/bench/proxy"
)

const usage = "usage: bench compare | stream | soak | config"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "compare":
		return withLab(ctx, compare)
	case len(args) == 1 && args[0] == "stream":
		return withLab(ctx, stream)
	case len(args) == 1 && args[0] == "soak":
		return withLab(ctx, soak)
	case len(args) == 1 && args[0] == "config":
		return configuration(ctx)
	// The programs below run beside the measurement, in processes of their own.
	case len(args) == 4 && args[0] == "reverseproxy":
		return proxy.Reverse(ctx, args[1], args[2], args[3])
	case len(args) == 2 && args[0] == "upstream":
		return serveUpstream(ctx, args[1])
	case len(args) == 1 && args[0] == "load":
		return generate(ctx)
	}
	return fmt.Errorf("unknown arguments; %s", usage)
}

// note is a line that the load generator's process writes: one field at a time is set.
type note struct {
	Measuring bool         `json:"measuring,omitempty"`
	Progress  int64        `json:"progress,omitempty"`
	Result    *load.Result `json:"result,omitempty"`
	Error     string       `json:"error,omitempty"`
}

// generate is the load generator's process: it reads its options as JSON and writes notes.
func generate(ctx context.Context) error {
	var options load.Options
	if err := json.NewDecoder(os.Stdin).Decode(&options); err != nil {
		return fmt.Errorf("reading the load's options: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	notes := json.NewEncoder(os.Stdout)
	say := func(n note) {
		if err := notes.Encode(n); err != nil {
			cancel(fmt.Errorf("writing a note: %w", err)) // nobody listens any more
		}
	}
	options.Measuring = func() { say(note{Measuring: true}) }
	options.Progress = func(done int64) { say(note{Progress: done}) }
	end := note{}
	if result, err := load.Run(ctx, options); err != nil {
		end.Error = err.Error()
	} else {
		end.Result = &result
	}
	say(end)
	return nil
}
