package egress

import (
	"context"
	"io"
	"time"
)

// NewIdleBody wraps body as RoundTrip does.
func NewIdleBody(body io.ReadCloser, idle time.Duration, cancel context.CancelCauseFunc) io.ReadCloser {
	return &idleBody{ReadCloser: body, idle: idle, cancel: cancel}
}
