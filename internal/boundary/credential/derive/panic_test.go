package derive_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
)

// trap is an error that panics when it is looked at for the nth time.
type trap struct{ left int }

func (t *trap) Error() string { return "a trap" }

func (t *trap) As(any) bool {
	if t.left--; t.left == 0 {
		panic("hunter2")
	}
	return false
}

// trapMint fails with a trap, and counts.
type trapMint struct {
	at, mints int
}

func (m *trapMint) Inputs() string { return "inputs" }

func (m *trapMint) Mint(context.Context, derive.State) (derive.State, error) {
	m.mints++
	return derive.State{}, &trap{left: m.at}
}

// TestPanicAnywhere: wherever in an attempt a panic comes, also after the call, those who wait get an error, the next
// attempt waits as after any failure, and Close returns.
func TestPanicAnywhere(t *testing.T) {
	landed := false
	for at := 1; at <= 24; at++ {
		synctest.Test(t, func(t *testing.T) {
			var told []derive.Observation
			v := new(derive.Memory)
			m := &trapMint{at: at}
			s := derive.New(derive.Options{
				Name: "lark", Minter: m, Vault: v, Owner: v,
				Observe: func(o derive.Observation) {
					told = append(told, o)
				},
			})
			_, err := s.Token(t.Context())
			var f *fault.Fault
			if !errors.As(err, &f) || strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("at %d: got %v", at, err)
			}
			for _, o := range told {
				for e := error(o.Fault); e != nil; e = errors.Unwrap(e) {
					why, ok := e.(*fault.Panic) //nolint:errorlint // a trap is not to be looked at here
					landed = landed || ok && strings.Contains(why.Stack, ".land ")
				}
			}
			if _, err := s.Token(t.Context()); err == nil || m.mints != 1 {
				t.Errorf("at %d: %d attempts at once, %v", at, m.mints, err)
			}
			time.Sleep(10 * time.Minute)
			if _, err := s.Token(t.Context()); err == nil || m.mints != 2 {
				t.Errorf("at %d: later %d attempts, %v", at, m.mints, err)
			}
			s.Close()
		})
	}
	if !landed {
		t.Error("none of the panics came where a result is activated: raise the bound")
	}
}
