package resolve

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

const (
	// readers is how many readings go on at once in a store without batches.
	readers = 16

	// callLimit ends a single reading of a store that does not keep to a limit of its own.
	callLimit = 30 * time.Second
)

// fetch reads keys: in batches where the store can, else some at a time. There is one result per key, in order.
func fetch(ctx context.Context, store secret.Store, keys []secret.Key) []secret.Result {
	b, ok := store.(secret.Batcher)
	if !ok || len(keys) == 1 {
		return each(ctx, store, keys)
	}
	results := b.GetBatch(ctx, keys)
	if len(results) == len(keys) {
		return results
	}
	list := make([]secret.Result, len(keys))
	for i, key := range keys {
		list[i].Err = fmt.Errorf("reading secret %q: %w: %d answers to %d questions", key.Path, secret.ErrUnavailable,
			len(results), len(keys))
	}
	return list
}

// each reads keys one by one. When as many readings in a row as go on at once have had no answer, the store is down,
// and the rest need not wait for it.
func each(ctx context.Context, store secret.Store, keys []secret.Key) []secret.Result {
	results := make([]secret.Result, len(keys))
	var next, unanswered atomic.Int64
	var all guard.Group
	for range min(readers, len(keys)) {
		all.Go("reading secrets", func() {
			var why error
			for {
				i := int(next.Add(1)) - 1
				if i >= len(keys) {
					return
				}
				if why != nil && unanswered.Load() >= readers {
					results[i].Err = why
					continue
				}
				results[i] = one(ctx, store, keys[i])
				if why = results[i].Err; errors.Is(why, secret.ErrUnavailable) {
					unanswered.Add(1)
				} else {
					why = nil
					unanswered.Store(0)
				}
			}
		})
	}
	all.Wait()
	return results
}

// broken is the result of a reading that ended in a panic.
func broken(key secret.Key, why *fault.Panic) secret.Result {
	return secret.Result{Err: fmt.Errorf("reading secret %q: %w: %w", key.Path, secret.ErrUnavailable, why)}
}

func one(ctx context.Context, store secret.Store, key secret.Key) (res secret.Result) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	why := guard.Call("reading a secret", func() {
		res.Value, res.Version, res.Err = store.Get(ctx, key.Path, key.Version)
	})
	if why != nil {
		return broken(key, why)
	}
	if errors.Is(res.Err, context.DeadlineExceeded) && !errors.Is(res.Err, secret.ErrUnavailable) {
		res.Err = fmt.Errorf("%w: %w", secret.ErrUnavailable, res.Err)
	}
	return res
}
