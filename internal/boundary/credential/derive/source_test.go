package derive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/tokenserver"
)

// bench is a Source over a server, in virtual time.
type bench struct {
	*derive.Source
	server *tokenserver.Server
	vault  *flaky
	minter derive.Minter
}

// flaky is a Vault that fails on command.
type flaky struct {
	derive.Memory
	loads, saves []error // of the next calls; errLater fails after it has saved
}

var errLater = errors.New("the connection was lost after it was saved")

func pop(errs *[]error) error {
	if len(*errs) == 0 {
		return nil
	}
	err := (*errs)[0]
	*errs = (*errs)[1:]
	return err
}

func (f *flaky) Load(ctx context.Context, name string) (derive.State, int64, error) {
	if err := pop(&f.loads); err != nil {
		return derive.State{}, 0, err
	}
	return f.Memory.Load(ctx, name)
}

func (f *flaky) Save(ctx context.Context, name string, s derive.State, version int64) error {
	err := pop(&f.saves)
	if err == nil || errors.Is(err, errLater) {
		if err := f.Memory.Save(ctx, name, s, version); err != nil {
			return err
		}
	}
	return err
}

func newBench(t testing.TB, k kind) *bench {
	t.Helper()
	s := tokenserver.New()
	b := &bench{server: s, vault: &flaky{}, minter: build(t, s, k)}
	b.Source = b.replica()
	return b
}

// replica is another Source over the same record.
func (b *bench) replica() *derive.Source {
	return derive.New(derive.Options{Name: "lark", Minter: b.minter, Vault: b.vault, Owner: b.vault})
}

func (b *bench) token(t testing.TB) derive.Token {
	t.Helper()
	got, err := b.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !b.server.Valid(string(got.Secret.Reveal())) {
		t.Fatal("the token is not valid")
	}
	return got
}

func wantFault(t testing.TB, err error, code fault.Code, hint string) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != code || !strings.Contains(f.Hint, hint) ||
		strings.Contains(f.Message+f.Hint+f.Details, "canary") {
		t.Fatalf("got %v (%+v), want %s with the hint %q", err, f, code, hint)
	}
	return f
}

func clientCredentials() kind { return kinds()[0] }

func TestOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		b.server.Delay = time.Second
		b.server.Misbehave(tokenserver.Slow)
		if _, f := b.Current(); f == nil || f.Code != fault.CredentialMissing {
			t.Errorf("before: %v", f)
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { b.token(t) })
		}
		all.Wait()
		other := b.replica()
		if got, err := other.Token(t.Context()); err != nil || !got.Secret.Equal(b.token(t).Secret) {
			t.Errorf("the other replica: %v", err)
		}
		if r := b.server.Record(); r.Calls != 1 {
			t.Errorf("got %d calls", r.Calls)
		}
		if _, f := b.Current(); f != nil {
			t.Error(f)
		}
	})
}

func TestLeavingEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		b.server.Delay = 10 * time.Second
		b.server.Misbehave(tokenserver.Slow)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the one who leaves: %v", err)
		}
		b.token(t)
		if r := b.server.Record(); r.Calls != 1 {
			t.Errorf("got %d calls", r.Calls)
		}
	})
}

func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		first := b.token(t)
		b.server.Expire(string(first.Secret.Reveal()))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				got, err := b.Expired(t.Context(), first)
				if err != nil || !b.server.Valid(string(got.Secret.Reveal())) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		all.Wait()
		if got, err := b.Expired(t.Context(), first); err != nil || got.Serial != b.token(t).Serial {
			t.Errorf("who comes late: %v, %v", got, err)
		}
		if r := b.server.Record(); r.Minted != 2 {
			t.Errorf("%d tokens were minted", r.Minted)
		}
		other := b.replica()
		if got, err := other.Expired(t.Context(), derive.Token{Secret: first.Secret}); err != nil ||
			got.Secret.Equal(first.Secret) || b.server.Record().Minted != 2 {
			t.Errorf("the other replica: %v, %v", got, err)
		}
	})
}

// TestExpiredForever: an API that refuses every token does not make the token endpoint suffer.
func TestExpiredForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		used := b.token(t)
		var last error
		for range 1000 {
			got, err := b.Expired(t.Context(), used)
			if err == nil {
				used = got
			}
			last = err
		}
		wantFault(t, last, fault.CredentialRejected, "expired_when")
		if n := b.server.Record().Minted; n > 25 {
			t.Errorf("%d tokens were minted", n)
		}
		b.token(t)
		time.Sleep(time.Minute)
		if _, err := b.Expired(t.Context(), used); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
}

