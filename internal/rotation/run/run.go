// Package run replaces a secret without a gap: create → set → test → finish.
//
// Each step is idempotent. It is on record before it begins and after it has ended, so that another process goes on
// after a crash at any instant. Until finish the old version is current everywhere and nothing but the test uses the
// new one; a step that fails before takes everything back. From finish on the run only goes forward: the new version is
// current, and the old key at the provider is ended when the audit log shows that nobody needs it any more.
//
// It knows no provider, store or gate: package driver and the interfaces here are what it asks. It does not decide when
// a run is due (package schedule), and not what it is about (Plan, which internal/app makes from the configuration).
//
// Invariant: at every instant the value that is current is accepted by the provider, as far as the provider allows two
// at once; and each key that a run made at the provider is either the current one, or on record in an unfinished run.
package run

import (
	"context"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

// Plan is what one rotation is about.
type Plan struct {
	Name    string
	Driver  driver.Driver
	Files   []driver.File // what the driver does beside its settings, as it will do it
	Secret  Secret
	Gate    Gate
	Uses    Evidence      // nil: nobody knows who uses what, and the old key is retired by Grace alone
	Fleet   Fleet         // nil: nothing is restarted
	Restart []string      // what is restarted after finish, as Fleet names it
	Grace   time.Duration // how long nobody may have used the old version before it is retired
}

// Secret is the secret that is rotated, in its store. All its methods may be repeated.
type Secret interface {
	// Current returns the value that consumers get, and the store's version of it. secret.ErrNotFound: there is none
	// yet.
	Current(ctx context.Context) (secret.Value, string, error)
	// Stage writes value beside the current version as the pending one of a run. Nobody gets it but who asks for it.
	Stage(ctx context.Context, run string, value secret.Value) error
	// Staged returns the pending value of a run. secret.ErrNotFound: the store has none, or that of another run.
	Staged(ctx context.Context, run string) (secret.Value, error)
	// Promote makes value current if the current version is expected, or is value already, and returns the version that
	// it is now. secret.ErrConflict: another value has become current meanwhile.
	Promote(ctx context.Context, value secret.Value, expected string) (string, error)
	// Discard takes the pending value away. None is no error.
	Discard(ctx context.Context, run string) error
}

// Gate is all replicas that inject the secret.
type Gate interface {
	// Test has every live replica make the test call with value in the secret's place. One verdict for each; none where
	// the configuration has no test call. An error means that it is not known which replicas there are.
	Test(ctx context.Context, run string, value secret.Value) ([]Verdict, error)
	// Spread returns when every live replica uses version, or names those that could not be seen to.
	Spread(ctx context.Context, version string) (missing []string, err error)
}

// Verdict is what a replica found.
type Verdict struct {
	Replica string `json:"replica"`
	Failure string `json:"failure,omitempty"` // what went wrong; "" is a success. Never a value
}

// Evidence is the audit log.
type Evidence interface {
	// Uses returns who has used a version of the plan's secret, by workflow or, where none is named, by token. What
	// someone may have used, and nobody knows who, has an empty By.
	Uses(ctx context.Context, version string) ([]Use, error)
	// Gather has every replica write down what it has counted, so that Uses has it. missing names those of which it is
	// not known what they have used within the grace time.
	Gather(ctx context.Context) (missing []string, err error)
}

// Use is one consumer's use of a version.
type Use struct {
	By    string    `json:"by"`    // "": nobody knows
	Count int64     `json:"count"` // of records; it only goes up
	Last  time.Time `json:"last"`
}

// Fleet restarts what reads the secret only when it starts.
type Fleet interface {
	// Restart returns when target is up again with the current version. Restarting once too often does no harm.
	Restart(ctx context.Context, target string) error
}
