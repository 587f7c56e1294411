package notation_test

import (
	"testing"
	"time"

	"sallyport/internal/config/notation"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "1m30s": 90 * time.Second, "0s": 0, "1.5h": 90 * time.Minute,
	} {
		got, err := notation.ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
		if back, err := notation.ParseDuration(notation.FormatDuration(got)); err != nil || back != got {
			t.Errorf("%q is written as %q, which reads as %v, %v", text, notation.FormatDuration(got), back, err)
		}
	}
	for _, text := range []string{
		"", "0", "5", "d", "-1s", "1h-1m", "-1d", "1.5d", "1w", "1d1d", "999999999999d",
		"106751d9999h", "5 m",
	} {
		if got, err := notation.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v", text, got)
		}
	}
}

func TestSizesAndRates(t *testing.T) {
	for text, want := range map[string]notation.Size{
		"0": 0, "512": 512, "64KiB": 64 << 10,
		"2GiB": 2 << 30, "1TiB": 1 << 40,
	} {
		if got, err := notation.ParseSize(text); err != nil || got != want || got.String() != text {
			t.Errorf("ParseSize(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1 MiB", "1mb", "+1", "9999999999TiB"} {
		if got, err := notation.ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %v", text, got)
		}
	}
	for text, want := range map[string]float64{"50/s": 50, "90/m": 1.5, "3600/h": 1} {
		if got, err := notation.ParseRate(text); err != nil || got.PerSecond() != want || got.String() != text {
			t.Errorf("ParseRate(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "50", "0/s", "-1/s", "5/d", "1.5/s", "99999999999/s"} {
		if got, err := notation.ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %v", text, got)
		}
	}
}
