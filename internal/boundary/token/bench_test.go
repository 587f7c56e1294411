//go:build !race

package token_test

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/boundary/token"
)

// The race detector makes sync.Pool forget on purpose, so what is counted here is only true without it.

func hot(t testing.TB) (r *token.Registry, value string) {
	// the real clock, as it costs too
	r = token.NewRegistry(openDB(t, filepath.Join(t.TempDir(), "state.db")), make([]byte, 32), nil)
	value, _ = issue(t, r, "n8n", token.Scope{
		Services: []string{"openai"}, Methods: []string{"GET", "POST"},
		From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}, time.Time{})
	return r, value
}

func TestTheRequestPathDoesNotAllocate(t *testing.T) {
	r, value := hot(t)
	scopes := token.NewScopes(map[string]token.Scope{
		"other": {},
		"n8n":   {Services: []string{"openai"}, Methods: []string{"POST"}},
	})
	source, at := netip.MustParseAddr("10.1.2.3"), time.Now()
	allocs := testing.AllocsPerRun(1000, func() {
		grant, f := r.Verify(value)
		if f != nil {
			t.Fatal(f)
		}
		if ok, why := scopes.Of(grant).Allows("openai", "POST", source); !ok {
			t.Fatal(why)
		}
		at = at.Add(time.Millisecond)
		r.Touch(grant, "orders", at)
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}

func BenchmarkVerify(b *testing.B) {
	r, value := hot(b)
	unknown := withSum(sample)
	b.Run("good", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, f := r.Verify(value); f != nil {
				b.Fatal(f)
			}
		}
	})
	b.Run("unknown", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, f := r.Verify(unknown); f == nil {
				b.Fatal("accepted")
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, f := r.Verify(value); f != nil {
					b.Fatal(f)
				}
			}
		})
	})
}

func BenchmarkParse(b *testing.B) {
	value := withSum(sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := token.Parse(value); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkTouch(b *testing.B) {
	r, value := hot(b)
	grant, f := r.Verify(value)
	if f != nil {
		b.Fatal(f)
	}
	at := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Microsecond)
		r.Touch(grant, "orders", at)
	}
}
