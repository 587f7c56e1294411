package guard_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// TestGroupPassesOn: a panic in a goroutine is the panic of the one that waits, after all have ended, with its own
// place.
func TestGroupPassesOn(t *testing.T) {
	var g guard.Group
	ended := make([]bool, 8)
	why := guard.Call("waiting", func() {
		for i := range ended {
			g.Go("working", func() {
				defer func() { ended[i] = true }()
				if i == 3 {
					panic("hunter2")
				}
			})
		}
		g.Wait()
	})
	if why == nil || why.Error() != "panic while working: a value of type string" {
		t.Fatalf("got %v", why)
	}
	for i, end := range ended {
		if !end {
			t.Errorf("goroutine %d was not waited for", i)
		}
	}
	g.Go("working", func() {})
	g.Wait() // told once
}

// nothing is a map that nobody has made.
func nothing() map[string]int { return nil }

// TestGoTells: whoever waits elsewhere is told, and a panic in the telling is nobody's.
func TestGoTells(t *testing.T) {
	told := make(chan *fault.Panic, 1)
	guard.Go("landing", func() { m := nothing(); m["a"]++ }, func(why *fault.Panic) { told <- why })
	if why := <-told; why.Where != "landing" || why.What != "assignment to entry in nil map" {
		t.Errorf("got %v", why)
	}
	done := make(chan struct{})
	guard.Go("landing", func() { panic(1) }, func(*fault.Panic) { defer close(done); panic(2) })
	<-done
	guard.Go("landing", func() { told <- nil }, func(why *fault.Panic) { told <- why })
	if why := <-told; why != nil {
		t.Errorf("got %v without a panic", why)
	}
}

func TestTry(t *testing.T) {
	want := errors.New("its own")
	if err := guard.Try("trying", func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	err := guard.Func("trying", func() error { panic(want) })()
	if why, ok := errors.AsType[*fault.Panic](err); !ok || why.Where != "trying" {
		t.Errorf("got %v", err)
	}
}

// TestLoopBeginsAgain: with pauses that grow, its context ended each time, until it returns or ctx ends.
func TestLoopBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		var begun []time.Duration
		var told int
		start := time.Now()
		g.Go(func() {
			var before context.Context
			guard.Loop(ctx, "looping", func(own context.Context) {
				if before != nil && before.Err() == nil {
					t.Error("what the last run began was not ended")
				}
				before = own
				begun = append(begun, time.Since(start).Round(time.Second))
				panic("again")
			}, func(*fault.Panic) { told++; panic("the teller too") })
		})
		time.Sleep(10 * time.Second)
		cancel()
		g.Wait()
		if len(begun) != 4 || begun[1] != time.Second || begun[2] != 3*time.Second ||
			begun[3] != 7*time.Second || told != 4 {
			t.Errorf("begun at %v, told %d times", begun, told)
		}
		guard.Loop(ctx, "looping", func(context.Context) {}, func(*fault.Panic) { t.Error("told of nothing") })
	})
}

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit, runs, told := make(chan struct{}), 0, 0
		var g sync.WaitGroup
		g.Go(func() {
			guard.Until(quit, "flushing", func() { runs++; panic("again") }, func(*fault.Panic) { told++ })
		})
		time.Sleep(4 * time.Second)
		close(quit)
		g.Wait()
		if runs != 3 || told != 3 {
			t.Errorf("%d runs, told %d times", runs, told)
		}
	})
}
