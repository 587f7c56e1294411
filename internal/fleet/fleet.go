// Package fleet restarts the nodes of an n8n installation one after another, under whatever runs them.
//
// An Orchestrator is what runs n8n: Docker Compose, Swarm, Kubernetes, Nomad, systemd, or commands that someone names.
// It knows units: what is restarted at once. A unit is one node (a container, a systemd unit), or a workload of several
// that the orchestrator itself replaces one after another (a Deployment, a Swarm service). A Roller goes from unit to
// unit: drained, restarted, healthy, proved, next. Which steps are done is in a Journal, so that another process can go
// on after the end of this one.
//
// It does not change what nodes run, apart from Revert, and it knows no secret.
//
// Invariants: no unit is begun before the one before it is healthy and proved. A restart that was begun is not begun
// again where the orchestrator can tell that it was. Whatever ends a Roller, the journal says what is done and what is
// next.
package fleet

import (
	"context"
	"errors"
	"time"
)

// State is how a unit is.
type State string

// The states. Only an orchestrator that says so itself makes a unit Failed: one that takes long is Changing.
const (
	// as many nodes as wanted run what they are to run, and are healthy as far as is known here
	Ready    State = "ready"
	Changing State = "changing" // nodes start, end, or are replaced
	Stopped  State = "stopped"  // no node is wanted
	Failed   State = "failed"   // the orchestrator has given up, or a node ends again and again
)

// Node is one n8n process, or what it runs in.
type Node struct {
	Name     string `json:"name"`              // for people: a pod, a container, a systemd unit
	Way      Way    `json:"way,omitempty"`     // "" where nothing reaches it from here
	Away     *Away  `json:"away,omitempty"`    // where it is instead
	Address  string `json:"address,omitempty"` // host or IP address, without a port; "" is unknown
	Instance string `json:"instance"`          // changes when its process is another one
	Ready    bool   `json:"ready"`
}

// Unit is what is restarted at once.
type Unit struct {
	Name string `json:"name"` // stable over restarts, and unique in its fleet; what the other methods take

	// Generation changes with each restart of the whole unit, whoever began it, as soon as Restart has returned. ""
	// where the orchestrator cannot tell: then a restart may be made twice after a crash.
	Generation string `json:"generation,omitempty"`

	// Revision is what Revert takes to come back to what the unit runs now; "" where there is no way back.
	Revision string `json:"revision,omitempty"`

	State   State         `json:"state"`
	Problem string        `json:"problem,omitempty"` // why it is not Ready: one clean line; "" is unknown
	Grace   time.Duration `json:"grace,omitempty"`   // from SIGTERM to SIGKILL; 0 is unknown, or up to Restart
	Want    int           `json:"want"`              // how many nodes are wanted
	Nodes   []Node        `json:"nodes"`             // those that are there, old and new ones
}

// Orchestrator is a way to a fleet. Its methods may be called concurrently, and return before long or with ctx. Their
// errors carry a hint and quote nothing that may be a secret. An orchestrator that cannot be reached, or does not
// answer, is ErrUnreachable: the call may have had its effect all the same.
type Orchestrator interface {
	// List returns the units that there are, in the order in which they are restarted. None is an error with a hint.
	List(ctx context.Context) ([]Unit, error)
	// Look returns one unit. ErrGone: there is no such unit any more.
	Look(ctx context.Context, unit string) (Unit, error)
	// Restart has all nodes of a unit replaced or restarted, and returns when the orchestrator has taken that on; n8n
	// has grace to end its executions, where that is not the orchestrator's own setting. A stopped unit stays stopped.
	Restart(ctx context.Context, unit string, grace time.Duration) error
}

// Reverter is an Orchestrator that keeps what a unit ran before.
type Reverter interface {
	// Revert begins to bring a unit back to a Revision. A unit that runs it already is left alone. ErrNoRevision: it is
	// not kept any more.
	Revert(ctx context.Context, unit, revision string) error
}

// Scaler is an Orchestrator that can have a fleet stand still.
type Scaler interface {
	// Stop has all nodes of a unit end, with grace to do so. A unit that is stopped is left alone.
	Stop(ctx context.Context, unit string, grace time.Duration) error
	// Start has want nodes run. A unit that has as many is left alone.
	Start(ctx context.Context, unit string, want int) error
}

// Tidier is an Orchestrator that removes what a restart has left behind, once every unit is healthy: what is not needed
// any more, not even to go back to what a unit ran before. It is called again after any end.
type Tidier interface {
	// Tidy returns the names of what it has removed, also with an error.
	Tidy(ctx context.Context) (removed []string, err error)
}

// What Orchestrators answer.
var (
	ErrUnreachable = errors.New("the orchestrator cannot be reached")
	ErrGone        = errors.New("there is no such unit")
	ErrNotAllowed  = errors.New("the orchestrator does not allow it")
	ErrNoRevision  = errors.New("the revision is not kept any more")
)

// Busy tells how many executions n8n has under way, in the whole installation. Its error says what was asked.
type Busy interface {
	Running(ctx context.Context) (int, error)
}

// Health tells whether a unit's nodes say themselves that they are healthy. Its error is why not.
type Health interface {
	Healthy(ctx context.Context, u Unit) error
}

// Prover proves that a unit's nodes do what they were restarted for, such as have the new master key. It is asked once
// they are healthy. Its error is why not, with a hint.
type Prover interface {
	Prove(ctx context.Context, u Unit) error
}
