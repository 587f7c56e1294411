package derive

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

// How much a Source mints because the API says that tokens have expired: so many at once, and then one in so long. An
// API that refuses what was just minted refuses for another reason.
const (
	expiryBurst = 20
	expiryEvery = 3 * time.Second
)

// DefaultPatience bounds waiting for the right to mint, and then the calls: those have time enough however long it
// took.
const DefaultPatience = 45 * time.Second

// How long it is tried, with the right to mint held, to get something on record: what a call has brought, however long
// that took; and that after all nothing is being spent.
const (
	savePatience   = 15 * time.Second
	unmarkPatience = 2 * time.Second
)

// Options are what a Source needs.
type Options struct {
	Name     string // of the service: the key in the Vault, and what `sallyport service connect` is told
	Minter   Minter
	Vault    Vault
	Owner    Owner
	Patience time.Duration     // 0: DefaultPatience
	Observe  func(Observation) // nil: nobody. It must not block.

	// Record puts on record that the credential is about to be sent to the token endpoint; after an error it stays
	// here. nil: no record is kept.
	Record func(ctx context.Context, name string) error
}

// Observation is one attempt to mint, for metrics.
type Observation struct {
	Name  string
	Took  time.Duration
	Fault *fault.Fault // nil: a token was minted
}

// Source keeps one derived token fresh. It is safe for concurrent use; Close ends it.
type Source struct {
	o       Options
	inputs  string
	current atomic.Pointer[held]
	changed chan struct{} // tells Run to look again
	limit   *rate.Limiter // of what Expired asks for

	mu      sync.Mutex
	flight  *flight
	failure *failure
	refused secret.Value // the last token that the API said is expired
	serial  uint64
	closed  bool
	unsaved bool // there is something pending

	pending *pending // what has to be saved before all else; the flight's alone
}

// held is a token in memory. It does not change.
type held struct {
	token   Token
	until   time.Time // it is not used from then on
	refresh time.Time // it is refreshed from then on
}

// flight is one attempt to get a token, which all who need one wait for.
type flight struct {
	done  chan struct{}
	token Token
	err   *fault.Fault
}

// New returns a Source. It asks nobody until the first Token, Reload or Run.
func New(o Options) *Source {
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	return &Source{
		o: o, inputs: o.Minter.Inputs(), changed: make(chan struct{}, 1),
		limit: rate.NewLimiter(rate.Every(expiryEvery), expiryBurst),
	}
}

// Current returns the active token, from memory. Without one the fault says why: what last went wrong, or that none was
// asked for yet. Then Token is to be called.
func (s *Source) Current() (Token, *fault.Fault) {
	if h := s.current.Load(); h != nil && time.Now().Before(h.until) {
		return h.token, nil
	}
	if f := s.Failure(); f != nil {
		return Token{}, f
	}
	return Token{}, fault.New(fault.CredentialMissing, "no token has been minted yet")
}

// Failure is what last went wrong, also while an older token is still good; nil when all is well.
func (s *Source) Failure() *fault.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		return nil
	}
	return s.failure.tell(time.Now())
}

// Token returns the active token, or waits until there is one. The error is a *fault.Fault, or the context's; a caller
// that leaves does not end the attempt for the others.
func (s *Source) Token(ctx context.Context) (Token, error) {
	if h := s.current.Load(); h != nil && time.Now().Before(h.until) {
		return h.token, nil
	}
	return wait(ctx, s.board(ctx, false))
}

// Expired is to be called when the API has said that a token is expired. It returns a newer one: at once if there is
// one, or else the one that all who call so wait for. The error is as of Token; CredentialRejected if the API refuses
// one new token after another, so that yet another would not help.
func (s *Source) Expired(ctx context.Context, used Token) (Token, error) {
	for range 2 { // an attempt under way may have taken the very token from the Vault, before this was said
		t, err := wait(ctx, s.replace(ctx, used))
		if err != nil || !t.Secret.Equal(used.Secret) {
			return t, err
		}
	}
	return Token{}, fault.New(fault.CredentialRejected,
		"the provider gives the same token again, which the API says is expired")
}

