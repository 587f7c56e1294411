package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// buggy is a log with a bug that can be turned on, where and when a test wants it.
type buggy struct {
	on   atomic.Bool
	told chan *fault.Panic
}

func newBuggy(o *audit.Options) *buggy {
	b := &buggy{told: make(chan *fault.Panic, 1024)}
	o.Broke = func(why *fault.Panic) {
		select {
		case b.told <- why:
		default:
		}
	}
	return b
}

func (b *buggy) panic() {
	if b.on.Load() {
		panic("hunter2")
	}
}

// healthy waits until Health is as wanted.
func healthy(t *testing.T, l *audit.Log, want bool) {
	t.Helper()
	for range 400 {
		if (l.Health() == nil) == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("Health is %v", l.Health())
}

// TestPanicWhileWriting: a record whose writing ends in a panic is not acknowledged, in whichever goroutine that was,
// and is not in the log; what was acknowledged stays, what nobody waits for comes later, and nobody waits for ever.
func TestPanicWhileWriting(t *testing.T) {
	o := testOptions(t)
	b := newBuggy(&o)
	o.Wrote(b.panic)
	l := open(t, o)
	if err := l.Authorise(t.Context(), sample("before")); err != nil {
		t.Fatal(err)
	}
	b.on.Store(true)
	err := l.Authorise(t.Context(), sample("during"))
	if why, ok := errors.AsType[*fault.Panic](err); !ok || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("got %v, %v", err, why)
	}
	healthy(t, l, false)
	for range len(b.told) {
		<-b.told
	}
	l.Complete(sample("kept")) // the flusher writes this one
	if why := <-b.told; why.Where != "writing the audit log" {
		t.Errorf("told of %v", why)
	}
	if err := l.Authorise(t.Context(), sample("during again")); err == nil {
		t.Error("a record was acknowledged that nobody wrote")
	}
	b.on.Store(false)
	healthy(t, l, true) // by itself: the log looks after what a failure left
	if err := l.Authorise(t.Context(), sample("after")); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	mustHold(t, o)
	log := string(read(t, o.Path))
	for id, want := range map[string]bool{
		"before": true, "during": false, "during again": false,
		"kept": true, "after": true,
	} {
		if strings.Contains(log, `"`+id+`"`) != want {
			t.Errorf("%q in the log: %v, want %v", id, !want, want)
		}
	}
}

// TestPanicUnderLoad: whoever leads, follows or waits when the panics come, each gets an answer, and it is true.
func TestPanicUnderLoad(t *testing.T) {
	o := testOptions(t)
	b := newBuggy(&o)
	var writes atomic.Int64
	o.Wrote(func() {
		if writes.Add(1)%3 == 0 {
			b.panic()
		}
	})
	l := open(t, o)
	b.on.Store(true)
	acknowledged, refused := make(map[string]bool), make(map[string]bool)
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 40 {
				id := fmt.Sprintf("%d-%d", w, i)
				err := l.Authorise(t.Context(), sample(id))
				mu.Lock()
				if err == nil {
					acknowledged[id] = true
				} else {
					refused[id] = true
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	b.on.Store(false)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if len(acknowledged) == 0 || len(refused) == 0 {
		t.Fatalf("%d acknowledged, %d refused: the test tries one of them only", len(acknowledged), len(refused))
	}
	mustHold(t, o)
	for _, rec := range records(t, o.Path) {
		if refused[rec.Event.ID] {
			t.Errorf("%q is in the log, and its caller was told that it is not", rec.Event.ID)
		}
	}
	mustHoldAll(t, o.Path, acknowledged)
}

// TestPanicWhileAnchoring: in a sink for checkpoints, or where a checkpoint's own record is made. Records go on, Health
// tells, and checkpoints go on when it is over.
func TestPanicWhileAnchoring(t *testing.T) {
	for name, arm := range map[string]func(*audit.Options, *buggy){
		"sink": func(o *audit.Options, b *buggy) { o.OnCheckpoint = func(audit.Checkpoint) { b.panic() } },
		"clock": func(o *audit.Options, b *buggy) {
			o.Now = func() time.Time { b.panic(); return time.Now() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			b := newBuggy(&o)
			arm(&o, b)
			o.CheckpointInterval = 5 * time.Millisecond
			l := open(t, o)
			if err := l.Authorise(t.Context(), sample("one")); err != nil {
				t.Fatal(err)
			}
			b.on.Store(true)
			for len(b.told) == 0 { // until the keeper has come to it
				_ = guard.Call("writing", func() { _ = l.Authorise(t.Context(), sample("more")) })
			}
			b.on.Store(false)
			healthy(t, l, true)
			if err := l.Authorise(t.Context(), sample("two")); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if report := mustHold(t, o); report.Unanchored.To > report.Unanchored.From {
				t.Errorf("records %v are not anchored", report.Unanchored)
			}
		})
	}
}

// TestPanicInACaller: half a record, of a caller who ends in a panic while it is put together, is nobody's.
func TestPanicInACaller(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	for _, write := range []func(){
		func() { _ = l.Authorise(t.Context(), nil) },
		func() { _ = l.Admin(t.Context(), nil) },
		func() { l.Complete(nil) },
	} {
		if guard.Call("writing", write) == nil {
			t.Fatal("it did not panic: the test tries nothing")
		}
	}
	if err := l.Authorise(t.Context(), sample("next")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	mustHold(t, o)
}
