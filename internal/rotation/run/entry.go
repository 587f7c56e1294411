package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

// Step is what a run does next.
type Step string

// The steps in their order. Finish is three of them: promote, spread and restart; retire may wait for days.
const (
	StepCreate  Step = "create"  // make the new key, or mint it
	StepSet     Step = "set"     // pending in the store, and accepted by the provider
	StepTest    Step = "test"    // a real call with it, on every replica
	StepPromote Step = "promote" // current in the store
	StepSpread  Step = "spread"  // used by every replica
	StepRestart Step = "restart" // what reads it at its start only
	StepRetire  Step = "retire"  // end the old key, when nobody needs it any more
	StepUndo    Step = "undo"    // take back what was made
	StepNone    Step = ""        // it has ended
)

// State is how a run stands.
type State string

// The states. The last three are final.
const (
	StateRunning    State = "running"     // a process works on it, or it waits for the next one
	StateWaiting    State = "waiting"     // the new version is current everywhere; the old key is still needed
	StateStuck      State = "stuck"       // a person has to look: what it needs stands in the hint
	StateDone       State = "done"        // the new version is current, and the old key is ended or left, as Left says
	StateRolledBack State = "rolled back" // the old version is current, and nothing is left of the new one
	StateAborted    State = "aborted"     // the same, because a person wanted it
)

// Entry is a run as it is on record.
type Entry struct {
	ID      string `json:"run"`
	Name    string `json:"rotation"`
	Number  int    `json:"number"`            // of the rotation's runs, from 1; their order, whatever a clock says
	Request string `json:"request,omitempty"` // what the caller named it by: the same request is the same run
	State   State  `json:"state"`
	Step    Step   `json:"step,omitempty"`
	Actor   string `json:"actor"` // who began it
	// who has approved of its plan before it began, where that is asked for
	Approved []string `json:"approved,omitempty"`
	// what the driver did beside its settings when it began
	Files []driver.File `json:"files,omitempty"`

	OldVersion string `json:"old_version,omitempty"` // in the store
	NewVersion string `json:"new_version,omitempty"`
	OldKey     string `json:"old_key,omitempty"` // at the provider
	NewKey     string `json:"new_key,omitempty"`

	Started time.Time `json:"started"`
	Updated time.Time `json:"updated"`
	Tries   int       `json:"tries,omitempty"` // of the step; 1 is the first
	Touched bool      `json:"touched"`         // the provider or the store may have something of this run

	LastError string    `json:"last_error,omitempty"`
	Hint      string    `json:"hint,omitempty"`
	Notes     []string  `json:"notes,omitempty"`    // what went otherwise than planned
	Verdicts  []Verdict `json:"verdicts,omitempty"` // of the last test
	Left      string    `json:"left,omitempty"`     // what a finished run has not cleaned up, and why

	// consumers of the old version that have not used the new one, the first maxWaiting of them, and how many there
	// are beside
	Waiting     []string `json:"waiting,omitempty"`
	WaitingMore int      `json:"waiting_more,omitempty"`

	Quiet  time.Duration `json:"quiet,omitempty"` // how long nobody has used the old version
	Looked time.Time     `json:"looked,omitzero"` // when that was seen last
	Uses   int64         `json:"uses,omitempty"`  // of the old version, when that was seen last

	Owner   string       `json:"owner,omitempty"` // the process that works on it
	Lease   time.Time    `json:"lease,omitzero"`  // until when others leave it alone
	Fence   int64        `json:"fence"`           // goes up with each owner
	Aborted string       `json:"aborted,omitempty"`
	Value   secret.Value `json:"-"` // sealed in a column of its own
}

// Ended tells whether nothing is left to do.
func (e *Entry) Ended() bool {
	return e.State == StateDone || e.State == StateRolledBack || e.State == StateAborted
}

// Finished tells whether the new version is current, so that there is no way back.
func (e *Entry) Finished() bool {
	return slices.Contains([]Step{StepSpread, StepRestart, StepRetire}, e.Step) || e.State == StateDone
}

// Needed is how many consumers still need the old key.
func (e *Entry) Needed() int { return len(e.Waiting) + e.WaitingMore }

// StillNeeded names the consumers that still need the old key.
func (e *Entry) StillNeeded() string {
	text := strings.Join(e.Waiting, ", ")
	if e.WaitingMore > 0 {
		text += fmt.Sprintf(" and %d more", e.WaitingMore)
	}
	return text
}

// KeyOf is the provider's id of the key that has version of a rotation: that of its newest finished run, if that made
// the version. "": nobody knows it. runs are those of Journal.List.
func KeyOf(runs []Entry, rotation, version string) string {
	for _, e := range slices.Backward(runs) {
		switch {
		case e.Name != rotation || e.State != StateDone:
		case e.NewVersion == version:
			return e.NewKey
		default:
			return ""
		}
	}
	return ""
}

func (e *Entry) note(text string) {
	if !slices.Contains(e.Notes, text) && len(e.Notes) < maxNotes {
		e.Notes = append(e.Notes, text)
	}
}

// A row of the journal has to be read again whatever callers call their workflows, so what they choose is bounded.
const (
	maxNotes    = 50
	maxWaiting  = 50
	maxVerdicts = 50
	maxVerdict  = 300 // bytes of what went wrong at one replica

	// of what a provider returns, in bytes
	maxValue = 1 << 20
	maxKey   = 1024
)

// keepVerdicts keeps those of a test, the failures first.
func (e *Entry) keepVerdicts(list []Verdict) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Verdict) int { return strings.Compare(b.Failure, a.Failure) })
	list = list[:min(len(list), maxVerdicts)]
	for i := range list {
		one := &list[i]
		one.Failure = strings.ToValidUTF8(one.Failure[:min(len(one.Failure), maxVerdict)], "")
	}
	e.Verdicts = list
}

func (e *Entry) made() driver.Made {
	return driver.Made{Key: driver.Key{ID: e.NewKey}, Value: e.Value}
}
