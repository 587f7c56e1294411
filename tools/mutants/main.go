// Command mutants removes the code that holds an invariant, one piece at a time, and wants a named test to fail.
//
//	go run ./tools/mutants [-sample N]
//
// A mutant that survives is guarding code that no test misses. Nothing in the tree is changed: the compiler gets the
// mutated file as an overlay. The exit code is 1 when a mutant survives or does not build.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	sample := flags.Int("sample", 0, "try only this many, spread over the list; 0 is all")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	mutants, err := load(".", "tools/mutants/mutants.yaml")
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	chosen := spread(mutants, *sample)
	killed := 0
	for i := range chosen {
		m := &chosen[i]
		began := fmt.Sprintf("%3d/%d  invariant %d: %s", i+1, len(chosen), m.Invariant, m.What)
		fate := m.try(ctx)
		if ctx.Err() != nil {
			fmt.Fprintln(stderr, "interrupted")
			return 130
		}
		fmt.Fprintf(stdout, "%s: %s\n", began, fate.says(m))
		if fate.killed {
			killed++
		} else if fate.output != "" {
			fmt.Fprintln(stdout, fate.output)
		}
	}
	fmt.Fprintf(stdout, "%d mutants, %d killed, %d in the whole list\n", len(chosen), killed, len(mutants))
	if killed < len(chosen) {
		return 1
	}
	return 0
}

// spread takes n of the mutants at even distances, or all.
func spread(mutants []Mutant, n int) []Mutant {
	if n <= 0 || n >= len(mutants) {
		return mutants
	}
	chosen := make([]Mutant, n)
	for i := range chosen {
		chosen[i] = mutants[i*len(mutants)/n]
	}
	return chosen
}
