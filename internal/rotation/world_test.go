package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/database"
	"sallyport/internal/rotation"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// onBoth runs test in a world on a database of either kind.
func onBoth(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newWorld(t, filepath.Join(t.TempDir(), "state.db"))) })
	t.Run("postgres", func(t *testing.T) { test(t, newWorld(t, postgres.URL(t))) })
}

// past is longer than the lease: what a crashed process has claimed can be taken over.
const past = 10 * time.Minute

// world is a real registry and a real journal with a clock that the test moves, and a consumer that holds one value.
type world struct {
	t        *testing.T
	now      time.Time
	registry *token.Registry
	runner   *rotation.Runner
	holds    secret.Value // what the consumer holds
	ops      int
	fault    func(op int, name string) mishap // nil: nothing happens
}

// mishap is what happens at one call.
type mishap int

const (
	fine        mishap = iota
	failsBefore        // an error, and nothing was done
	failsAfter         // an error, though it was done
	crashBefore
	crashAfter
	refuses // the consumer says no, and keeps what it has
	mishaps
)

// crash is what a process that is killed ends with.
type crash struct{}

type refusal struct{}

func (refusal) Error() string { return "the consumer refuses" }
func (refusal) Refused() bool { return true }

var errUnclear = errors.New("no clear answer")

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	db, err := database.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	key := filepath.Join(t.TempDir(), "seal.key")
	if err := errors.Join(db.Migrate(t.Context()), seal.GenerateKeyFile(key)); err != nil {
		t.Fatal(err)
	}
	keeper, err := seal.KeyFromFile(key)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.Open(t.Context(), db, keeper)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	w.registry = token.NewRegistry(db, []byte("a key of the tests, 32 bytes long"), clock)
	w.runner = &rotation.Runner{Tokens: tokens{w}, Journal: &rotation.Journal{DB: db, Sealer: sealer, Now: clock}}
	return w
}

// issue makes the token that the consumer begins with.
func (w *world) issue(name string) secret.Value {
	w.t.Helper()
	value, _, err := w.registry.Issue(w.t.Context(), name, token.Scope{Services: []string{"*"}}, time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.holds = value
	return value
}

func (w *world) accepts(value secret.Value) bool {
	_, f := w.registry.Verify(string(value.Reveal()))
	return f == nil
}

// at does one call with what fate has for it; the invariant is looked at on both sides of it.
func (w *world) at(name string, do func() error) error {
	w.t.Helper()
	w.ops++
	fate := fine
	if w.fault != nil {
		fate = w.fault(w.ops, name)
	}
	defer w.noGap(name)
	switch fate {
	case failsBefore:
		return fmt.Errorf("%s: %w", name, errUnclear)
	case crashBefore:
		panic(crash{})
	case refuses:
		if name == "set" {
			return refusal{}
		}
	}
	err := do()
	switch {
	case err != nil:
		return err
	case fate == failsAfter:
		return fmt.Errorf("%s: %w", name, errUnclear)
	case fate == crashAfter:
		panic(crash{})
	}
	return nil
}

// noGap is the invariant: what the consumer holds is accepted.
func (w *world) noGap(when string) {
	w.t.Helper()
	if !w.accepts(w.holds) {
		w.t.Errorf("at call %d (%s) the consumer's value is refused", w.ops, when)
	}
}

// run runs a rotation as a process of its own would; crashed tells that it did not live to see the end.
func (w *world) run(p rotation.Plan) (result rotation.Result, crashed bool, err error) {
	w.t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			crashed = true
		}
	}()
	result, err = w.runner.Run(w.t.Context(), p)
	return result, false, err
}

// plan is a rotation into the world's consumer.
func (w *world) plan(name string) rotation.Plan {
	return rotation.Plan{Name: name, Overlap: time.Hour, Consumer: consumer{w}, Probe: w.probe}
}

func (w *world) probe(_ context.Context, value secret.Value) error {
	return w.at("probe", func() error {
		if !w.accepts(value) {
			return errors.New("the gate refuses the new value")
		}
		return nil
	})
}

func (w *world) journal() []rotation.Entry {
	w.t.Helper()
	list, err := w.runner.Journal.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// states are the states of the generations of name, newest first.
func (w *world) states(name string) (states []string) {
	w.t.Helper()
	list, err := w.registry.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range list {
		if g.Name == name {
			states = append(states, g.State(w.now))
		}
	}
	return states
}

type consumer struct{ w *world }

func (c consumer) Set(_ context.Context, value secret.Value) (string, error) {
	return "noted", c.w.at("set", func() error { c.w.holds = value; return nil })
}

// tokens is the registry as rotation sees it.
type tokens struct{ w *world }

func (t tokens) Begin(ctx context.Context, name string) (value secret.Value, id string, err error) {
	err = t.w.at("begin", func() error {
		v, g, err := t.w.registry.Begin(ctx, name)
		value, id = v, g.ID
		return err
	})
	return value, id, err
}

func (t tokens) Finish(ctx context.Context, id string, overlap time.Duration) error {
	return t.w.at("finish", func() error {
		err := t.w.registry.Finish(ctx, id, overlap)
		if errors.Is(err, token.ErrEnded) {
			return fmt.Errorf("%w: %w", rotation.ErrOvertaken, err)
		}
		return err
	})
}

func (t tokens) Abort(ctx context.Context, id string) error {
	return t.w.at("abort", func() error { return t.w.registry.Abort(ctx, id) })
}

func (t tokens) Pending(ctx context.Context, name string) (id string, err error) {
	err = t.w.at("pending", func() error {
		list, err := t.w.registry.List(ctx)
		for _, g := range list {
			if g.Name == name && g.State(t.w.now) == token.Pending {
				id = g.ID
			}
		}
		return err
	})
	return id, err
}
