package cli

import "testing"

// TestGrowth: a small heap may grow fourfold, a large one by the headroom or by half.
func TestGrowth(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 400, 5 << 20: 400, 20 << 20: 400, 40 << 20: 200, 80 << 20: 100,
		160 << 20: 50, 1 << 40: 50,
	} {
		if got := growth(live); got != want {
			t.Errorf("growth(%d): got %d, want %d", live, got, want)
		}
	}
}
