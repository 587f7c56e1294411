package vault_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport/internal/secret"
	"sallyport/internal/secret/vault"
)

// BenchmarkGetBatch reads what a large installation reads when it starts: 10,000 references to as many secrets, and to
// 500.
func BenchmarkGetBatch(b *testing.B) {
	server := shared.Server(b)
	const references = 10_000
	kv(b, server, "bench", "2")
	store := asRoot(b, server)
	path := func(i int) string { return fmt.Sprintf("bench/team%d/secret%d", i%20, i) }
	var writers sync.WaitGroup
	for w := range 32 {
		writers.Go(func() {
			for i := w; i < references; i += 32 {
				if _, err := store.Put(b.Context(), path(i),
					secret.NewValue(fmt.Appendf(nil, `{"user":"u%d","password":"p%d"}`, i, i))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	writers.Wait()
	for _, distinct := range []int{references, 500} {
		keys := make([]secret.Key, references)
		for i := range keys {
			keys[i].Path = path(i % distinct)
		}
		b.Run(fmt.Sprintf("%d references to %d secrets", references, distinct), func(b *testing.B) {
			for b.Loop() {
				fresh := open(b, vault.Options{
					Address: server.Address, Token: fixed(server.RootToken),
					Timeout: time.Minute,
				})
				for _, r := range fresh.GetBatch(b.Context(), keys) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
			}
			b.ReportMetric(float64(references)*float64(b.N)/b.Elapsed().Seconds(), "references/s")
		})
	}
}
