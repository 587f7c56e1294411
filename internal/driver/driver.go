// Package driver is the port to whatever issues keys: an API that makes and ends them, a server whose password is
// changed, a command, or nobody but Sallyport itself. A rotation (package rotation/run) drives it through create, set,
// test and delete.
//
// A driver knows how to do each step once. It keeps nothing between calls, retries nothing for longer than one call,
// and does not decide when a step comes or whether it is undone: the rotation does, from its journal and from what
// Capabilities say.
//
// Invariant: no method ends a key that it was not told to end, and no error has a byte of a key's value.
package driver

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/secret"
)

// Job is what each call is for.
type Job struct {
	Rotation string // its name in the configuration
	// Run is the id of this run: 20 bytes of a-z and 0-9. What a driver makes at a provider is labelled with Label, so
	// that a run finds it again after an answer that was lost.
	Run string
	// Current is the store's current version when the method is called, which the provider accepts: the old value until
	// the run finishes, and the new one after. Zero: there is none yet.
	Current secret.Value
	// OldKey is the provider's id of the key that this run replaces. "" when nobody knows it, as in the first run.
	OldKey string
}

// Label is what a key made in this run is called at the provider.
func (j Job) Label() string { return LabelPrefix + j.Rotation + "-" + j.Run }

// LabelPrefix begins the label of each key that a run has made.
const LabelPrefix = "sallyport-"

// Key is one key at the provider; never its value.
type Key struct {
	ID      string    `json:"id"`               // as the provider names it; it is printed, and so must be no secret
	Label   string    `json:"label,omitempty"`  // as the provider keeps it; "" where it keeps none
	Created time.Time `json:"created,omitzero"` // zero: the provider does not tell
	Expires time.Time `json:"expires,omitzero"` // zero: it does not, or the provider does not tell
}

// Made is a new key with its value.
type Made struct {
	Key   Key
	Value secret.Value
}

// Driver does the steps of a rotation. It is safe for concurrent use. Each method may be called again with the same
// Job, by another process too, after a crash or an error at any instant, and has to come to the same end.
//
// Errors: ErrRefused, ErrLimit and ErrUnclear are wrapped where they are known. After any other error, and after
// ErrUnclear, nobody knows whether the call had its effect.
type Driver interface {
	// Capabilities tell what the provider can do. They do not change.
	Capabilities() Capabilities

	// Create makes a new key and returns it. With Capabilities.Lists the rotation has looked for keys with the job's
	// label and deleted them before: their values are lost. Where the provider does not mint values, Create makes one
	// up, and contacts nobody.
	Create(ctx context.Context, job Job) (Made, error)

	// Set has the provider accept made beside job.Current, or in its place where it knows one value alone. Where Create
	// has done that already, Set does nothing.
	Set(ctx context.Context, job Job, made Made) error

	// Test asks the provider whether it takes made. A driver that cannot ask returns nil: the rotation tests through
	// the gate too.
	Test(ctx context.Context, job Job, made Made) error

	// Undo takes Set back: afterwards the provider accepts job.Current as before. It is not called where
	// Capabilities.Deletes: made is deleted then.
	Undo(ctx context.Context, job Job, made Made) error

	// Keys lists all keys of the account that the configuration names, also those that Sallyport has not made. It is
	// called only where Capabilities.Lists.
	Keys(ctx context.Context, job Job) ([]Key, error)

	// Delete ends the key id. A key that is not there is ended: no error. It is called only where Capabilities.Deletes.
	Delete(ctx context.Context, job Job, id string) error
}

// Capabilities are what a rotation has to know of a provider, as data.
type Capabilities struct {
	// Lists: Keys works, and shows the labels that Create gave. Without it, a key whose answer was lost cannot be found
	// again. Where Create contacts nobody there is none to find, and the labels may be left out.
	Lists bool
	// Deletes: keys are ended one by one. Without it the old one ends when the new one is set, or by itself.
	Deletes bool
	// MaxKeys is how many keys may live at once. 0: nobody knows. 1: the new value takes the place of the old one, and
	// the old one is not accepted any more as soon as Set has returned.
	MaxKeys int
	// NeedsOld: Set, Undo and Delete log in with job.Current; a run without job.Current cannot be made.
	NeedsOld bool
	// Late is how long the provider may take until a new key works everywhere. A test is repeated for that long.
	Late time.Duration
	// Elsewhere: the command or provider has effects that Sallyport cannot see in the configuration; a plan says so.
	Elsewhere bool
}

// What drivers answer. Each is wrapped with the provider's own reason, and with a hint where a person can help.
var (
	// ErrRefused: the provider understood the call and did nothing. Repeating it is of no use.
	ErrRefused = errors.New("the provider refused")
	// ErrLimit: the provider has as many keys as it allows. It is a refusal too.
	ErrLimit = errors.New("the provider allows no more keys")
	// ErrUnclear: the provider could not be reached, or failed. It may have done what it was asked to.
	ErrUnclear = errors.New("it is not clear whether the provider did it")
)

// Certain tells whether err says that the call had no effect.
func Certain(err error) bool { return errors.Is(err, ErrRefused) || errors.Is(err, ErrLimit) }

// Local is embedded by drivers that have no provider: a value counts as soon as the store has it.
type Local struct{}

// Capabilities implements Driver.
func (Local) Capabilities() Capabilities { return Capabilities{} }

// Set implements Driver.
func (Local) Set(context.Context, Job, Made) error { return nil }

// Test implements Driver.
func (Local) Test(context.Context, Job, Made) error { return nil }

// Undo implements Driver.
func (Local) Undo(context.Context, Job, Made) error { return nil }

// Keys implements Driver.
func (Local) Keys(context.Context, Job) ([]Key, error) { return nil, nil }

// Delete implements Driver.
func (Local) Delete(context.Context, Job, string) error { return nil }
