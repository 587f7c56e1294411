package resolve_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// remote is a store that answers after a while, one secret or a batch of them at a time.
type remote struct{ delay time.Duration }

func (r remote) Get(_ context.Context, path, _ string) (secret.Value, secret.Version, error) {
	time.Sleep(r.delay)
	return secret.NewValue([]byte("sk-0123456789abcdef0123456789abcdef-" + path)), secret.Version{
		ID:      "1",
		Current: true,
	}, nil
}

type remoteBatches struct{ remote }

// GetBatch takes 20 at a time, as AWS does.
func (r remoteBatches) GetBatch(ctx context.Context, keys []secret.Key) []secret.Result {
	results := make([]secret.Result, len(keys))
	for i, k := range keys {
		if i%20 == 0 {
			time.Sleep(r.delay)
		}
		results[i].Value, results[i].Version, _ = remote{}.Get(ctx, k.Path, k.Version)
	}
	return results
}

func many(n int) []secret.Ref {
	refs := make([]secret.Ref, n)
	for i := range refs {
		refs[i] = secret.Ref{Store: "s", Path: fmt.Sprintf("secret/n8n/service-%06d", i)}
	}
	return refs
}

// BenchmarkStart is the first reading of 10,000 references.
func BenchmarkStart(b *testing.B) {
	for name, store := range map[string]secret.Store{
		"memory":          remote{},
		"each 5 ms":       remote{5 * time.Millisecond},
		"20 at once 5 ms": remoteBatches{remote{5 * time.Millisecond}},
	} {
		b.Run(name, func(b *testing.B) {
			refs := many(10_000)
			for b.Loop() {
				r := resolve.New(resolve.Options{Patience: time.Minute})
				r.Configure([]resolve.StoreSpec{specOf("s", store)})
				r.Keep(refs)
				results, err := r.Load(b.Context(), refs)
				if err != nil || results[len(results)-1].Err != nil {
					b.Fatal(err, results[len(results)-1].Err)
				}
				_ = r.Close()
			}
		})
	}
}

// BenchmarkMemory is what 100,000 secrets of 60 bytes take: bytes on the heap for each.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	refs := many(n)
	for b.Loop() {
		before := heap()
		r := resolve.New(resolve.Options{Patience: time.Minute})
		r.Configure([]resolve.StoreSpec{specOf("s", remote{})})
		r.Keep(refs)
		if _, err := r.Load(b.Context(), refs); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(heap()-before)/n, "B/secret")
		_ = r.Close()
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
