// Command record makes a database with a real n8n and writes it, packed, with a manifest of all that is encrypted in
// it, where the tests of Sallyport find it (internal/testkit/recorded).
//
//	tools/record                     lists the recordings
//	tools/record NAME...             makes these again
//	tools/record -verify NAME...     starts n8n on these, and compares what it decrypts
//
// Every value comes from n8n: through its REST API, or, where its license forbids that, through its own Cipher inside
// the running process (plant.cjs). The manifest is what n8n itself decrypted. Nothing in a recording is secret.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	out := flag.String("out", "../internal/testkit/recorded/data", "the folder of the recordings")
	tools := flag.String("tools", "../tools", "the folder of the install scripts")
	check := flag.Bool("verify", false, "start n8n on the recordings that there are, and compare what it decrypts")
	flag.Parse()
	if flag.NArg() == 0 {
		for _, r := range recipes() {
			fmt.Printf("%-28s n8n %s on %s\n", r.Name, r.Version, r.Dialect)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	do := record
	if *check {
		do = verify
	}
	err := each(ctx, flag.Args(), func(r Recipe) error { return do(ctx, r, *tools, *out) })
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func each(ctx context.Context, names []string, do func(Recipe) error) error {
	known := recipes()
	for _, name := range names {
		i := slices.IndexFunc(known, func(r Recipe) bool { return r.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no recording %q", name)
		}
		if err := errors.Join(ctx.Err(), do(known[i])); err != nil {
			return fmt.Errorf("recording %q: %w", name, err)
		}
	}
	return nil
}

func record(ctx context.Context, r Recipe, tools, out string) error {
	install, err := installed(ctx, tools, "n8n", r.Version)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "n8n-record-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	store, err := openStore(ctx, r, tools, install, folder, nil)
	if err != nil {
		return err
	}
	defer store.Down()
	manifest, err := fill(ctx, r, install, folder, store.Settings())
	if err != nil {
		return err
	}
	packed, err := store.Pack(ctx)
	if err != nil {
		return err
	}
	return write(out, manifest, packed)
}
