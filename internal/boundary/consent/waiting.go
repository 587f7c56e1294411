package consent

import (
	"errors"
	"sync"
	"time"
)

// Limits of what waits for consent at a gate.
const (
	maxConsents  = 100
	consentAfter = time.Minute // how long a result is kept for who asked
)

// waiting are the pages of consent that wait for their callback at a gate.
type waiting struct {
	mu      sync.Mutex
	byState map[string]*pending
}

type pending struct {
	flow

	until time.Time
	used  bool
	done  chan struct{}
	got   *Connected
	err   error
}

// add has a consent wait.
func (c *waiting) add(one *flow) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byState == nil {
		c.byState = make(map[string]*pending)
	}
	now := time.Now()
	for state, old := range c.byState {
		if now.After(old.until.Add(consentAfter)) {
			delete(c.byState, state)
		}
	}
	if len(c.byState) >= maxConsents {
		return errors.New("too many consents are being waited for")
	}
	c.byState[one.connect.State()] = &pending{flow: *one, until: now.Add(patience), done: make(chan struct{})}
	return nil
}

func (c *waiting) find(state string) *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byState[state]
}

// use returns the consent that a callback is for, once. At the callback of another service than the consent was begun
// for, there is none, and the consent goes on waiting.
func (c *waiting) use(state, path string) *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.byState[state]
	if one == nil || one.path != path || one.used || time.Now().After(one.until) {
		return nil
	}
	one.used = true
	return one
}
