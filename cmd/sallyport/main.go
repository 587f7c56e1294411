// Command sallyport is the execution boundary for n8n: one binary with the gate and every command that looks after it.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"sallyport/internal/cli"
)

func main() {
	// net/http writes bytes of an API's answer to the standard logger when there are too many of them. They may hold
	// what a request carried, and nobody has scrubbed them.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	exit := cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(int(exit))
}
