package app

import (
	"context"
	"fmt"
	"sync"

	"sallyport/internal/audit/sink"
	"sallyport/internal/config"
)

// auditSinks are the sinks of the active configuration, each with a Shipper at work. The zero value has none.
type auditSinks struct {
	mu      sync.Mutex
	begin   func(name string, s *shipping) // has it work in the background; nil: before Start
	working map[string]*shipping
	last    map[string]*shipping // of each name that there ever was: one taken out may still move its cursor
}

// shipping is a sink at work.
type shipping struct {
	config  *config.AuditSink
	shipper *sink.Shipper
	before  <-chan struct{} // the one that it takes the place of has ended; nil: there is none
	stop    context.CancelFunc
	ended   chan struct{}
}

// opening is a sink that is opened when it is first needed: one that cannot be opened keeps nothing else from working.
type opening struct {
	open func(ctx context.Context) (sink.Sink, error)
	sink sink.Sink
}

// Ship implements sink.Sink.
func (o *opening) Ship(ctx context.Context, batch []sink.Item) error {
	if o.sink == nil {
		opened, err := o.open(ctx)
		if err != nil {
			return fmt.Errorf("opening the sink: %w", err)
		}
		o.sink = opened
	}
	return o.sink.Ship(ctx, batch)
}

// Close implements sink.Sink.
func (o *opening) Close() error {
	if o.sink == nil {
		return nil
	}
	return o.sink.Close()
}