// TestExpiredAndTheSameAgain: some providers give the same token until it ends by itself.
func TestExpiredAndTheSameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := derive.NewClientCredentials(derive.ClientCredentialsOptions{
			Endpoint: derive.Endpoint{
				URL:       "https://tokens.test",
				Transport: answering{200, nil, `{"access_token":"the-same"}`},
			},
			Client: derive.ClientAuth{ID: "client"},
		})
		if err != nil {
			t.Fatal(err)
		}
		v := &derive.Memory{}
		s := derive.New(derive.Options{Name: "lark", Minter: m, Vault: v, Owner: v})
		used, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Expired(t.Context(), used)
		wantFault(t, err, fault.CredentialRejected, "")
	})
}

func TestRunRefreshesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { b.Run(ctx) })
		synctest.Wait()
		if n := b.server.Record().Calls; n != 0 {
			t.Errorf("%d calls before anybody asked", n)
		}
		for range 10 {
			first := b.token(t)
			minted := b.server.Record().Minted
			begin := first.Expiry.Add(-time.Hour)
			time.Sleep(time.Until(begin.Add(48*time.Minute - time.Second)))
			synctest.Wait()
			if n := b.server.Record().Minted; n != minted {
				t.Fatalf("before 80 %% of the lifetime: %d tokens instead of %d", n, minted)
			}
			time.Sleep(time.Until(begin.Add(54*time.Minute + time.Second)))
			synctest.Wait()
			if n := b.server.Record().Minted; n != minted+1 {
				t.Fatalf("after 90 %% of the lifetime: %d tokens instead of %d", n, minted+1)
			}
			if got, f := b.Current(); f != nil || !got.Expiry.After(first.Expiry) {
				t.Fatalf("got %v, %v", got, f)
			}
		}
		cancel()
		run.Wait()
	})
}

// TestRunBacksOff: while the provider is down, the old token serves as long as it is good, and the provider is left in
// peace.
func TestRunBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { b.Run(ctx) })
		first := b.token(t)
		down := make([]tokenserver.Misbehaviour, 1000)
		for i := range down {
			down[i] = tokenserver.Error500
		}
		b.server.Misbehave(down...)
		time.Sleep(time.Until(first.Expiry) - 10*time.Second)
		if got, f := b.Current(); f != nil || got.Serial != first.Serial || b.Failure() == nil {
			t.Errorf("shortly before its end: %v, %v, failure %v", got, f, b.Failure())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := b.server.Record().Calls; n < 10 || n > 60 {
			t.Errorf("%d calls in 6 to 12 minutes of failures", n)
		}
		_, err := b.Token(t.Context())
		wantFault(t, err, fault.CredentialMintFailed, "down")
		cancel()
		run.Wait()
	})
}

func TestFailureIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		other := newBench(t, clientCredentials())
		b.server.Misbehave(tokenserver.Error500, tokenserver.Error500, tokenserver.Error429)
		var last time.Duration
		for i, atLeast := range []time.Duration{800 * time.Millisecond, 1600 * time.Millisecond, 7 * time.Second} {
			_, err := b.Token(t.Context())
			f := wantFault(t, err, fault.CredentialMintFailed, "")
			for range 100 {
				_, err := b.Token(t.Context())
				again := wantFault(t, err, fault.CredentialMintFailed, "")
				if again == f {
					t.Fatal("two callers share one fault")
				}
			}
			if n := b.server.Record().Calls; n != i+1 {
				t.Errorf("%d calls after %d failures", n, i+1)
			}
			if f.RetryAfter < atLeast || f.RetryAfter <= last/2 {
				t.Errorf("failure %d: Retry-After %v", i, f.RetryAfter)
			}
			last = f.RetryAfter
			other.token(t)
			time.Sleep(f.RetryAfter)
		}
		b.token(t)
		if f := b.Failure(); f != nil {
			t.Errorf("all is well, and the failure is %v", f)
		}
	})
}

