package vault

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"sallyport/internal/secret"
)

// GetBatch implements secret.Batcher. Vault has no request for several secrets: each one is read once, however often it
// is asked for, over a bounded number of connections. When Vault as a whole is found unavailable, or refuses the login,
// what has not been asked yet fails without being asked.
func (s *Store) GetBatch(ctx context.Context, keys []secret.Key) []secret.Result {
	index := make(map[secret.Key]int)
	var distinct []secret.Key
	for _, k := range keys {
		if _, seen := index[k]; !seen {
			index[k] = len(distinct)
			distinct = append(distinct, k)
		}
	}
	answers := make([]secret.Result, len(distinct))
	var down outage
	inParallel(len(distinct), func(i int) { answers[i] = s.getUnlessDown(ctx, distinct[i], &down) })

	results := make([]secret.Result, len(keys))
	for i, k := range keys {
		results[i] = answers[index[k]]
		results[i].Value = secret.NewValue(results[i].Value.Reveal()) // each caller's own
	}
	return results
}

func (s *Store) getUnlessDown(ctx context.Context, k secret.Key, down *outage) secret.Result {
	if err := down.seen(); err != nil {
		return secret.Result{Err: s.failed(ctx, "reading secret", k.Path, err)}
	}
	bounded, cancel := s.bound(ctx)
	defer cancel()
	value, v, err := s.get(bounded, k.Path, k.Version)
	if err != nil {
		if s.concernsAll(err) {
			down.note(err)
		}
		return secret.Result{Err: s.failed(ctx, "reading secret", k.Path, err)}
	}
	return secret.Result{Value: value, Version: v}
}

// concernsAll tells whether what failed for one secret will fail for every other: there is no answer, no login, or
// Vault is sealed. A single secret's error, or a limit that others may pass, is not of that kind.
func (s *Store) concernsAll(err error) bool {
	var e *answerError
	switch {
	case errors.Is(err, secret.ErrDenied):
		return s.lockedOut(err)
	case errors.As(err, &e):
		return e.status == http.StatusServiceUnavailable
	}
	return errors.Is(err, secret.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// outage remembers what fails everybody.
type outage struct {
	mu  sync.Mutex
	err error
}

func (o *outage) seen() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *outage) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}
