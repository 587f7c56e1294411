package derive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"sallyport/internal/fault"
)

// pending is a State that has to be on record, at the version that the record has or may have.
type pending struct {
	state   State
	version int64
}

// renew is one attempt to get a token: under the right to mint, from the Vault if another process has minted, or else
// by minting. What it returns is on record.
func (s *Source) renew(ctx context.Context, early bool) (State, error) {
	release, err := s.o.Owner.Acquire(ctx, s.o.Name)
	if errors.Is(err, context.DeadlineExceeded) {
		return State{}, fault.New(fault.StoreUnavailable,
			"another Sallyport has the right to mint this token, and does not let go of it").
			WithHint("look whether one of the replicas hangs; on PostgreSQL what it holds passes on by itself within " +
				"3 minutes").Wrap(err)
	}
	if err != nil {
		return State{}, storeFault("waiting for the right to mint", err)
	}
	defer release()
	if err := s.settle(ctx); err != nil && !errors.Is(err, ErrStale) {
		return State{}, storeFault("saving the derived token", err)
	}
	state, version, err := s.o.Vault.Load(ctx, s.o.Name)
	if err != nil {
		return State{}, storeFault("loading the derived token", err)
	}
	if s.serves(state, early) {
		return state, nil
	}
	if state.Inputs != s.inputs {
		state = State{
			Refresh: state.Refresh, Grant: state.Grant, Rotates: state.Rotates, Steady: state.Steady,
			Spending: state.Spending, Recovering: state.Recovering, Rejected: state.Rejected,
		}
	}
	return s.mint(ctx, state, version)
}

// serves tells whether a State on record spares minting.
func (s *Source) serves(state State, early bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if state.Inputs != s.inputs || state.Token.IsZero() || state.Token.Equal(s.refused) ||
		!now.Before(usableUntil(state)) {
		return false
	}
	h := s.current.Load()
	return !early || h == nil || !state.Token.Equal(h.token.Secret) && now.Before(refreshFrom(state, 0))
}

// mint is called with the right to. Whatever comes out of the call goes on record before anybody hears of it.
func (s *Source) mint(ctx context.Context, state State, version int64) (State, error) {
	state, version, err := s.spend(ctx, state, version)
	if err != nil {
		return State{}, err
	}
	started := time.Now()
	next, err := s.call(ctx, state)
	if err == nil {
		next.Inputs, next.Minted = s.inputs, started.Round(0)
	}
	s.observe(started, err)
	if err == nil || !next.empty() {
		s.pending = &pending{next, version}
	}
	errSave := s.persist(ctx, savePatience)
	switch {
	case err != nil:
		return State{}, err // what could not be saved is pending
	case errors.Is(errSave, ErrStale):
		return s.overtaken(ctx)
	case errSave != nil:
		return State{}, storeFault("saving the derived token", errSave)
	}
	return next, nil
}

func (s *Source) call(ctx context.Context, state State) (State, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Patience)
	defer cancel()
	return s.o.Minter.Mint(ctx, state)
}

// record puts the call on record before the credential leaves for it.
func (s *Source) record(ctx context.Context) error {
	if s.o.Record == nil {
		return nil
	}
	if err := s.o.Record(ctx, s.o.Name); err != nil {
		return fault.New(fault.AuditUnavailable, "the audit log cannot be written, so no token is asked for").Wrap(err)
	}
	return nil
}

// spend puts on record that something is going to be spent, if it is, and before it the call.
func (s *Source) spend(ctx context.Context, state State, version int64) (State, int64, error) {
	spender, ok := s.o.Minter.(Spender)
	if !ok {
		return state, version, s.record(ctx)
	}
	marked, err := spender.Spend(state, time.Now())
	if err == nil {
		err = s.record(ctx)
	}
	if err != nil || marked.Spending.IsZero() {
		return marked, version, err
	}
	err = s.o.Vault.Save(ctx, s.o.Name, marked, version)
	if err != nil {
		if !errors.Is(err, ErrStale) {
			// It may be on record all the same, and nothing was spent: the mark has to go again.
			s.pending = &pending{state, version + 1}
			_ = s.persist(ctx, unmarkPatience)
		}
		return State{}, 0, storeFault("saving that the refresh token is being spent", err)
	}
	return marked, version + 1, nil
}

// settle saves what is pending. ErrStale says that the record has gone on without it.
func (s *Source) settle(ctx context.Context) error {
	if s.pending == nil {
		return nil
	}
	err := s.o.Vault.Save(ctx, s.o.Name, s.pending.state, s.pending.version)
	if err == nil || errors.Is(err, ErrStale) {
		s.pending = nil
	}
	return err
}

// persist is settle, again and again for a while, with the right to mint still held: until then the other replicas see
// a refresh token that seems to be lost. What is still pending in the end is saved by the next attempt.
func (s *Source) persist(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for delay := 50 * time.Millisecond; ; delay *= 2 {
		err := s.settle(ctx)
		if err == nil || errors.Is(err, ErrStale) {
			return err
		}
		timer.Reset(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return err
		}
	}
}

// overtaken reads what is on record instead of what was minted: the same, if an earlier attempt to save it went through
// after all, or what another process has put there.
func (s *Source) overtaken(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), savePatience)
	defer cancel()
	state, _, err := s.o.Vault.Load(ctx, s.o.Name)
	switch {
	case err != nil:
		return State{}, storeFault("loading the derived token", err)
	case !s.serves(state, false):
		return State{}, storeFault("saving the derived token", ErrStale)
	}
	return state, nil
}

// observe tells of an attempt. A panic of who is told changes nothing of what became of it, and has nobody else to be
// told to.
func (s *Source) observe(started time.Time, err error) {
	defer func() { _ = recover() }()
	if s.o.Observe == nil {
		return
	}
	o := Observation{Name: s.o.Name, Took: time.Since(started)}
	if err != nil {
		o.Fault = faultOf(s.o.Name, err)
	}
	s.o.Observe(o)
}

func storeFault(doing string, err error) error {
	return fault.New(fault.StoreUnavailable,
		"the record of derived tokens cannot be used").Wrap(fmt.Errorf("%s: %w", doing, err))
}

// life is how long a token is good from when it was minted.
func life(s State) time.Duration { return max(s.Expiry.Sub(s.Minted), 0) }

// usableUntil leaves a request the time to arrive.
func usableUntil(s State) time.Time { return s.Expiry.Add(-min(life(s)/20, 5*time.Second)) }

// refreshFrom is at 80 to 90 % of the lifetime, as jitter between 0 and 1 says.
func refreshFrom(s State, jitter float64) time.Time {
	return s.Minted.Add(time.Duration(float64(life(s)) * (0.8 + 0.1*jitter)))
}

func jitter() float64 { return rand.Float64() } //nolint:gosec // nothing secret depends on when a token is refreshed