// TestOneDoesNotBlockAnother: a Source whose provider hangs is alone with it.
func TestOneDoesNotBlockAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, whole := newBench(t, clientCredentials()), newBench(t, clientCredentials())
		broken.server.Misbehave(tokenserver.Hang)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			_, err := broken.Token(t.Context())
			wantFault(t, err, fault.CredentialMintFailed, "reach")
		})
		synctest.Wait()
		before := time.Now()
		whole.token(t)
		if time.Since(before) != 0 {
			t.Errorf("waited %v", time.Since(before))
		}
		waiting.Wait()
		if got := time.Since(before); got != derive.DefaultTimeout {
			t.Errorf("the broken one took %v", got)
		}
	})
}

// TestSavedBeforeUse: while the record cannot be written, nobody gets a token, and what was minted is saved later.
func TestSavedBeforeUse(t *testing.T) {
	down := errors.New("connection refused")
	for name, k := range map[string]kind{
		"client_credentials": clientCredentials(),
		"refresh_token":      {"", refreshing("")},
	} {
		for _, c := range []struct {
			name   string
			saves  []error
			faults int // before there is a token: an attempt to save it lasts a quarter of a minute
		}{
			{"once", []error{down}, 0},
			{"thrice", []error{down, down, down}, 0},
			{"longer than an attempt", slices.Repeat([]error{down}, 9), 1},
			{"lost answer", []error{errLater}, 0},
			{"lost answer, then down", []error{errLater, down}, 0},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, k)
					b.vault.saves = c.saves
					if name == "refresh_token" { // the first save is the mark
						b.vault.saves = append([]error{nil}, c.saves...)
					}
					faults := 0
					_, err := b.Token(t.Context())
					for ; err != nil; _, err = b.Token(t.Context()) {
						faults++
						wantFault(t, err, fault.StoreUnavailable, "")
						time.Sleep(time.Minute)
					}
					got := b.token(t)
					if saved, _, err := b.vault.Memory.Load(t.Context(), "lark"); err != nil ||
						!saved.Token.Equal(got.Secret) {
						t.Errorf("a token is in use that is not on record (%v)", err)
					}
					if r := b.server.Record(); r.Calls != 1 || faults != c.faults || r.Reused != 0 {
						t.Errorf("%d calls, %d faults, %d spent twice; want 1, %d, 0", r.Calls, faults,
							r.Reused, c.faults)
					}
				})
			})
		}
	}
}

func TestRecordOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		b.vault.loads = []error{errors.New("postgres: password canary")}
		_, err := b.Token(t.Context())
		wantFault(t, err, fault.StoreUnavailable, "")
		if n := b.server.Record().Calls; n != 0 {
			t.Errorf("%d calls", n)
		}
		time.Sleep(time.Minute)
		b.token(t)
	})
}

// TestChangedInputs: a token that was made with another client secret is void.
func TestChangedInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		first := b.token(t)
		m, err := derive.NewClientCredentials(derive.ClientCredentialsOptions{
			Endpoint: endpoint(b.server),
			Client:   derive.ClientAuth{ID: "client", Secret: value("other")},
		})
		if err != nil {
			t.Fatal(err)
		}
		b.server.Clients["client"] = tokenserver.Client{Auth: "basic", Secret: "other"}
		changed := derive.New(derive.Options{Name: "lark", Minter: m, Vault: b.vault, Owner: b.vault})
		if got, err := changed.Token(t.Context()); err != nil || got.Secret.Equal(first.Secret) {
			t.Errorf("got %v", err)
		}
	})
}

// TestStartWithWhatIsThere: a new process goes on with the token of the one before.
func TestStartWithWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		first := b.token(t)
		next := b.replica()
		if err := next.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, f := next.Current(); f != nil || !got.Secret.Equal(first.Secret) {
			t.Errorf("got %v, %v", got, f)
		}
		time.Sleep(2 * time.Hour)
		last := b.replica()
		if err := last.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, f := last.Current(); f == nil {
			t.Errorf("got %v, which has expired", got)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		b.server.Delay = time.Second
		b.server.Misbehave(tokenserver.Slow)
		var asking sync.WaitGroup
		asking.Go(func() { b.token(t) })
		synctest.Wait()
		b.Close()
		asking.Wait()
		b.token(t)
		time.Sleep(2 * time.Hour)
		_, err := b.Token(t.Context())
		wantFault(t, err, fault.Draining, "")
	})
}