// Close ends the attempt under way, by waiting for it, and starts no other. An active token stays so.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	f := s.flight
	s.mu.Unlock()
	if f != nil {
		<-f.done
	}
}

func wait(ctx context.Context, f *flight) (Token, error) {
	select {
	case <-f.done:
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			return Token{}, context.Cause(ctx)
		}
	}
	if f.err != nil {
		own := *f.err
		return Token{}, &own
	}
	return f.token, nil
}

// board returns the attempt under way, or begins one, or returns one that has landed already: the active token, or the
// failure that is not tried again yet. early asks for a newer token than the active one.
func (s *Source) board(ctx context.Context, early bool) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current.Load()
	if h != nil && !early && time.Now().Before(h.until) {
		return landed(h.token, nil)
	}
	return s.begin(ctx, early)
}

// replace is board for a token that the API says is expired.
func (s *Source) replace(ctx context.Context, used Token) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current.Load()
	switch {
	case h == nil || !time.Now().Before(h.until):
		if used.Serial == s.serial {
			s.refused = used.Secret
		}
	case !h.token.Secret.Equal(used.Secret):
		return landed(h.token, nil)
	case !s.limit.Allow():
		f := fault.New(fault.CredentialRejected,
			"the API refuses one new token after another as expired; no more are minted for a moment")
		return landed(Token{},
			f.WithRetryAfter(expiryEvery).WithHint("check `expired_when` of the service, and at the API what the "+
				"credential may do"))
	default:
		s.refused = used.Secret
		s.current.Store(nil)
	}
	return s.begin(ctx, false)
}

// begin is called with mu held.
func (s *Source) begin(ctx context.Context, early bool) *flight {
	now := time.Now()
	switch {
	case s.flight != nil:
		return s.flight
	case s.closed:
		return landed(Token{},
			fault.New(fault.Draining, "this Sallyport is stopping, or has this service configured again"))
	case s.failure != nil && now.Before(s.failure.until):
		return landed(Token{}, s.failure.tell(now))
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Patience)
	guard.Go("minting a token", func() { // Close waits for it
		defer cancel()
		state, err := s.renewSafely(ctx, early)
		s.land(f, state, err)
	}, func(why *fault.Panic) { s.crash(f, why) })
	return f
}

// renewSafely is renew; a panic fails the attempt and not the process.
func (s *Source) renewSafely(ctx context.Context, early bool) (_ State, err error) {
	started := time.Now()
	defer func() {
		if v := recover(); v != nil {
			err = fault.From(fault.Panicked("minting a token", v))
			s.observe(started, err)
		}
	}()
	return s.renew(ctx, early)
}

func landed(t Token, err *fault.Fault) *flight {
	done := make(chan struct{})
	close(done)
	return &flight{done: done, token: t, err: err}
}

// land activates the result of an attempt and lets those who wait go.
func (s *Source) land(f *flight, state State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		f.token = s.adopt(state)
		s.failure = nil
	} else {
		s.failure = s.failure.next(s.o.Name, err)
		f.err = s.failure.tell(time.Now())
	}
	s.flight, s.unsaved = nil, s.pending != nil
	close(f.done)
	s.wake()
}

// crash is land for an attempt that ended in a panic outside of renew: those who wait get an error, and the next
// attempt waits as after any failure, so that requests do not ask the provider one after the other.
func (s *Source) crash(f *flight, why *fault.Panic) {
	s.observe(time.Now(), why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = &failure{fault: fault.From(why), delay: firstDelay, until: time.Now().Add(firstDelay)}
	f.err = s.failure.fault
	if s.flight == f {
		s.flight, s.unsaved = nil, s.pending != nil
		close(f.done)
	}
	s.wake()
}

// adopt is called with mu held.
func (s *Source) adopt(state State) Token {
	s.serial++
	t := Token{Secret: state.Token, Expiry: state.Expiry, Serial: s.serial, Beside: state.Refresh}
	s.current.Store(&held{token: t, until: usableUntil(state), refresh: refreshFrom(state, jitter())})
	return t
}

func (s *Source) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
