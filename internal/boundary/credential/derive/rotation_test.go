package derive_test

import (
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/tokenserver"
)

const reconnect = "sallyport service connect lark"

// graced is a refresh-token kind at a provider that forgives within grace.
func graced(grace time.Duration) kind {
	return kind{"refresh_token", func(_ testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
		o := refreshOptions(s, e, "")
		o.ReuseGrace, s.Grace = grace, grace
		return derive.NewRefreshToken(o)
	}}
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, graced(0))
		for range 20 {
			b.token(t)
			time.Sleep(time.Hour)
		}
		if r := b.server.Record(); r.Minted != 20 || r.Reused != 0 {
			t.Errorf("got %+v", r)
		}
	})
}

// TestLostAnswers: what a lost answer comes to, at a provider that takes a second use for theft.
func TestLostAnswers(t *testing.T) {
	for m, want := range map[tokenserver.Misbehaviour]fault.Code{
		tokenserver.LostAnswer: fault.CredentialRejected, tokenserver.Hang: fault.CredentialRejected,
		tokenserver.Reset:   fault.CredentialRejected,
		tokenserver.Garbage: fault.CredentialRejected, tokenserver.Error500: fault.CredentialRejected,
		tokenserver.Error502:  fault.CredentialRejected,
		tokenserver.CRLFToken: fault.CredentialRejected, tokenserver.NoToken: fault.CredentialRejected,
		tokenserver.Unreachable: fault.CredentialMintFailed, tokenserver.Filtered: fault.CredentialMintFailed,
		tokenserver.Error503: fault.CredentialMintFailed, tokenserver.Error429: fault.CredentialMintFailed,
	} {
		for _, refreshed := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, graced(0))
				if refreshed {
					b.token(t)
					time.Sleep(time.Hour)
				}
				b.server.Misbehave(m)
				_, err := b.Token(t.Context())
				calls := b.server.Record().Calls
				if want == fault.CredentialMintFailed {
					wantFault(t, err, want, "")
					time.Sleep(time.Minute)
					b.token(t)
					return
				}
				for range 10 {
					wantFault(t, err, want, reconnect)
					time.Sleep(time.Minute)
					b.Source = b.replica() // a restart does not forget either
					_, err = b.Token(t.Context())
				}
				if r := b.server.Record(); r.Calls != calls || r.Reused != 0 {
					t.Errorf("%d: got %+v, want %d calls", m, r, calls)
				}
			})
		}
	}
}

// TestOldTokenServesOn: a lost answer of an early refresh is told when the token that is there has ended.
func TestOldTokenServesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, graced(0))
		first := b.token(t)
		done := make(chan struct{})
		go func() { b.Run(t.Context()); close(done) }()
		b.server.Misbehave(tokenserver.LostAnswer)
		time.Sleep(55 * time.Minute)
		if got, err := b.Token(t.Context()); err != nil || got.Serial != first.Serial {
			t.Errorf("got %v, %v", got, err)
		}
		wantFault(t, b.Failure(), fault.CredentialRejected, reconnect)
		if got, err := b.replica().Token(t.Context()); err != nil || !got.Secret.Equal(first.Secret) {
			t.Errorf("after a restart: %v, %v", got, err)
		}
		time.Sleep(5 * time.Minute)
		_, err := b.Token(t.Context())
		wantFault(t, err, fault.CredentialRejected, reconnect)
		if r := b.server.Record(); r.Reused != 0 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestGrace(t *testing.T) {
	for _, c := range []struct {
		name string
		plan []tokenserver.Misbehaviour
		wait time.Duration
		want fault.Code // of the attempt after the wait; "" is a token
	}{
		{"recovers", []tokenserver.Misbehaviour{tokenserver.LostAnswer}, 10 * time.Second, ""},
		{"too late", []tokenserver.Misbehaviour{tokenserver.LostAnswer}, 2 * time.Minute, fault.CredentialRejected},
		{"lost twice", []tokenserver.Misbehaviour{tokenserver.LostAnswer, tokenserver.LostAnswer}, 10 * time.Second, fault.CredentialRejected},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, graced(time.Minute))
				b.token(t)
				time.Sleep(time.Hour)
				b.server.Misbehave(c.plan...)
				_, err := b.Token(t.Context())
				wantFault(t, err, fault.CredentialMintFailed, "")
				time.Sleep(c.wait)
				b.Source = b.replica()
				_, err = b.Token(t.Context())
				switch {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want != "":
					wantFault(t, err, c.want, reconnect)
					calls := b.server.Record().Calls
					time.Sleep(5 * time.Second)
					_, err = b.replica().Token(t.Context())
					wantFault(t, err, c.want, reconnect)
					if n := b.server.Record().Calls; n != calls {
						t.Errorf("%d calls more", n-calls)
					}
				}
				if r := b.server.Record(); r.Reused != 0 {
					t.Errorf("got %+v", r)
				}
			})
		})
	}
}

// TestRecoveryThatWasNotSent does not count as the one attempt.
func TestRecoveryThatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, graced(time.Minute))
		b.server.Misbehave(tokenserver.LostAnswer, tokenserver.Unreachable, tokenserver.Error503)
		for range 3 {
			_, err := b.Token(t.Context())
			wantFault(t, err, fault.CredentialMintFailed, "")
			time.Sleep(8 * time.Second)
		}
		b.token(t)
		if r := b.server.Record(); r.Reused != 0 || r.Forgiven != 1 {
			t.Errorf("got %+v", r)
		}
	})
}

