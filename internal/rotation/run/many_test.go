package run_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

// TestManyUnderFire: rotations of secrets whose provider lies and whose process dies at random, several at once. None
// is lost, and no key is left over. SALLYPORT_ROTATIONS says how many (make rotations: 500).
func TestManyUnderFire(t *testing.T) {
	most := 24
	if text := os.Getenv("SALLYPORT_ROTATIONS"); text != "" {
		var err error
		if most, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	p := newPlace(t, t.TempDir()+"/state.db")
	numbers := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex
	ended := map[run.State]int{}
	for range 4 {
		workers.Go(func() {
			for n := range numbers {
				state := underFire(t, p, n)
				mu.Lock()
				ended[state]++
				mu.Unlock()
			}
		})
	}
	for n := range most {
		numbers <- n
	}
	close(numbers)
	workers.Wait()
	t.Logf("ended: %v", ended)
	if ended[run.StateDone]+ended[run.StateRolledBack] != most || ended[run.StateDone] == 0 ||
		ended[run.StateRolledBack] == 0 {
		t.Errorf("of %d rotations ended: %v", most, ended)
	}
}

// underFire is one rotation. Its random numbers are its own, so that it can be repeated alone.
func underFire(t *testing.T, p *place, n int) run.State {
	random := rand.New(rand.NewPCG(7, uint64(n)))
	can := []driver.Capabilities{minting, inPlace, {Lists: true, Deletes: true, Late: 15 * time.Second}}[n%3]
	w := newWorld(t, p, fmt.Sprintf("s%d", n), can)
	w.grace = 5 * time.Minute
	left := 1 + random.IntN(6) // faults until the world is in order
	fault := func(losesAnswer bool) func(int) error {
		return func(int) error {
			if left == 0 || random.IntN(8) > 0 {
				return nil
			}
			left--
			switch kind := random.IntN(3); {
			case kind == 0:
				panic(killed{})
			case kind == 1 || losesAnswer:
				return errBroken // after the effect too: a 500 from a provider that has accepted
			default:
				return driver.ErrRefused
			}
		}
	}
	w.before, w.after = fault(false), fault(true)
	request := run.Request{Run: "job"}
	for range 60 {
		w.pass(time.Hour)
		e, err, died := live(func() (run.Entry, error) {
			return w.engine("process").Rotate(context.WithoutCancel(t.Context()), w.plan(), request)
		})
		if value, _, _ := w.store().Get(context.WithoutCancel(t.Context()), w.path(), ""); can.MaxKeys != 1 &&
			!w.accepts(value) {
			t.Errorf("%s: the current value is refused", w.name)
		}
		if !died && e.Ended() {
			w.before, w.after = nil, nil
			w.whole(0)
			if _, version := w.current(); (version == "1") != (e.State == run.StateRolledBack) {
				t.Errorf("%s: it is %s and version %s is current", w.name, e.State, version)
			}
			return e.State
		}
		if err != nil && errors.Is(err, secret.ErrConflict) {
			t.Errorf("%s: %v", w.name, err)
		}
	}
	t.Errorf("%s has not ended: %+v", w.name, w.last())
	return ""
}
