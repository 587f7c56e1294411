package derive_test

import (
	"testing"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/testkit/tokenserver"
)

// BenchmarkFirstUse is the whole way to a token, but for the network: reading the record, minting, saving.
func BenchmarkFirstUse(b *testing.B) {
	for _, k := range kinds() {
		b.Run(k.name, func(b *testing.B) {
			s := tokenserver.New()
			s.Steady = true
			m := build(b, s, k)
			b.ReportAllocs()
			for b.Loop() {
				v := &derive.Memory{}
				source := derive.New(derive.Options{Name: "lark", Minter: m, Vault: v, Owner: v})
				if _, err := source.Token(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCachedUse is what every request after the first pays.
func BenchmarkCachedUse(b *testing.B) {
	for _, k := range kinds() {
		b.Run(k.name, func(b *testing.B) {
			source := newBench(b, k)
			source.token(b)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, f := source.Current(); f != nil {
						b.Error(f)
					}
				}
			})
		})
	}
}

// TestCachedUseAllocatesNothing holds what the benchmark shows.
func TestCachedUseAllocatesNothing(t *testing.T) {
	b := newBench(t, clientCredentials())
	b.token(t)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := b.Token(t.Context()); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
