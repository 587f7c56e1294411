package derive

import (
	"context"
	"sync"
)

// Memory is a Vault and an Owner for one process that keeps nothing: for trying a credential out, and for tests. The
// zero Memory is ready.
type Memory struct {
	mu      sync.Mutex
	records map[string]record
	rights  map[string]chan struct{}
}

type record struct {
	state   State
	version int64
}

// Load returns what was saved under the name.
func (m *Memory) Load(_ context.Context, name string) (State, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.records[name]
	return r.state, r.version, nil
}

// Save replaces what is under the name, or returns ErrStale.
func (m *Memory) Save(_ context.Context, name string, s State, version int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records[name].version != version {
		return ErrStale
	}
	if m.records == nil {
		m.records = make(map[string]record)
	}
	m.records[name] = record{s, version + 1}
	return nil
}

// Acquire waits for the right to mint.
func (m *Memory) Acquire(ctx context.Context, name string) (release func(), err error) {
	right := m.right(name)
	select {
	case right <- struct{}{}:
		return sync.OnceFunc(func() { <-right }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (m *Memory) right(name string) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rights == nil {
		m.rights = make(map[string]chan struct{})
	}
	if m.rights[name] == nil {
		m.rights[name] = make(chan struct{}, 1)
	}
	return m.rights[name]
}
