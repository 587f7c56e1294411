package boundary

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"

	"sallyport/internal/fault"
)

// TestEndedAsItLeaves: an exchange that is ended in the instant in which its answer leaves is either answered with the
// reason, or not held up: never is a head that may not leave sent all the same, or one that may leave broken off before
// it begins.
func TestEndedAsItLeaves(t *testing.T) {
	why := fault.New(fault.TokenRevoked, "revoked")
	for range 50_000 {
		x := new(exchange)
		x.writer = httptest.NewRecorder()
		x.Context, x.cancel = context.WithCancelCause(t.Context())
		var left error
		both, begin := new(sync.WaitGroup), make(chan struct{})
		both.Go(func() { <-begin; left = x.leave() })
		both.Go(func() { <-begin; x.end(why) })
		close(begin)
		both.Wait()
		switch phase := x.phase.Load(); {
		case phase == refused && errors.Is(left, why):
		case phase == leaving && left == nil:
		default:
			t.Fatalf("phase %d, and leave returned %v", phase, left)
		}
	}
}
