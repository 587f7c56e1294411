package e2e_test

import (
	"maps"
	"testing"
	"time"

	"sallyport/e2e/provider"
)

// TestOAuthServer: services whose tokens come from a real OAuth 2.0 server, in each of the ways that it has, are called
// by many at once while the tokens expire every two or three seconds, and across a crash of the gate: no call fails, no
// refresh token is used twice, and nothing of it all can be read anywhere.
func TestOAuthServer(t *testing.T) {
	const short, long, expiries = 3 * time.Second, time.Hour, 3
	s := newOAuthScene(t, short)
	s.connect(t, "connected")

	stop := s.callAll(t)
	s.awaitMinted(t, nil, 1+expiries)
	// Nothing is under way at the provider when the gate is killed: what is being spent then is lost, as it should be.
	must(t, "setting the lifetime", s.provider.SetLifetime(t.Context(), long))
	s.await(t, "tokens that live long", func(provider.Record) bool {
		for _, expiry := range s.api.Counts().Expiry {
			if time.Until(expiry) < long/2 {
				return false
			}
		}
		return true
	})
	stop()

	before := s.minted(t)
	s.crash(t)
	s.callEach(t, 20)
	if after := s.minted(t); !maps.Equal(before, after) {
		t.Errorf("the provider had given %v tokens before the crash, and %v after it: those on record were not used",
			before, after)
	}

	must(t, "ending the tokens", s.provider.Expire(t.Context()))
	s.callEach(t, 20)
	for who, n := range s.minted(t) {
		if n != before[who]+1 {
			t.Errorf("%s had %d tokens, which were ended once for %d callers: now it has had %d", who,
				before[who], callers, n)
		}
	}

	must(t, "setting the lifetime", s.provider.SetLifetime(t.Context(), short))
	must(t, "ending the tokens", s.provider.Expire(t.Context()))
	stop = s.callAll(t)
	s.awaitMinted(t, before, 1+1+expiries)
	stop()
	s.check(t)
}
