package fleet

import (
	"fmt"
	"time"
)

// Event tells of progress. Its text is for people.
type Event struct {
	Time  time.Time `json:"time"`
	Fleet string    `json:"fleet"`
	Unit  string    `json:"unit,omitempty"`
	Phase Phase     `json:"phase,omitempty"`
	Done  int       `json:"done"` // steps that are over
	Total int       `json:"total"`
	Text  string    `json:"text"`
}

// tell hands an event to whoever listens.
func (w *work) tell(step *Step, format string, args ...any) {
	if w.Tell == nil {
		return
	}
	e := Event{Time: time.Now(), Fleet: w.Fleet, Total: len(w.record.Steps), Text: fmt.Sprintf(format, args...)}
	for _, s := range w.record.Steps {
		if s.Phase.over() {
			e.Done++
		}
	}
	if step != nil {
		e.Unit, e.Phase = step.Unit, step.Phase
	}
	w.Tell(e)
}
