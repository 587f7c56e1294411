// Package guard begins goroutines. A panic in one of them ends what it was doing, and never the process: every workflow
// depends on that. No other package under internal has a `go` statement (internal/architecture holds that).
//
// What becomes of a panic depends on who waits. Group gives it to the one that waits for all, Go to a function, and
// Loop begins again after a pause. None of them logs or counts; who owns the goroutine has that told, and a
// *fault.Panic quotes no value.
package guard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/fault"
)

// How long a loop that ended in a panic waits until it begins again: the first time, and at most. One that went well
// for longer than that begins with the first again.
const (
	FirstRestart = time.Second
	LastRestart  = time.Minute
)

// Call runs do and returns the panic that it ended in, or nil. where is what was going on: "reading secrets".
func Call(where string, do func()) (why *fault.Panic) {
	defer func() {
		if v := recover(); v != nil {
			why = fault.Panicked(where, v)
		}
	}()
	do()
	return nil
}

// Try is Call for what returns an error; a panic is one, a *fault.Panic.
func Try(where string, do func() error) (err error) {
	defer fault.Recover(where, &err)
	return do()
}

// Func is do as a function in which a panic is an error, for those who begin goroutines themselves, such as an
// errgroup.
func Func(where string, do func() error) func() error {
	return func() error { return Try(where, do) }
}

// Go begins a goroutine. When do has ended in a panic, broke is called with it, in the same goroutine. What others wait
// for has to be given by broke then.
func Go(where string, do func(), broke func(*fault.Panic)) {
	go func() {
		if why := Call(where, do); why != nil {
			_ = Call(where, func() { broke(why) }) // a second panic has nobody left to be told to
		}
	}()
}

// Loop runs loop until it returns. When it ends in a panic, broke is called, and after a pause it begins again, unless
// ctx has ended: without it the process would go on with what it knows, as if nothing had been revoked, rotated or
// changed. To end the process would break off every workflow because of one malformed row, and at the next start again.
//
// Each run has a context of its own, so that what it began ends with it.
func Loop(ctx context.Context, where string, loop func(context.Context), broke func(*fault.Panic)) {
	for pause := FirstRestart; ; pause = min(2*pause, LastRestart) {
		began := time.Now()
		why := attempt(ctx, where, loop)
		if why == nil {
			return
		}
		_ = Call(where, func() { broke(why) })
		if time.Since(began) > LastRestart {
			pause = FirstRestart
		}
		if !wait(ctx.Done(), pause) {
			return
		}
	}
}

func attempt(ctx context.Context, where string, loop func(context.Context)) *fault.Panic {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return Call(where, func() { loop(ctx) })
}

// Until is Loop for a loop that ends with a channel.
func Until(done <-chan struct{}, where string, loop func(), broke func(*fault.Panic)) {
	for pause := FirstRestart; ; pause = min(2*pause, LastRestart) {
		why := Call(where, loop)
		if why == nil {
			return
		}
		_ = Call(where, func() { broke(why) })
		if !wait(done, pause) {
			return
		}
	}
}

// wait is a sleep that ends early with done, and then returns false.
func wait(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return false
	case <-timer.C:
		return true
	}
}

// Group is a number of goroutines that someone waits for. The zero value is empty and ready.
type Group struct {
	running sync.WaitGroup
	first   atomic.Pointer[fault.Panic]
}

// Go begins a goroutine of the group.
func (g *Group) Go(where string, do func()) {
	g.running.Go(func() {
		if why := Call(where, do); why != nil {
			g.first.CompareAndSwap(nil, why)
		}
	})
}

// Wait returns when all goroutines have ended. If one did in a panic, Wait panics with it: it is the caller's as if it
// had done the work itself, so that nobody takes half a result for a whole one.
func (g *Group) Wait() {
	g.running.Wait()
	if why := g.first.Swap(nil); why != nil {
		panic(why)
	}
}
