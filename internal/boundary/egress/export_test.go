package egress

import (
	"context"
	"io"
	"net"
	"time"
)

// NewIdleBody wraps body as RoundTrip does.
func NewIdleBody(body io.ReadCloser, idle time.Duration, cancel context.CancelCauseFunc) io.ReadCloser {
	return &idleBody{ReadCloser: body, idle: idle, cancel: cancel, release: cancel}
}

// DialError is what a dial that failed with err is told as.
func DialError(err error) error { return DialErrorTo("", err) }

// DialErrorTo is DialError for a destination that a person knows by named.
func DialErrorTo(named string, err error) error {
	return &phaseError{phase: phaseDial, named: named, err: err}
}

// NewSocket makes a connection of TCP one whose fate can be asked for.
func NewSocket(c net.Conn) *socket { s, _ := newSocket(c).(*socket); return s }

func (s *socket) Begin()                           { s.begin() }
func (s *socket) Refused(limit time.Duration) bool { return s.refused(limit) }

// Keep makes c a connection that is kept, of which the second request is to come.
func Keep(c net.Conn) *kept {
	k := keep(c, c, 0)
	k.take()
	k.turn.Unlock()
	k.take()
	return k
}

func (k *kept) Untouched() bool { return k.untouched() }
