package proxytoken

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/rotation"
	"sallyport/internal/secret"
)

// generations is rotation's view of the token registry. Each change is told to the running gate, and to the replicas,
// before the next step.
type generations struct {
	r           *Rotator
	pushes      bool  // a consumer is given the new value before anybody sees it
	unconfirmed error // of the last change: it is made, so the rotation goes on, and says so at its end
}

// Begin implements rotation.Tokens. A consumer is given only what every replica accepts: otherwise it would be refused
// at those that do not know it yet. Where the old value has ended anyway there is nothing to lose.
func (g *generations) Begin(ctx context.Context, name string) (secret.Value, string, error) {
	value, made, err := g.begin(ctx, name)
	if err != nil {
		return value, made.ID, err
	}
	if !g.pushes { // Finish waits, before the value is shown
		return value, made.ID, g.r.Tell(ctx)
	}
	err = g.r.Changed(ctx)
	if !unconfirmed(err) {
		return value, made.ID, err
	}
	if held, errHeld := g.held(ctx, name); errHeld == nil && !held {
		return value, made.ID, nil
	}
	aborted := g.r.Tokens.Abort(context.WithoutCancel(ctx), made.ID)
	told := g.r.Tell(ctx)
	return secret.Value{}, "",
		errors.Join(fmt.Errorf("the old token stays valid, as not every replica accepts the new one yet: %w",
			err), aborted, told)
}

// begin makes the next generation, as the configuration plans it where it does.
func (g *generations) begin(ctx context.Context, name string) (secret.Value, token.Generation, error) {
	if c := g.r.Config.Tokens[name]; c != nil {
		return g.r.Tokens.BeginPlanned(ctx, name, token.Plan{Scope: scopeOf(c), Life: c.Expires})
	}
	return g.r.Tokens.Begin(ctx, name)
}

// held tells whether a generation other than a pending one is accepted still.
func (g *generations) held(ctx context.Context, name string) (bool, error) {
	list, err := g.r.Tokens.List(ctx)
	if err != nil {
		return false, err
	}
	now := time.Now()
	return slices.ContainsFunc(list, func(one token.Generation) bool {
		state := one.State(now)
		return one.Name == name && (state == token.Current || state == token.Retiring)
	}), nil
}

// Finish implements rotation.Tokens.
func (g *generations) Finish(ctx context.Context, id string, overlap time.Duration) error {
	err := g.r.Tokens.Finish(ctx, id, overlap)
	if errors.Is(err, token.ErrEnded) {
		return fmt.Errorf("%w: %w", rotation.ErrOvertaken, err)
	}
	return errors.Join(err, g.tell(ctx, err))
}

// Abort implements rotation.Tokens.
func (g *generations) Abort(ctx context.Context, id string) error {
	err := g.r.Tokens.Abort(ctx, id)
	return errors.Join(err, g.tell(ctx, err))
}

func (g *generations) tell(ctx context.Context, failed error) error {
	if failed != nil {
		return nil //nolint:nilerr // nothing changed that could be told
	}
	err := g.r.Changed(ctx)
	if unconfirmed(err) {
		g.unconfirmed, err = err, nil
	}
	return err
}

// Pending implements rotation.Tokens.
func (g *generations) Pending(ctx context.Context, name string) (string, error) {
	list, err := g.r.Tokens.List(ctx)
	if err != nil {
		return "", err
	}
	for _, one := range list {
		if one.Name == name && one.State(time.Now()) == token.Pending {
			return one.ID, nil
		}
	}
	return "", nil
}

// unconfirmed tells whether a change is made that not every replica was seen to act by.
func unconfirmed(err error) bool {
	var late Unconfirmed
	return errors.As(err, &late) && late.Unconfirmed()
}

func scopeOf(t *config.Token) token.Scope {
	return token.Scope{Services: t.Services, Methods: t.Methods, From: t.From}
}
