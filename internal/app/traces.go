package app

import (
	"sync/atomic"

	"sallyport/internal/monitor/tracing"
)

// traces are what this gate makes of traces; the zero value makes none.
type traces struct {
	made   atomic.Pointer[tracing.Tracing]
	failed atomic.Bool // the last export
}
