package proxytoken

import "time"

// NewBackoff returns backoff.try.
func NewBackoff() func(now time.Time, do func() error) { return new(backoff).try }