// TestSteady: at a provider that has shown that it does not rotate, a lost answer loses nothing.
func TestSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, graced(0))
		b.server.Steady = true
		b.token(t)
		time.Sleep(time.Hour)
		b.server.Misbehave(tokenserver.LostAnswer)
		_, err := b.Token(t.Context())
		wantFault(t, err, fault.CredentialMintFailed, "")
		time.Sleep(time.Minute)
		b.token(t)
	})
}

// TestReusable: at a provider of which it is known that a refresh token may be used again, nothing that goes wrong,
// from the very first refresh on, needs a person; whether it answers with new refresh tokens or not.
func TestReusable(t *testing.T) {
	reusable := func(s *tokenserver.Server) derive.RefreshTokenOptions {
		o := refreshOptions(s, endpoint(s), "")
		o.Reusable = true
		return o
	}
	for _, steady := range []bool{true, false} {
		for _, m := range []tokenserver.Misbehaviour{
			tokenserver.Error500, tokenserver.Error502, tokenserver.Error503, tokenserver.Hang, tokenserver.Reset,
			tokenserver.Garbage, tokenserver.LostAnswer,
		} {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t,
					kind{"reusable", func(_ testing.TB, s *tokenserver.Server,
						_ derive.Endpoint,
					) (derive.Minter, error) {
						s.Steady, s.Grace = steady, 100*24*time.Hour // a server that leaves the old ones valid
						return derive.NewRefreshToken(reusable(s))
					}})
				for range 2 {
					b.server.Misbehave(m, m)
					for range 2 {
						_, err := b.Token(t.Context())
						wantFault(t, err, fault.CredentialMintFailed, "")
						time.Sleep(time.Minute)
					}
					b.token(t)
					time.Sleep(time.Hour)
				}
			})
		}
	}
	synctest.Test(t, func(t *testing.T) { // what was locked before this was known is open again
		s := tokenserver.New()
		s.Steady = true
		o, v := reusable(s), &derive.Memory{}
		o.Reusable = false
		source := func() *derive.Source {
			return derive.New(derive.Options{Name: "lark", Minter: must(derive.NewRefreshToken(o)), Vault: v, Owner: v})
		}
		s.Misbehave(tokenserver.Error502)
		_, err := source().Token(t.Context())
		wantFault(t, err, fault.CredentialRejected, reconnect)
		o.Reusable = true
		if _, err := source().Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestRefused: the provider calls the refresh token bad; it is not shown again until there is a new one.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tokenserver.New()
		o := refreshOptions(s, endpoint(s), "")
		o.Refresh = value("revoked-canary")
		v := &derive.Memory{}
		source := func(o derive.RefreshTokenOptions) *derive.Source {
			return derive.New(derive.Options{Name: "lark", Minter: must(derive.NewRefreshToken(o)), Vault: v, Owner: v})
		}
		for range 5 {
			_, err := source(o).Token(t.Context())
			wantFault(t, err, fault.CredentialRejected, reconnect)
			time.Sleep(time.Hour)
		}
		if n := s.Record().Calls; n != 1 {
			t.Errorf("%d calls", n)
		}
		o.Refresh = value(s.Grant("client"))
		if _, err := source(o).Token(t.Context()); err != nil {
			t.Errorf("with a new one: %v", err)
		}
	})
}

// TestClientSecretChanges: the refresh token outlives it, the mark of it being spent too.
func TestClientSecretChanges(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := tokenserver.New()
			o := refreshOptions(s, endpoint(s), "")
			v := &derive.Memory{}
			token := func() error {
				_, err := derive.New(derive.Options{
					Name: "lark", Minter: must(derive.NewRefreshToken(o)), Vault: v,
					Owner: v,
				}).Token(t.Context())
				return err
			}
			if err := token(); err != nil {
				t.Fatal(err)
			}
			if lost {
				time.Sleep(time.Hour)
				s.Misbehave(tokenserver.LostAnswer)
				wantFault(t, token(), fault.CredentialRejected, reconnect)
			}
			s.Clients["client"] = tokenserver.Client{Auth: "basic", Secret: "other"}
			wrong := o
			o.Client.Secret = value("wrong")
			if !lost {
				wantFault(t, token(), fault.CredentialMintFailed, "client")
			}
			o = wrong
			o.Client.Secret = value("other")
			switch err := token(); {
			case lost:
				wantFault(t, err, fault.CredentialRejected, reconnect)
			case err != nil:
				t.Error(err)
			}
			if s.Record().Reused != 0 {
				t.Error("it was spent twice")
			}
		})
	}
}

// TestMarkThatWasSavedAllTheSame: the record fails as the mark is saved; nothing was spent, so nothing is lost.
func TestMarkThatWasSavedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, graced(0))
		b.vault.saves = []error{errLater}
		_, err := b.Token(t.Context())
		wantFault(t, err, fault.StoreUnavailable, "")
		time.Sleep(time.Minute)
		b.token(t)
		if r := b.server.Record(); r.Calls != 1 {
			t.Errorf("got %+v", r)
		}
	})
}

// TestNotConnected: there is neither a refresh token in the configuration nor one that a Connect has brought.
func TestNotConnected(t *testing.T) {
	s := tokenserver.New()
	o := refreshOptions(s, endpoint(s), "")
	o.Refresh = value("")
	v := &derive.Memory{}
	_, err := derive.New(derive.Options{
		Name: "lark", Minter: must(derive.NewRefreshToken(o)), Vault: v,
		Owner: v,
	}).Token(t.Context())
	wantFault(t, err, fault.CredentialMissing, reconnect)
}
