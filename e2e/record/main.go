// Command record makes a database with a real n8n and writes it, packed, with a manifest of all that is encrypted in it, where
// the tests of Sallyport find it (internal/testkit/recorded).
//
//	tools/record             lists the recordings
//	tools/record NAME...     makes these anew
//
// Every value comes from n8n: through its REST API, or, where its license forbids that, through its own Cipher inside the
// running process (plant.cjs). The manifest is what n8n itself decrypted. Nothing in a recording is secret.
package main

import (
	"context"
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
	flag.Parse()
	if flag.NArg() == 0 {
		for _, r := range recipes() {
			fmt.Printf("%-28s n8n %s on %s\n", r.Name, r.Version, r.Dialect)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := recordAll(ctx, *tools, *out, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func recordAll(ctx context.Context, tools, out string, names []string) error {
	for _, name := range names {
		known := recipes()
		i := slices.IndexFunc(known, func(r Recipe) bool { return r.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no recording %q", name)
		}
		if err := record(ctx, known[i], tools, out); err != nil {
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
	store, err := openStore(ctx, r, tools, install, folder)
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
