package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/localfile"
	"sallyport/internal/pause"
	"sallyport/internal/secret"
)

// runStores are the stores of the configuration as run uses them: with files by their absolute names, which the
// operator of an entrypoint may read anyway, and with bare ARNs, whatever the one store of their kind is called.
type runStores struct {
	*app.OwnStores
	set   map[string]*config.Store
	kinds config.Kinds
	poll  time.Duration // how often files by absolute names are looked at
}

func openRunStores(ctx context.Context, c *config.Config, poll time.Duration) (*runStores, error) {
	stores, err := app.OpenStores(ctx, c)
	if err != nil {
		return nil, err
	}
	return &runStores{OwnStores: stores, set: c.StoreSet(), kinds: c.Kinds(), poll: poll}, nil
}

// Resolve implements entrypoint.Resolver.
func (r *runStores) Resolve(ctx context.Context, refs []secret.Ref) ([]secret.Result, error) {
	results := make([]secret.Result, len(refs))
	var asked []secret.Ref
	var at []int
	unrecorded := r.record(ctx, refs)
	for i, ref := range refs {
		ref := r.placed(ref)
		switch {
		case r.isFile(ref):
			results[i] = fieldOf(ref, fileValue(ref))
		case r.set[ref.Store] == nil:
			results[i].Err = fault.WithHint(errors.New("there is no store of this name"),
				"add it under `stores` in sallyport.yaml; docs/configuration.md shows how")
		case unrecorded != nil && r.isBuiltin(ref):
			results[i].Err = unrecorded
		default:
			asked, at = append(asked, ref), append(at, i)
		}
	}
	if len(asked) == 0 {
		return results, ctx.Err()
	}
	answers, err := r.OwnStores.Resolve(ctx, asked)
	for i, answer := range answers {
		answer.Err = named(answer.Err)
		results[at[i]] = answer
	}
	return results, err
}

// record puts on record which builtin secrets are about to be read. Other stores keep a record of their own.
func (r *runStores) record(ctx context.Context, refs []secret.Ref) error {
	var names []string
	for _, ref := range refs {
		if r.isBuiltin(ref) {
			names = append(names, ref.Path)
		}
	}
	if len(names) == 0 {
		return nil
	}
	state, err := r.State(ctx)
	if err != nil {
		return err
	}
	slices.Sort(names)
	return record(ctx, state, "secret.run", strings.Join(slices.Compact(names), " "))
}

func (r *runStores) isBuiltin(ref secret.Ref) bool {
	return r.kindOf(ref).Own
}

// kindOf is the kind of the store that ref names, or the kind that ref names if there is no such store.
func (r *runStores) kindOf(ref secret.Ref) secret.Kind {
	name := ref.Store
	if store := r.set[name]; store != nil {
		name = store.Kind
	}
	kind, _ := r.kinds.Store(name)
	return kind
}

// Watch implements entrypoint.Resolver.
func (r *runStores) Watch(ctx context.Context, refs []secret.Ref, changed func()) (err error) {
	var watched []secret.Ref
	for _, ref := range refs {
		if ref = r.placed(ref); !r.isFile(ref) {
			watched = append(watched, ref)
		}
	}
	var both guard.Group
	defer both.Wait()
	if len(watched) < len(refs) {
		both.Go("asking files again", func() { r.poke(ctx, changed) })
	}
	if len(watched) == 0 {
		return nil
	}
	return r.OwnStores.Watch(ctx, watched, changed)
}

// placed finds the store of a bare ARN, when there is one of its kind alone.
func (r *runStores) placed(ref secret.Ref) secret.Ref {
	if r.set[ref.Store] != nil || !r.kindOf(ref).ByKind {
		return ref
	}
	var names []string
	for name, store := range r.set {
		if store.Kind == ref.Store {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		ref.Store = names[0]
	}
	return ref
}

// isFile tells a file by its absolute name from what a store of the configuration that is called file has.
func (r *runStores) isFile(ref secret.Ref) bool {
	return filepath.IsAbs(ref.Path) && r.kindOf(ref).AnyFile
}

// poke asks for another look now and then.
func (r *runStores) poke(ctx context.Context, changed func()) {
	if r.poll <= 0 {
		return
	}
	spread := func() time.Duration { return r.poll - r.poll/10 + rand.N(r.poll/5+1) } //nolint:gosec // guards nothing
	for pause.For(ctx, spread()) == nil {
		changed()
	}
}

// fieldOf takes the field that a reference names.
func fieldOf(ref secret.Ref, res secret.Result) secret.Result {
	if ref.Field == "" || res.Err != nil {
		return res
	}
	value, err := secret.Field(res.Value, ref.Field)
	if err != nil {
		return secret.Result{Err: fault.WithHint(err,
			"what stands behind '#' is a key of the JSON object, or a JSON pointer into it: #/a/b")}
	}
	res.Value = value
	return res
}

// fileValue reads a file by its absolute name. One line break at its end is not part of the value, nor is a byte order
// mark.
func fileValue(ref secret.Ref) (res secret.Result) {
	raw, err := readRegular(ref.Path)
	switch {
	case ref.Version != "":
		res.Err = fault.WithHint(errors.New("a file has no versions"), "leave ?version= out")
	case err != nil:
		res.Err = fault.WithHint(fmt.Errorf("reading the file: %w", err), "mount it, and let this user read it")
	default:
		res.Value = secret.NewValue(trimNewline(raw))
	}
	return res
}

func readRegular(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is not a regular file", name)
	}
	f, err := localfile.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	raw, err := io.ReadAll(io.LimitReader(f, maxValue+3))
	if len(raw) > maxValue {
		return nil, errors.New("it is larger than 1 MiB")
	}
	return raw, err
}
