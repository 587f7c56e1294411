package token_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/database"
	"sallyport/internal/fault"
)

// TestRotationHasNoGap plays random sequences of everything that happens to a token, and checks after each step, in the
// process that made it and in another one, that whoever holds a value that was handed out and not taken back is
// accepted, and that every value that has ended is refused.
func TestRotationHasNoGap(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		for seed := range uint64(3) {
			w := newWorld(t, url, fmt.Sprintf("token%d", seed), seed)
			for step := range 60 {
				did := w.step()
				if w.check(fmt.Sprintf("seed %d, step %d: %s", seed, step, did)); t.Failed() {
					return
				}
			}
			if w.finished < 3 {
				t.Errorf("seed %d: only %d rotations were finished: the sequence shows nothing", seed, w.finished)
			}
		}
	})
}

// world is the token, its holders, and what the test itself knows about which value is valid until when.
type world struct {
	t        *testing.T
	random   *rand.Rand
	clock    *clock
	db       *database.DB
	registry *token.Registry // where changes are made
	replica  *token.Registry // another process, told of each change
	name     string
	lifetime time.Duration // 0: the token never expires

	values   []*value
	current  *value
	pending  *value
	holders  [3]*value
	finished int
}

type value struct {
	id, text string
	end      time.Time // zero: none
	revoked  bool
}

func newWorld(t *testing.T, url, name string, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 1)), clock: newClock(), name: name}
	w.db = openDB(t, url)
	w.registry, w.replica = newRegistry(t, w.db, w.clock), newRegistry(t, openDB(t, url), w.clock)
	var expires time.Time
	if seed%2 == 0 {
		w.lifetime = 24 * time.Hour
		expires = w.clock.Now().Add(w.lifetime)
	}
	text, g := issue(t, w.registry, name, all, expires)
	w.current = w.add(text, g)
	w.handOut(w.current)
	return w
}

func (w *world) add(text string, g token.Generation) *value {
	v := &value{id: g.ID, text: text}
	if w.lifetime > 0 {
		v.end = w.clock.Now().Add(w.lifetime)
	}
	w.values = append(w.values, v)
	return v
}

// handOut gives v to every holder; hold to some of them, as when only a part of the fleet has been told.
func (w *world) handOut(v *value) { w.holders = [3]*value{v, v, v} }
func (w *world) hold(v *value)    { w.holders[w.random.IntN(len(w.holders))] = v }

// step does something that may be done, and says what.
func (w *world) step() string {
	if w.pending == nil {
		switch w.random.IntN(6) {
		case 0, 1, 2:
			return w.begin()
		case 3:
			return w.rotate()
		case 4:
			w.hold(w.current)
			return "a holder takes up the current value"
		}
		return w.wait()
	}
	switch w.random.IntN(6) {
	case 0, 1:
		return w.finish()
	case 2:
		return w.abort()
	case 3, 4:
		w.hold(w.pending)
		return "a holder takes up the pending value"
	}
	return w.wait()
}

func (w *world) begin() string {
	text, g, err := w.registry.Begin(w.t.Context(), w.name)
	if err != nil {
		w.t.Fatalf("beginning: %v", err)
	}
	w.pending = w.add(string(text.Reveal()), g)
	return "begin"
}

func (w *world) rotate() string {
	overlap := w.overlap()
	text, g, err := w.registry.Rotate(w.t.Context(), w.name, overlap)
	if err != nil {
		w.t.Fatalf("rotating: %v", err)
	}
	w.retire(overlap)
	w.current = w.add(string(text.Reveal()), g)
	return "rotate with overlap " + overlap.String()
}

func (w *world) finish() string {
	overlap := w.overlap()
	if err := w.registry.Finish(w.t.Context(), w.pending.id, overlap); err != nil {
		w.t.Fatalf("finishing: %v", err)
	}
	w.retire(overlap)
	w.current, w.pending = w.pending, nil
	return "finish with overlap " + overlap.String()
}

func (w *world) retire(overlap time.Duration) {
	w.finished++
	if end := w.clock.Now().Add(overlap); w.current.end.IsZero() || end.Before(w.current.end) {
		w.current.end = end
	}
}

// overlap is zero only when no holder depends on it.
func (w *world) overlap() time.Duration {
	for _, held := range w.holders {
		if held == w.current {
			return time.Duration(1+w.random.IntN(120)) * time.Minute
		}
	}
	return 0
}

// abort takes the pending value back from its holders first, as a rotation that rolls back does.
func (w *world) abort() string {
	for i, held := range w.holders {
		if held == w.pending {
			w.holders[i] = w.current
		}
	}
	if err := w.registry.Abort(w.t.Context(), w.pending.id); err != nil {
		w.t.Fatalf("aborting: %v", err)
	}
	w.pending.revoked = true
	w.pending = nil
	return "abort"
}

// wait moves the clock. Holders take up the current value before theirs ends, which is what the overlap is for; a token
// that itself would expire is rotated before that.
func (w *world) wait() string {
	d := time.Duration(1+w.random.IntN(240)) * time.Minute
	then := w.clock.Now().Add(d)
	if ends(w.current, then) {
		if w.pending != nil {
			w.finish()
		} else {
			w.rotate()
		}
	}
	for i, held := range w.holders {
		if ends(held, then) {
			w.holders[i] = w.current
		}
	}
	w.clock.advance(d)
	if w.pending != nil && ends(w.pending, then) {
		w.pending = nil
	}
	return "wait " + d.String()
}

func ends(v *value, at time.Time) bool { return !v.end.IsZero() && !at.Before(v.end) }

func (w *world) check(when string) {
	w.t.Helper()
	load(w.t, w.replica)
	if w.random.IntN(8) == 0 { // a restart
		w.registry = newRegistry(w.t, w.db, w.clock)
	}
	for process, r := range map[string]*token.Registry{"here": w.registry, "elsewhere": w.replica} {
		for i, held := range w.holders {
			if got := code(r, held.text); got != "" {
				w.t.Errorf("%s: %s holder %d is refused: %s", when, process, i, got)
			}
		}
		for n, v := range w.values {
			want := fault.Code("")
			switch {
			case v.revoked:
				want = fault.TokenRevoked
			case ends(v, w.clock.Now()):
				want = fault.TokenExpired
			}
			if got := code(r, v.text); got != want {
				w.t.Errorf("%s: %s value %d: got %q, want %q", when, process, n+1, got, want)
			}
		}
	}
}
