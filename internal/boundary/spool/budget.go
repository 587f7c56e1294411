package spool

import (
	"errors"
	"sync/atomic"

	"sallyport/internal/fault"
)

// The limits of a Budget that names none.
const (
	DefaultAllMemory = 256 << 20
	DefaultAllDisk   = 4 << 30
)

// ErrNoRoom is the cause when a body is not kept because the other bodies take all the room that there is.
var ErrNoRoom = errors.New("the request bodies that are kept take all the room that there is for them")

// Budget bounds what many bodies keep at one time. What finds no room in memory goes into a file, what finds none on
// the disk is not kept. It is safe for concurrent use; nil has no bounds.
type Budget struct {
	memory, disk         atomic.Int64 // taken, in bytes
	maxMemory, maxOnDisk int64
}

// NewBudget returns a Budget of so many bytes; 0 are the defaults.
func NewBudget(memory, disk int64) *Budget {
	b := &Budget{maxMemory: memory, maxOnDisk: disk}
	if memory == 0 {
		b.maxMemory = DefaultAllMemory
	}
	if disk == 0 {
		b.maxOnDisk = DefaultAllDisk
	}
	return b
}

// InUse is what is taken, in bytes.
func (b *Budget) InUse() (memory, disk int64) { return b.memory.Load(), b.disk.Load() }

// inMemory takes n bytes, or none and tells that there are not so many.
func (b *Budget) inMemory(n int64) bool { return b == nil || take(&b.memory, n, b.maxMemory) }

func (b *Budget) onDisk(n int64) bool { return b == nil || take(&b.disk, n, b.maxOnDisk) }

func take(from *atomic.Int64, n, limit int64) bool {
	if from.Add(n) <= limit {
		return true
	}
	from.Add(-n)
	return false
}

// giveBack returns what was taken.
func (b *Budget) giveBack(memory, disk int64) {
	if b != nil {
		b.memory.Add(-memory)
		b.disk.Add(-disk)
	}
}

func noRoom() *fault.Fault {
	return fault.New(fault.Overloaded, "too many large request bodies are on their way at one time").Wrap(ErrNoRoom)
}

// Room sees that n bytes of memory are there for what is made of the body. They are given back by Close, and asking
// again takes only what is more. The fault is overloaded.
func (b *Body) Room(n int64) *fault.Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	more := n - b.room
	switch {
	case more <= 0:
		return nil
	case b.closed || !b.o.Budget.inMemory(more):
		return noRoom()
	}
	b.room = n
	return nil
}
