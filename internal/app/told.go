package app

import (
	"maps"
	"sync"

	"sallyport/internal/monitor"
)

// told counts what became of notices of rotations, by rotation.
type told struct {
	mu                 sync.Mutex
	delivered, dropped map[string]int
}

func (t *told) count(rotation string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.delivered == nil {
		t.delivered, t.dropped = make(map[string]int), make(map[string]int)
	}
	if err != nil {
		t.dropped[rotation]++
		return
	}
	t.delivered[rotation]++
}

// collect emits the counts.
func (t *told) collect(emit func(monitor.Gauge)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for delivery, counts := range map[string]map[string]int{"delivered": t.delivered, "dropped": t.dropped} {
		for rotation, n := range maps.All(counts) {
			emit(monitor.Gauge{Desc: monitor.RotationNotices, Value: float64(n), Labels: []string{rotation, delivery}})
		}
	}
}
