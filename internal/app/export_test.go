package app

import (
	"context"
	"time"
)

// CloseDatabase takes the database away from a running gate.
func (a *App) CloseDatabase() error { return a.state.Close() }

// RotateDue is one look at the schedule.
func (a *App) RotateDue(ctx context.Context) { a.rotateDue(ctx, make(map[string]*backoff)) }

// NewBackoff returns backoff.try.
func NewBackoff() func(now time.Time, do func() error) { return new(backoff).try }

// SocketPath is where the control socket of a data directory is.
func SocketPath(data string) string { return socketPath(data) }
