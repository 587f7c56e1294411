package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are at most 1/64 (1.6 %) wide, so percentiles are that exact. The zero
// value is ready; it is not safe for concurrent use.
type Histogram struct {
	buckets [64 * 40]uint32
	total   int64
}

const steps = 64 // buckets per doubling

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	h.buckets[bucket(d)]++
	h.total++
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.total += other.total
}

// Total is how many durations were counted.
func (h *Histogram) Total() int64 { return h.total }

// Percentile returns the upper edge of the bucket that holds the p-th part (0 < p <= 1) of all durations; 0 without
// any.
func (h *Histogram) Percentile(p float64) time.Duration {
	rank := int64(p*float64(h.total) + 0.5)
	var seen int64
	for i, n := range h.buckets {
		seen += int64(n)
		if seen >= rank && n > 0 {
			return edge(i)
		}
	}
	return 0
}

// bucket is the index for a duration: below 64 ns one bucket each, above that 64 for every doubling.
func bucket(d time.Duration) int {
	if d < steps {
		return int(max(d, 0))
	}
	double := bits.Len64(uint64(d)) - 7 // d>>double is in [64, 128)
	return min(double*steps+int(d>>double), len(Histogram{}.buckets)-1)
}

// edge is the longest duration of the bucket.
func edge(i int) time.Duration {
	if i < steps {
		return time.Duration(i)
	}
	double := i/steps - 1
	return time.Duration(i%steps+steps+1)<<double - 1
}
