package database

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// actAgain is when what failed is tried again at first; each time it waits twice as long, up to actLatest.
	actAgain  = time.Second
	actLatest = 30 * time.Second
	// maxNamed is how many topics a replica names that it is behind with; more are everything.
	maxNamed = 32
	// maxDue is how many topics are kept apart; more are everything.
	maxDue = 1000
)

// dues are the topics that a replica has still to act on, in their order. The zero value has none. A topic stays until
// it has been acted on, and if it changed again meanwhile, once more.
type dues struct {
	mu   sync.Mutex
	list []*due
	more chan struct{} // made by the first who needs it, with mu held
}

type due struct {
	topic  string
	acting bool
	again  bool // it changed while it was acted on
	after  time.Time
	wait   time.Duration
}

// signal is closed, or about to be sent on, when there is more.
func (d *dues) signal() chan struct{} {
	if d.more == nil {
		d.more = make(chan struct{}, 1)
	}
	return d.more
}

func (d *dues) add(topics []string) {
	if len(topics) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list)+len(topics) > maxDue || slices.Contains(topics, everything) {
		topics = []string{everything}
		d.list = slices.DeleteFunc(d.list, func(one *due) bool { return !one.acting && one.topic != everything })
	}
	for _, topic := range topics {
		i := slices.IndexFunc(d.list, func(one *due) bool { return one.topic == topic })
		if i < 0 {
			d.list = append(d.list, &due{topic: topic})
			continue
		}
		d.list[i].again, d.list[i].after = d.list[i].acting, time.Time{}
	}
	select {
	case d.signal() <- struct{}{}:
	default:
	}
}

// topics lists what is due, by name.
func (d *dues) topics() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) > maxNamed {
		return []string{everything}
	}
	names := make([]string, 0, len(d.list))
	for _, one := range d.list {
		names = append(names, one.topic)
	}
	slices.Sort(names)
	return names
}

// run has act called for what is due until ctx ends, and acted after each time.
func (d *dues) run(ctx context.Context, act func(ctx context.Context, topic string) error, acted func()) {
	for ctx.Err() == nil {
		one, wait, more := d.next(time.Now())
		if one == nil {
			waiting, cancel := context.WithTimeout(ctx, wait)
			select {
			case <-more:
			case <-waiting.Done():
			}
			cancel()
			continue
		}
		d.done(one, act(ctx, one.topic))
		acted()
	}
}

// next is the first topic that may be acted on now, or how long there is none unless there is more.
func (d *dues) next(now time.Time) (one *due, wait time.Duration, more <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wait = actLatest
	for _, one := range d.list {
		if !one.after.After(now) {
			one.acting = true
			return one, 0, nil
		}
		wait = min(wait, one.after.Sub(now))
	}
	return nil, wait, d.signal()
}

// done takes a topic off, or has it tried again.
func (d *dues) done(one *due, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	again := one.again
	one.acting, one.again = false, false
	switch {
	case err != nil && !again:
		one.wait = min(max(2*one.wait, actAgain), actLatest)
		one.after = time.Now().Add(one.wait)
	case err == nil && !again:
		d.list = slices.DeleteFunc(d.list, func(other *due) bool { return other == one })
	}
}
