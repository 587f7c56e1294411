package resolve

import (
	"context"
	"sync"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// lifetime owns the readings that outlast the call that began them.
type lifetime struct {
	mu      sync.Mutex
	ended   bool
	next    int
	cancels map[int]context.CancelFunc
	running guard.Group
	broke   func(*fault.Panic)
}

// run starts fn with ctx's values, but not its end: the lifetime's end is fn's. After the end nothing is started.
func (l *lifetime) run(ctx context.Context, fn func(context.Context)) (started bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if l.cancels == nil {
		l.cancels = make(map[int]context.CancelFunc)
	}
	id := l.next
	l.next++
	l.cancels[id] = cancel
	l.running.Go("reading secrets", func() {
		defer l.forget(id)
		if why := guard.Call("reading secrets", func() { fn(ctx) }); why != nil {
			l.broke(why)
		}
	})
	return true
}

func (l *lifetime) forget(id int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancels[id]()
	delete(l.cancels, id)
}

// end cancels everything and waits for it.
func (l *lifetime) end() {
	l.mu.Lock()
	l.ended = true
	for _, cancel := range l.cancels {
		cancel()
	}
	l.mu.Unlock()
	l.running.Wait()
}