func TestStateNeverPrints(t *testing.T) {
	s := derive.State{
		Token: value("tok-canary"), Refresh: value("ref-canary"), Minted: time.Now(),
		Expiry: time.Now().Add(time.Hour), Inputs: "i", Grant: "g", Rotates: true, Rejected: "r",
	}
	asJSON := must(json.Marshal(s))
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", s, s, s), string(asJSON)} {
		if strings.Contains(text, "canary") {
			t.Errorf("it prints: %s", text)
		}
	}
	plain := must(s.Plain())
	back := must(derive.ReadState(plain))
	if again := must(back.Plain()); string(again) != string(plain) || !strings.Contains(string(plain), "ref-canary") ||
		!back.Expiry.Equal(s.Expiry) {
		t.Errorf("got %s, want %s", again, plain)
	}
	if _, err := derive.ReadState([]byte(`{"token":"canary`)); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	if empty := must(derive.State{}.Plain()); string(empty) != "{}" {
		t.Errorf("the zero State is %s", empty)
	}
}

// TestMintIsOnRecordFirst is invariant 4 for what leaves for a token endpoint: it is on record before, and stays here
// if that cannot be; then nothing is marked as spent.
func TestMintIsOnRecordFirst(t *testing.T) {
	for name, k := range map[string]kind{
		"client_credentials": clientCredentials(),
		"refresh_token":      {"", refreshing("")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, k)
				full, records := true, 0
				s := derive.New(derive.Options{
					Name: "lark", Minter: b.minter, Vault: b.vault, Owner: b.vault,
					Record: func(_ context.Context, name string) error {
						if n := b.server.Record().Calls; name != "lark" || n != records {
							t.Errorf("%q is put on record after %d calls", name, n)
						}
						if full {
							return errors.New("no space left on device")
						}
						records++
						return nil
					},
				})
				_, err := s.Token(t.Context())
				wantFault(t, err, fault.AuditUnavailable, "")
				if state, version, err := b.vault.Load(t.Context(), "lark"); err != nil || version != 0 ||
					!state.Spending.IsZero() {
					t.Errorf("on record is version %d, %v", version, err)
				}
				full = false
				time.Sleep(time.Minute)
				for range 3 {
					got, err := s.Token(t.Context())
					if err == nil {
						_, err = s.Expired(t.Context(), got)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if n := b.server.Record().Calls; n != 4 || records != 4 {
					t.Errorf("%d calls, %d of them on record", n, records)
				}
			})
		})
	}
}

// TestTokenComesWithItsRefreshToken: who keeps the one from coming back has to know the other.
func TestTokenComesWithItsRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, kind{"", refreshing("")})
		got := b.token(t)
		state, _, err := b.vault.Load(t.Context(), "lark")
		if err != nil || state.Refresh.IsZero() || !got.Beside.Equal(state.Refresh) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// TestStuckOwner: who waits for another's right to mint is told so in the end, and goes on once it is free.
func TestStuckOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, clientCredentials())
		release, err := b.vault.Acquire(t.Context(), "lark")
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		_, err = b.Token(t.Context())
		if f := wantFault(t, err, fault.StoreUnavailable, "hangs"); !strings.Contains(f.Message, "another Sallyport") ||
			time.Since(before) != derive.DefaultPatience {
			t.Errorf("got %q after %v", f.Message, time.Since(before))
		}
		release()
		time.Sleep(time.Minute)
		b.token(t)
	})
}

// TestRestoredBackup: a record that is older than what the provider knows ends in a plain word to the person who
// restored it, and in one attempt.
func TestRestoredBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, kind{"", refreshing("")})
		b.token(t)
		backup, _, err := b.vault.Load(t.Context(), "lark")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			used, f := b.Current()
			if f != nil {
				t.Fatal(f)
			}
			if _, err := b.Expired(t.Context(), used); err != nil {
				t.Fatal(err)
			}
		}
		if err := derive.Install(t.Context(), b.vault, b.vault, "lark", backup); err != nil {
			t.Fatal(err)
		}
		b.server.Expire(string(backup.Token.Reveal()))
		calls := b.server.Record().Calls
		next := b.replica()
		used, err := next.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, err = next.Expired(t.Context(), used)
			wantFault(t, err, fault.CredentialRejected, "sallyport service connect lark")
			time.Sleep(time.Minute)
		}
		if n := b.server.Record().Calls - calls; n != 1 {
			t.Errorf("the provider was asked %d times", n)
		}
	})
}
