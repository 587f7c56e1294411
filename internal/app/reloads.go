package app

import (
	"context"
	"sync"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
)

// next is a configuration on its way to being active.
type next struct {
	config  *config.Config
	table   *service.Table
	routing boundary.Configuration
	stores  *nextStores
	stop    context.CancelFunc // ends the loading
	loading context.Context    //nolint:containedctx // what stop ends
	done    chan struct{}
	err     error // once done is closed
	by      *next // what took its place before it was active; guarded by App.reload until done is closed
}

// reloads is who has asked for a reload.
type reloads struct {
	reading sync.Mutex // held by the one that reads files

	mu       sync.Mutex
	waiting  *reloading // asked for, and has not begun to read; who asks now is content with it
	underWay bool       // one is reading
}

// reloading is one reload, which any number of callers may wait for.
type reloading struct {
	done chan struct{}
	err  error // once done is closed
}

// join returns the reload that has not begun to read, or makes it: then the caller leads.
func (r *reloads) join() (run *reloading, lead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != nil {
		return r.waiting, false
	}
	r.waiting = &reloading{done: make(chan struct{})}
	return r.waiting, true
}

func (r *reloads) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = nil
	r.underWay = true
}

func (r *reloads) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underWay = false
}

// reads tells whether one reads the files just now, and sees what changes meanwhile by itself.
func (r *reloads) reads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.underWay
}
