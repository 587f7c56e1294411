package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// fileStore is the store that is there for run without being configured: absolute names of files.
const fileStore = "file"

// runStores are the stores as run uses them: the state is opened only when a reference needs it, and closed again.
type runStores struct {
	config *config.Config
	poll   time.Duration
}

// Resolve implements entrypoint.Resolver.
func (r *runStores) Resolve(ctx context.Context, refs []secret.Ref) ([]secret.Result, error) {
	results := make([]secret.Result, len(refs))
	var kept []int
	for i, ref := range refs {
		switch {
		case r.config.Stores[ref.Store] != nil || ref.Store == "builtin":
			kept = append(kept, i)
		case ref.Store == fileStore:
			results[i] = fieldOf(ref, fileValue(ref))
		default:
			results[i].Err = fault.WithHint(errors.New("there is no store of this name"), "add it under stores in sallyport.yaml; docs/configuration.md shows how")
		}
	}
	if len(kept) > 0 {
		r.fromState(ctx, refs, kept, results)
	}
	return results, ctx.Err()
}

// fromState reads what the database has.
func (r *runStores) fromState(ctx context.Context, refs []secret.Ref, which []int, results []secret.Result) {
	s, err := app.Open(ctx, r.config)
	for _, i := range which {
		if err != nil {
			results[i].Err = fmt.Errorf("%w: %w", secret.ErrUnavailable, err)
			continue
		}
		var res secret.Result
		res.Value, res.Version, res.Err = s.Builtin.Get(ctx, refs[i].Path, refs[i].Version)
		res.Err = named(res.Err)
		results[i] = fieldOf(refs[i], res)
	}
	if err == nil {
		_ = s.Close() // it was read only
	}
}

// fieldOf takes the field that a reference names.
func fieldOf(ref secret.Ref, res secret.Result) secret.Result {
	if ref.Field == "" || res.Err != nil {
		return res
	}
	value, err := secret.Field(res.Value, ref.Field)
	if err != nil {
		return secret.Result{Err: fault.WithHint(err, "what stands behind '#' is a key of the JSON object, or /a/pointer into it")}
	}
	res.Value = value
	return res
}

// fileValue reads a file by its absolute name. One line break at its end is not part of the value.
func fileValue(ref secret.Ref) (res secret.Result) {
	if !filepath.IsAbs(ref.Path) || ref.Version != "" {
		res.Err = fault.WithHint(errors.New("without a store called file, a file is named by its absolute path, and has no versions"), "write ref+file:///run/secrets/NAME")
		return res
	}
	info, err := os.Stat(ref.Path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(ref.Path)
	}
	if err != nil {
		res.Err = fault.WithHint(fmt.Errorf("reading the file: %w", err), "mount it, and let this user read it")
		return res
	}
	defer f.Close() //nolint:errcheck // read only
	content, err := io.ReadAll(io.LimitReader(f, maxValue+3))
	if len(content) > maxValue {
		err = errors.New("it is larger than 1 MiB")
	}
	if err != nil {
		res.Err = fmt.Errorf("reading the file: %w", err)
		return res
	}
	res.Value = secret.NewValue(trimNewline(content))
	return res
}

// Watch implements entrypoint.Resolver: these stores are asked.
func (r *runStores) Watch(ctx context.Context, _ []secret.Ref, changed func()) error {
	if r.poll <= 0 {
		<-ctx.Done()
		return nil
	}
	for {
		wait := time.NewTimer(r.poll - r.poll/10 + rand.N(r.poll/5+1)) //nolint:gosec // spreads the asking, guards nothing
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
			changed()
		}
	}
}
