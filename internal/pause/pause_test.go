package pause_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/pause"
)

func TestFor(t *testing.T) {
	for name, c := range map[string]struct {
		d, deadline, took time.Duration
		err               error
	}{
		"to its end":        {time.Second, time.Minute, time.Second, nil},
		"none":              {0, time.Minute, 0, nil},
		"less than none":    {-time.Second, time.Minute, 0, nil},
		"ended early":       {time.Minute, time.Second, time.Second, context.DeadlineExceeded},
		"ended before":      {time.Minute, 0, 0, context.DeadlineExceeded},
		"none, and it ends": {0, 0, 0, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), c.deadline)
				defer stop()
				began := time.Now()
				err := pause.For(ctx, c.d)
				if took := time.Since(began); !errors.Is(err, c.err) || took != c.took {
					t.Errorf("%v after %s, want %v after %s", err, took, c.err, c.took)
				}
			})
		})
	}
}
