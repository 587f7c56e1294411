package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// closers are what has been opened, in order. What was opened last is closed first, so that nothing is closed beneath
// what still uses it.
type closers struct {
	mu   sync.Mutex
	list []closer
}

type closer struct {
	name  string // for its error
	close func(ctx context.Context) error
}

// push adds what has just been opened.
func (c *closers) push(name string, closing func(ctx context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, closer{name, closing})
}

// close closes everything, also after an error, and nothing twice: a second call finds what was pushed since.
func (c *closers) close(ctx context.Context) error {
	var errs []error
	for one, ok := c.pop(); ok; one, ok = c.pop() {
		if err := one.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing the %s: %w", one.name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *closers) pop() (last closer, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) == 0 {
		return closer{}, false
	}
	last = c.list[len(c.list)-1]
	c.list = c.list[:len(c.list)-1]
	return last, true
}

// stopped is how Stop ended.
type stopped struct {
	once sync.Once
	err  error // once it has run
}
