package drivertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/driver"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"
)

// ground is the database that rotations of some worlds share. They are few: a journal reads its list of entries with
// each step.
type ground struct {
	db     *database.DB
	sealer *seal.Sealer
	n      int
}

func newGround(t *testing.T) *ground {
	t.Helper()
	dir := t.TempDir()
	g := new(ground)
	var err error
	if g.db, err = database.Open(t.Context(), filepath.Join(dir, "state.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.db.Close() })
	// What is tested is what processes leave behind that are killed, and no disk.
	if _, err := g.db.ExecContext(t.Context(), "PRAGMA synchronous = OFF"); err != nil {
		t.Fatal(err)
	}
	if err := g.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "seal.key")
	if err := seal.GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	keeper, err := seal.KeyFromFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if g.sealer, err = seal.Open(t.Context(), g.db, keeper); err != nil {
		t.Fatal(err)
	}
	return g
}

// killed is the panic that stands for the end of the process.
type killed struct{}

var errBroken = errors.New("the connection broke")

// strike is what goes wrong with one effect.
type strike struct {
	name          string
	before, after func() error
}

// strikes are those that every world can make, and its own.
func strikes(w *World) []strike {
	end := func() error { panic(killed{}) }
	lose := func() error { return errBroken }
	none := func() error { return nil }
	all := []strike{
		{"killed before", end, none},
		{"killed after", none, end},
		{"not reached", lose, none},
		{"answer lost", none, lose},
	}
	for _, name := range slices.Sorted(maps.Keys(w.Faults)) {
		all = append(all, strike{name: name})
	}
	return all
}

// rotations rotates a secret with the driver: undisturbed, and with each strike at each effect.
func rotations(t *testing.T, open func(t *testing.T) *World) {
	g := newGround(t)
	var most int
	t.Run("undisturbed", func(t *testing.T) {
		r := g.rotation(t, open(t))
		r.count(&most)
		if e := r.end(nil); e.State != run.StateDone {
			t.Errorf("it ended as %s: %s", e.State, e.LastError)
		}
	})
	if t.Failed() {
		return
	}
	for _, s := range strikes(open(t)) {
		t.Run(s.name, func(t *testing.T) {
			g := newGround(t)
			for at := 1; at <= most; at++ {
				r := g.rotation(t, open(t))
				r.strike(s.name, at)
				if e := r.end(nil); !e.Ended() {
					t.Errorf("at effect %d: it has not ended: %s at %s: %s", at, e.State, e.Step, e.LastError)
				}
			}
		})
	}
	t.Run("late", func(t *testing.T) {
		r := g.rotation(t, open(t))
		r.late = 3
		e := r.end(nil)
		if late := r.w.Open(t).Capabilities().Late; late >= 3*time.Second && e.State != run.StateDone {
			t.Errorf("a key that works after 3 s has the rotation end as %s: %s", e.State, e.LastError)
		}
	})
	t.Run("two at once", func(t *testing.T) { g.rotation(t, open(t)).twice() })
}

// rotation is a rotation of a world's secret: the store and the gate are the kit's.
type rotation struct {
	t    *testing.T
	g    *ground
	w    *World
	name string
	can  driver.Capabilities

	mu      sync.Mutex
	current secret.Value
	version int
	staged  map[string]secret.Value
	now     time.Time
	late    int // tests that a new key fails first
	shown   []any
}

func (g *ground) rotation(t *testing.T, w *World) *rotation {
	g.n++
	return &rotation{
		t: t, g: g, w: w, name: fmt.Sprintf("kit%d", g.n), can: w.Open(t).Capabilities(), current: w.Current,
		version: 1, staged: map[string]secret.Value{}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// count adds effects up in n.
func (r *rotation) count(n *int) {
	if r.w.Hook != nil {
		r.w.Hook(func() error { *n++; return nil }, func() error { return nil })
	}
}

// strike has the at-th effect go wrong.
func (r *rotation) strike(name string, at int) {
	n := 0
	for _, s := range strikes(r.w) {
		if s.name != name {
			continue
		}
		r.w.Hook(func() error {
			switch n++; {
			case n != at:
				return nil
			case s.before == nil:
				r.w.Faults[name]()
				return nil
			}
			return s.before()
		}, func() error {
			if n != at || s.after == nil {
				return nil
			}
			n++ // once
			return s.after()
		})
	}
}

func (r *rotation) show(one any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = append(r.shown, one)
}

func (r *rotation) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rotation) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// engine is that of a process that has just started.
func (r *rotation) engine(owner string) *run.Engine {
	return &run.Engine{
		Journal: run.NewJournal(r.g.db, r.g.sealer, run.NewLedger(r.g.sealer), r.clock), Owner: owner, Now: r.clock,
		Pause: func(_ context.Context, d time.Duration) { r.pass(d) },
		Watch: func(e run.Entry) { r.show(e) },
	}
}

func (r *rotation) plan() *run.Plan {
	return &run.Plan{Name: r.name, Driver: guarded{r.w.Open(r.t), r}, Secret: r, Gate: r}
}

// guarded is the driver under the eyes of the kit: nothing but a Delete of it ends the old key.
type guarded struct {
	driver.Driver
	r *rotation
}

// Delete implements driver.Driver.
func (g guarded) Delete(ctx context.Context, job driver.Job, id string) error {
	if id == g.r.w.OldKey && g.r.current.Equal(g.r.w.Current) {
		g.r.t.Errorf("the old key is to be ended, and it is current")
	}
	return g.Driver.Delete(ctx, job, id)
}

// end begins the rotation, and goes on with it as process after process would, until it has ended.
func (r *rotation) end(begun *run.Entry) run.Entry {
	r.t.Helper()
	var e run.Entry
	if begun != nil {
		e = *begun
	}
	for i := 0; i < 20 && !e.Ended(); i++ {
		engine := r.engine(fmt.Sprintf("process-%d", i))
		got, err, died := live(func() (run.Entry, error) {
			return engine.Rotate(r.t.Context(), r.plan(), run.Request{Run: "kit"})
		})
		r.whileRunning()
		if err != nil {
			r.show(err)
		}
		if !died {
			e = got
		}
		r.pass(time.Hour)
	}
	r.whole(e)
	return e
}

// whileRunning checks what holds at every instant.
func (r *rotation) whileRunning() {
	r.t.Helper()
	if r.can.MaxKeys != 1 && r.w.Accepts != nil && !r.w.Accepts(r.current) {
		r.t.Errorf("%s: the provider does not accept the current value", r.name)
	}
}

// whole checks what holds once a run has ended.
func (r *rotation) whole(e run.Entry) {
	r.t.Helper()
	silent(r.t, r.w, append(r.shown, e)...)
	if !e.Ended() {
		return
	}
	if r.w.Accepts != nil && !r.w.Accepts(r.current) {
		r.t.Errorf("%s: it is %s, and the provider does not accept the current value", r.name, e.State)
	}
	if (e.State == run.StateDone) == r.current.Equal(r.w.Current) {
		r.t.Errorf("%s: it is %s, and the current value is the old one: %t", r.name, e.State,
			r.current.Equal(r.w.Current))
	}
	if len(r.staged) > 0 {
		r.t.Errorf("%s: a pending version is left", r.name)
	}
	if r.w.Keys == nil {
		return
	}
	left := slices.DeleteFunc(r.w.Keys(), func(key driver.Key) bool {
		return key.ID == e.NewKey && e.State == run.StateDone || key.ID == r.w.OldKey && e.Left+e.LastError != "" ||
			key.ID == r.w.OldKey && e.State != run.StateDone
	})
	if len(left) > 0 && (r.can.Lists || e.Left == "") {
		r.t.Errorf("%s: it is %s, and the keys %v are left", r.name, e.State, left)
	}
	if e.State == run.StateDone && r.can.Lists && r.w.Accepts(r.w.Current) {
		r.t.Errorf("%s: it is done, and the old key lives: %s", r.name, e.Left)
	}
}

// twice has two processes rotate at once.
func (r *rotation) twice() {
	var both sync.WaitGroup
	var mu sync.Mutex
	var ended []run.Entry
	for i := range 2 {
		both.Go(func() {
			e, err := r.engine(fmt.Sprintf("process-%d", i)).Rotate(r.t.Context(), r.plan(), run.Request{Run: "kit"})
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, run.ErrRunning) {
				r.t.Errorf("process %d: %v", i, err)
			}
			if e.Ended() {
				ended = append(ended, e)
			}
		})
	}
	both.Wait()
	if len(ended) == 0 {
		r.t.Fatal("neither of two processes has ended the rotation")
	}
	r.whole(ended[0])
}

// live runs fn as a process that may be killed.
func live(fn func() (run.Entry, error)) (e run.Entry, err error, died bool) {
	defer func() {
		if why := recover(); why != nil {
			if _, ok := why.(killed); !ok {
				panic(why)
			}
			died = true
		}
	}()
	e, err = fn()
	return e, err, false
}

// holds looks for values in what is shown.
func holds(shown any, values []string) (string, bool) {
	text := fmt.Sprintf("%v %+v", shown, shown)
	if err, ok := shown.(error); ok {
		text = err.Error()
	}
	i := slices.IndexFunc(values, func(value string) bool {
		const shortest = 8
		return len(value) >= shortest && strings.Contains(text, value)
	})
	if i < 0 {
		return "", false
	}
	return values[i], true
}

// Current implements run.Secret.
func (r *rotation) Current(context.Context) (secret.Value, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current, fmt.Sprint(r.version), nil
}

// Stage implements run.Secret.
func (r *rotation) Stage(_ context.Context, id string, value secret.Value) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.staged[id] = value
	return nil
}

// Staged implements run.Secret.
func (r *rotation) Staged(_ context.Context, id string) (secret.Value, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value, ok := r.staged[id]; ok {
		return value, nil
	}
	return secret.Value{}, secret.ErrNotFound
}

// Promote implements run.Secret.
func (r *rotation) Promote(_ context.Context, value secret.Value, expected string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.current.Equal(value) {
		if fmt.Sprint(r.version) != expected {
			return "", secret.ErrConflict
		}
		r.current, r.version = value, r.version+1
	}
	return fmt.Sprint(r.version), nil
}

// Discard implements run.Secret.
func (r *rotation) Discard(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.staged, id)
	return nil
}

// Test implements run.Gate.
func (r *rotation) Test(_ context.Context, _ string, value secret.Value) ([]run.Verdict, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := run.Verdict{Replica: "gate"}
	if r.late > 0 {
		r.late--
		v.Failure = "the API answered 401"
	} else if r.w.Accepts != nil && !r.w.Accepts(value) {
		v.Failure = "the API answered 401"
	}
	return []run.Verdict{v}, nil
}

// Spread implements run.Gate.
func (r *rotation) Spread(context.Context, string) ([]string, error) { return nil, nil }
