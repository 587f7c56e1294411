package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// target is the store that a command works on.
type target struct {
	secret.Store
	state *app.State
	name  string
}

// storeFlag adds --store.
func storeFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "store", secret.Builtin, "the store, as sallyport.yaml names it")
}

// withStore runs fn on an opened store.
func (e *env) withStore(ctx context.Context, name string, fn func(t *target) error) error {
	return e.withHead(ctx, func(s *app.State) error {
		t, err := openTarget(ctx, s, name)
		if err != nil {
			return err
		}
		return fn(t)
	})
}

func openTarget(ctx context.Context, s *app.State, name string) (*target, error) {
	store, err := s.Store(ctx, name)
	if err != nil {
		return nil, err
	}
	return &target{Store: store, state: s, name: name}, nil
}

// label is how a secret is named in records: a builtin one by its path alone.
func (t *target) label(path string) string {
	if t.name == secret.Builtin {
		return path
	}
	return t.name + "://" + path
}

// record puts on record what is about to be done.
func (t *target) record(ctx context.Context, action, path string) error {
	return record(ctx, t.state, action, t.label(path))
}

// changed tells the running gate.
func (t *target) changed(ctx context.Context) error { return t.state.StoreChanged(ctx, t.name) }

func (t *target) writer() (secret.Writer, error) {
	if w, ok := t.Store.(secret.Writer); ok {
		return w, nil
	}
	return nil, t.lacks("be written to")
}

func (t *target) lister() (secret.Lister, error) {
	if l, ok := t.Store.(secret.Lister); ok {
		return l, nil
	}
	return nil, t.lacks("tell what it holds")
}

func (t *target) lacks(power string) error {
	return fault.WithHint(fmt.Errorf("store %q: %w", t.name, errors.New("a store of this kind cannot "+power)),
		"use the store's own tools")
}

// named adds where the names and versions are to be seen.
func (t *target) named(err error) error {
	if t.name == secret.Builtin {
		return named(err)
	}
	return namedIn(err, " --store "+t.name)
}

// meantIn is named, with the name that was probably meant where the store is the builtin one.
func (e *env) meantIn(ctx context.Context, t *target, err error, got string) error {
	if err = t.named(err); t.name != secret.Builtin {
		return err
	}
	return e.meantSecret(ctx, err, got)
}

// named is it for the builtin store.
func named(err error) error { return namedIn(err, "") }

func namedIn(err error, flag string) error {
	switch {
	case err == nil || fault.HintOf(err) != "":
		return err
	case errors.Is(err, secret.ErrNotFound):
		return fault.WithHint(err, "`sallyport secret list"+flag+"` shows the names")
	case errors.Is(err, secret.ErrVersionGone):
		return fault.WithHint(err, "`sallyport secret history"+flag+" NAME` shows the versions")
	}
	return err
}
