// Package entrypoint starts a program with its secrets: what stands in its environment as a reference is replaced by
// the value, and then the program takes the place of this process, or runs below it and is started again when a secret
// changes.
//
// It knows no store: a Resolver gives the values. It writes nothing to disk, and puts nothing into arguments. What n8n
// makes of its environment it asks internal/n8n/environment.
//
// Invariant: the program is started with every value or not at all, and its environment is otherwise what it would have
// been, but for the stores' own credentials, which it does not get.
package entrypoint

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

// Resolver is where values come from. It is safe for concurrent use. One that is an io.Closer is closed before the
// program takes over.
type Resolver interface {
	// Resolve returns one result per reference, in order; each with its own error, which says what to do as a hint
	// (package fault). The error is ctx's alone.
	Resolve(ctx context.Context, refs []secret.Ref) ([]secret.Result, error)

	// Watch calls changed, from any goroutine, whenever one of the values may be another. It blocks until ctx ends, and
	// then returns nil. An error means that nothing more will be heard.
	Watch(ctx context.Context, refs []secret.Ref, changed func()) error
}

// Options say what to start, with which part of the environment resolved, and how.
type Options struct {
	Argv     []string // the program and its arguments
	Environ  []string // NAME=VALUE, as os.Environ
	Resolver Resolver

	Only     []string      // the variables to look at; empty: all
	Prefix   string        // only variables whose name begins so
	Files    Files         // which NAME_FILE variables are read
	Strict   bool          // refuse what is left unresolved, or as a template had it
	Keep     []string      // variables to hand over although they are a store's credentials; NAME or PREFIX*
	Withhold []string      // variables that are a store's credentials: NAME, or PREFIX*
	N8N      bool          // the program is n8n, although its name does not say so
	Timeout  time.Duration // of all resolving before the start; 0: none

	Supervise bool          // stay, and run the program as a child
	Watch     bool          // and start it again when a value changes; implies Supervise
	Splay     time.Duration // wait a random part of it before each new start
	Grace     time.Duration // from TERM to KILL at a new start
	Poll      time.Duration // how often files that NAME_FILE variables name are looked at; 0: never
	Reap      time.Duration // how long an orphan's remains may lie; 0: 5 s

	// Mask returns what to wrap the program's output in, so that held does not appear in it. nil: the output is the
	// program's own. Implies Supervise.
	Mask func(held []secret.Value) func(io.Writer) io.WriteCloser

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Note           func(format string, args ...any) // tells a person something; nil: nobody
}

// ExitError is the end of the program: its exit code, or 128 and the number of the signal that ended it.
type ExitError struct {
	Code int
	Why  string // a sentence, when it was not the program's own end
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Why != "" {
		return e.Why
	}
	return "the program has ended"
}

// The exit codes of a program that could not be started, as shells have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128
)

// runner is one Run.
type runner struct {
	Options
	program string
	plan    *plan
}

// Run resolves, checks and starts. When the program takes over this process, it does not return; else its error is an
// *ExitError when the program has ended, also with 0. Once begun it is ended by signals, not by ctx: an entrypoint
// passes them on, and has to tell which one it was.
func Run(ctx context.Context, o Options) error {
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	r := &runner{Options: o}
	if r.Watch || r.Mask != nil {
		r.Supervise = true
	}
	ends := make(chan os.Signal, 1)
	for _, sig := range endings {
		if !signal.Ignored(sig) {
			signal.Notify(ends, sig)
		}
	}
	defer signal.Stop(ends)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	first, err := r.prepare(ctx, ends)
	if err != nil {
		r.abandon()
		return err
	}
	if r.Supervise {
		return errors.Join(r.supervise(ctx, first, ends), r.release())
	}
	return r.replace(first, ends)
}

// launch is what a program is started with.
type launch struct {
	environ []string
	held    []secret.Value
}

// prepare does all that can be done before the program is started. A signal ends it at once, whatever a store is
// waiting for.
func (r *runner) prepare(ctx context.Context, ends <-chan os.Signal) (*launch, error) {
	var err error
	if r.program, err = find(r.Argv, r.Environ); err != nil {
		return nil, err
	}
	if r.plan, err = r.read(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		launch *launch
		err    error
	}
	done := make(chan outcome, 1)
	guard.Go("resolving the environment", func() {
		l, err := r.fetch(ctx, r.Note)
		done <- outcome{l, err}
	}, func(why *fault.Panic) { done <- outcome{err: why} })
	select {
	case sig := <-ends:
		return nil, ended(sig)
	case out := <-done:
		return out.launch, out.err
	}
}

// fetch resolves everything within the time limit, and checks it.
func (r *runner) fetch(ctx context.Context, note func(string, ...any)) (*launch, error) {
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.Timeout, errTimeout)
		defer cancel()
	}
	return r.plan.resolve(ctx, r.Resolver, note)
}

var errTimeout = fault.WithExit(
	fault.WithHint(errors.New("resolving the environment: the stores have not answered in time"),
		"`--timeout` says how long to wait"), fault.ExitStore)

// partingTime is how long a store may take to end what it has begun.
const partingTime = time.Second

// abandon releases the stores, so that no command of theirs is left behind. One that hangs is not waited for.
func (r *runner) abandon() {
	done := make(chan struct{})
	guard.Go("releasing the stores", func() {
		defer close(done)
		_ = r.release() // what has failed is told already
	}, r.broke)
	limit := time.NewTimer(partingTime)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	}
}

func (r *runner) release() error {
	if c, ok := r.Resolver.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
