package app

import (
	"context"
	"database/sql"
	"net/http"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

// WithAdapter has o open other stores than the real ones.
func (o Options) WithAdapter(open func(*config.Store) (secret.Store, error)) Options {
	o.adapter = open
	return o
}

// WithClock has rotations of secrets go by another clock.
func (o Options) WithClock(now func() time.Time) Options {
	o.now = now
	return o
}

// ApproveRotation is what the control socket does for a person who approves of what a run would do now.
func (a *App) ApproveRotation(ctx context.Context, name string, by approval.Person) error {
	p, err := a.secrets.Plan(ctx, name)
	if err != nil {
		return err
	}
	_, err = a.newTurns().Approve(ctx, name, p.Hash, by)
	return err
}

// RotateAs is what the control socket does for a person who rotates.
func (a *App) RotateAs(ctx context.Context, name string, by approval.Person) (run.Entry, error) {
	return a.newTurns().Act(ctx, turn{act: ActRotate, name: name, by: by}, nil)
}

// OpenStoresWith is OpenStores with other stores than the real ones.
func OpenStoresWith(c *config.Config, open func(*config.Store) (secret.Store, error)) *OwnStores {
	return openStores(c, open)
}

// RotateDue is one look at the schedule.
func (a *App) RotateDue(ctx context.Context) { a.newSchedule().Look(ctx) }

// Vault is where derived tokens are kept.
func (s *State) Vault() derive.Vault { return s.vault }

// Owner gives the right to mint.
func (s *State) Owner() derive.Owner { return s.owner }

// AdoptAgain puts the token table on record as it is, for tests that make a token older.
func (s *State) AdoptAgain(ctx context.Context) error {
	if err := s.DB.Write(ctx, topicTokens, func(tx *sql.Tx) error { return s.Tokens.Adopt(ctx, tx) }); err != nil {
		return err
	}
	return s.Tokens.Load(ctx)
}

// TellAltered is one look at the rows of the database.
func (a *App) TellAltered(ctx context.Context) { a.tellAltered(ctx) }

// RaiseDescriptors is what a start does about the limit of open files.
var RaiseDescriptors = raiseDescriptors

// Guarded is how the handlers of the gate's own listeners are served.
func (a *App) Guarded(h http.Handler) http.Handler { return a.guarded("admin", h) }

// Closers are closers.
type Closers struct{ list closers }

// Push is closers.push.
func (c *Closers) Push(name string, closing func(context.Context) error) { c.list.push(name, closing) }

// Close is closers.close.
func (c *Closers) Close(ctx context.Context) error { return c.list.close(ctx) }

// Stopping is closed when the rotations of a gate are.
func Stopping(a *App) <-chan struct{} { return a.secrets.Stopping() }
