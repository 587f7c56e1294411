// Package pause is the sleep of the house: one that a context ends. Tests run it in a synctest bubble.
package pause

import (
	"context"
	"time"
)

// For waits for d. It ends early with ctx, and then returns ctx.Err(); so it does when ctx has ended before.
func For(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil || d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
