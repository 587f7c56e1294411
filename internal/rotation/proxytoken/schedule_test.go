package proxytoken_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"sallyport/internal/rotation/proxytoken"
)

// TestBackoff: each failure makes the next attempt wait longer; success makes it forget.
func TestBackoff(t *testing.T) {
	try, now := proxytoken.NewBackoff(), time.Unix(0, 0)
	attempts := 0
	attempt := func(err error) func() error { return func() error { attempts++; return err } }
	var waits []time.Duration
	last := now
	for range 24 * 60 * 4 { // a day of looks at the schedule
		before := attempts
		if try(now, attempt(errors.New("no"))); attempts > before {
			waits, last = append(waits, now.Sub(last)), now
		}
		now = now.Add(15 * time.Second)
	}
	if attempts > 32 || !slices.IsSorted(waits) || waits[len(waits)-1] != time.Hour {
		t.Errorf("%d attempts in a day, with waits %v", attempts, waits)
	}
	now = now.Add(time.Hour)
	try(now, attempt(nil))
	before := attempts
	if try(now, attempt(nil)); attempts != before+1 {
		t.Error("waits after a success")
	}
}
