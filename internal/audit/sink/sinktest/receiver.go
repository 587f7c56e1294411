package sinktest

import (
	"sync"
)

// Mode is what a receiver does with what it is sent.
type Mode int

// The modes. Kinds say with Without which they cannot have.
const (
	Fine     Mode = iota // takes it, and says so
	Refuse               // says that it does not take it
	Block                // reads it, and says nothing
	Slow                 // says it in single bytes, with no end
	Break                // reads it, and ends the connection
	Lie                  // says success, and in some other place that it was none
	TooLarge             // takes no more than TooLargeAt items at once
)

// TooLargeAt is how many items a receiver takes at once in mode TooLarge.
const TooLargeAt = 3

// Receiver is what is known of the other end of a sink, whatever its protocol is. A kind's test has a real server
// around it.
type Receiver struct {
	mu      sync.Mutex
	mode    Mode
	got     []int
	texts   map[int]string
	reached chan struct{}
}

// NewReceiver returns one that takes everything.
func NewReceiver() *Receiver {
	return &Receiver{texts: make(map[int]string), reached: make(chan struct{}, 1)}
}

// Be sets the mode.
func (r *Receiver) Be(m Mode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode = m
}

// Mode is the mode for what comes now. Whoever tests is told that something has come.
func (r *Receiver) Mode() Mode {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.reached <- struct{}{}:
	default:
	}
	return r.mode
}

// Keep is called with each item that was taken, in order.
func (r *Receiver) Keep(seq int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.texts[seq] = append(r.got, seq), text
}

// Got are the numbers of the items that were taken.
func (r *Receiver) Got() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int{}, r.got...)
}

// Text is what came of an item.
func (r *Receiver) Text(seq int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.texts[seq]
}
