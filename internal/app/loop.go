package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// background runs a loop until it returns. One that ends in a panic is counted and logged, and begins again.
func (a *App) background(ctx context.Context, name string, loop func(context.Context)) {
	guard.Loop(ctx, "running a background task", loop, func(why *fault.Panic) { a.broke(name, why) })
}

// broke counts and logs a panic outside of any request.
func (a *App) broke(name string, why *fault.Panic) {
	if !why.Tell() {
		return
	}
	a.metrics.Panicked()
	a.log.Error("a background task ended in a panic: this is a mistake in Sallyport", "task", name, "while", why.Where,
		"what", why.What, "stack", why.Stack)
}

// noticed is broke for an error that may come from a panic.
func (a *App) noticed(name string, err error) {
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		a.broke(name, why)
	}
}

// guarded is h, of which a panic is a 500 with what is safe to tell, counted and logged once; net/http would log the
// value.
func (a *App) guarded(name string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &answer{ResponseWriter: w}
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
			why := fault.Panicked("answering on the "+name+" listener", v)
			a.broke(name+" listener", why)
			if answer.begun {
				panic(http.ErrAbortHandler) // half an answer must not look whole
			}
			http.Error(w, why.Error(), http.StatusInternalServerError)
		}()
		h.ServeHTTP(answer, r)
	})
}

// answer knows whether anything of it was sent.
type answer struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

const (
	watchInterval = 2 * time.Second
	flushInterval = 5 * time.Second
)

// every calls fn at each tick until ctx ends.
func every(ctx context.Context, d time.Duration, fn func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fn()
		}
	}
}
