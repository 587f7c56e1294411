package lint_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/internal/n8n/lint"
)

// TestBombs: what aliases and merges multiply is looked at within bounds of time and memory.
func TestBombs(t *testing.T) {
	chain, laughs, services := new(strings.Builder), new(strings.Builder), new(strings.Builder)
	services.WriteString("services:\n  a0: &a0 {image: n8nio/n8n}\n")
	for i := 1; i < 10_000; i++ {
		fmt.Fprintf(services, "  a%d: &a%d {k%d: x, <<: *a%d}\n", i, i, i, i-1)
	}
	chain.WriteString("a0: &a0 {N8N_ENCRYPTION_KEY: x}\n")
	for i := 1; i < 10_000; i++ {
		fmt.Fprintf(chain, "a%d: &a%d {N8N_ENCRYPTION_KEY: x, <<: *a%d}\n", i, i, i-1)
	}
	laughs.WriteString("a0: &a0 {N8N_ENCRYPTION_KEY: x}\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(laughs, "a%d: &a%d {<<: [%s]}\n", i, i,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 20), ", "))
	}
	lists := new(strings.Builder)
	lists.WriteString("a0: &a0 [x]\n")
	for i := 1; i < 14; i++ {
		fmt.Fprintf(lists, "a%d: &a%d [%s]\n", i, i,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	for name, text := range map[string]string{
		"lists of lists":    lists.String(),
		"a chain of merges": chain.String(),
		"one of services":   services.String(),
		"a billion laughs":  laughs.String(),
		"itself":            "a: &a {N8N_ENCRYPTION_KEY: x, <<: *a, b: *a}\n",
		"each other":        "a: &a {<<: *b}\nb: &b {N8N_ENCRYPTION_KEY: x, <<: *a}\n",
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			lint.Check("compose.yaml", []byte(text))
			runtime.ReadMemStats(&after)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 1024 {
				t.Errorf("it allocated %d MiB for a text of %d KiB", mib, len(text)>>10)
			}
		})
	}
}
