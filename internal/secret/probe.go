package secret

import "context"

// Prober is a store that can tell what its own identity may do there, and whether it records who does.
type Prober interface {
	// Probe asks about the paths that are in use and about what lies beside them. It reads no value and changes
	// nothing: what can only be told by trying is tried on a name that is not there. The error is as Get's.
	Probe(ctx context.Context, uses []Use) (Probe, error)
}

// Use is a path that is in use.
type Use struct {
	Path   string
	Writes bool // it is written to, too: by a rotation
}

// Probe is what a store says of the identity that it is entered with.
type Probe struct {
	Identity string // whom the store takes it for; "" where it does not tell
	Rights   []Right
	Audit    Trail
}

// Right is one thing that was asked.
type Right struct {
	What string // what it would be to do: "read prod/stripe"
	Held bool
	Want Want
	Fix  string // what to write instead, when it is not as wanted: a rule of a policy
}

// Want is how a right ought to be.
type Want int

// The wants. Wide is a right that goes beyond what is in use, and that a folder of secrets for one purpose may justify.
const (
	Needed Want = iota
	Wide
	Excess
)

// Trail is whether a store records who reads and writes it.
type Trail struct {
	State    TrailState
	Evidence string
	Hint     string
}

// TrailState is whether there is a trail.
type TrailState int

// The states. The zero value is that nothing is known.
const (
	TrailUnknown TrailState = iota
	TrailOn
	TrailOff
)
