package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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
	"sallyport/internal/secret/builtin"
	"sallyport/internal/secret/seal"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(my.Main(runs(func() int { return postgres.Main(m) }))) }

// onBoth runs test with an empty database of each dialect.
func onBoth(t *testing.T, test func(t *testing.T, p *place)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newPlace(t, filepath.Join(t.TempDir(), "state.db"))) })
	t.Run("postgres", func(t *testing.T) { test(t, newPlace(t, postgres.URL(t))) })
}

// place is a database, with its seal key.
type place struct {
	url, key string
	db       *database.DB
	sealer   *seal.Sealer
}

func newPlace(t *testing.T, url string) *place {
	t.Helper()
	p := &place{url: url, key: filepath.Join(t.TempDir(), "seal.key")}
	if err := seal.GenerateKeyFile(p.key); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	return p
}

// open opens the place as a process does when it starts.
func (p *place) open(t *testing.T) {
	t.Helper()
	var err error
	if p.db, err = database.Open(t.Context(), p.url); err != nil {
		t.Fatal(err)
	}
	db := p.db
	t.Cleanup(func() { _ = db.Close() })
	if err := p.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keeper, err := seal.KeyFromFile(p.key)
	if err != nil {
		t.Fatal(err)
	}
	if p.sealer, err = seal.Open(t.Context(), p.db, keeper); err != nil {
		t.Fatal(err)
	}
}

// world is a provider, a store and a gate with three replicas, of one rotation. Each effect on it goes through do.
type world struct {
	t    *testing.T
	p    *place
	name string
	can  driver.Capabilities

	mu       sync.Mutex
	now      time.Time
	keys     map[string]*key // by id
	made     int
	accepted string            // the one value, where MaxKeys is 1
	effects  int               // that have begun
	before   func(n int) error // each effect; may panic with killed
	after    func(n int) error // each effect, once it has happened
	refuses  map[string]string // by replica: why its test fails
	missing  []string          // replicas that do not confirm
	uses     map[string]map[string]int64
	gathers  func() (missing []string)
	notices  []run.Notice
	grace    time.Duration
	objects  bool // values are objects, which the store returns in its own way
}

type key struct{ value, label string }

// killed is the panic that stands for the end of the process.
type killed struct{ effect int }

var errBroken = errors.New("the connection broke")

func newWorld(t *testing.T, p *place, name string, can driver.Capabilities) *world {
	w := &world{
		t: t, p: p, name: name, can: can, grace: time.Hour, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		keys:    map[string]*key{},
		refuses: map[string]string{}, uses: map[string]map[string]int64{},
	}
	if can.MaxKeys == 1 {
		w.accepted = "first-" + name
	} else {
		w.keys["k0"] = &key{value: "first-" + name}
	}
	if _, err := w.store().Put(t.Context(), w.path(), secret.NewValue([]byte("first-"+name))); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) path() string          { return "prod/" + w.name }
func (w *world) store() *builtin.Store { return builtin.New(w.p.db, w.p.sealer) }

// engine is that of a process that has just started.
func (w *world) engine(owner string) *run.Engine {
	return &run.Engine{
		Journal: run.NewJournal(w.p.db, w.p.sealer, run.NewLedger(w.p.sealer), w.clock), Owner: owner, Now: w.clock,
		Pause:  func(_ context.Context, d time.Duration) { w.pass(d) },
		Notify: w, Watch: func(run.Entry) { _ = w.do(func() error { return nil }) },
	}
}

func (w *world) plan() *run.Plan {
	return &run.Plan{
		Name: w.name, Driver: w, Gate: gate{w}, Uses: w, Grace: w.grace,
		Secret: &watched{w, &run.Stored{
			Store: sorting{w.store()}, Ref: secret.Ref{Store: "builtin", Path: w.path()},
		}},
	}
}

// sorting is a store that returns an object with its keys sorted and without white space, as Vault does.
type sorting struct{ *builtin.Store }

func (s sorting) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	value, is, err := s.Store.Get(ctx, path, version)
	var fields map[string]string
	if err == nil && json.Unmarshal(value.Reveal(), &fields) == nil && !strings.HasSuffix(path, run.PendingSuffix) {
		text, _ := json.Marshal(fields)
		value = secret.NewValue(text)
	}
	return value, is, err
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// do lets effect happen, unless the world's hooks prevent it or lose its answer.
func (w *world) do(effect func() error) error {
	w.mu.Lock()
	w.effects++
	n, before, after := w.effects, w.before, w.after
	w.mu.Unlock()
	if before != nil {
		if err := before(n); err != nil {
			return err
		}
	}
	err := effect()
	if after != nil && err == nil {
		err = after(n)
	}
	return err
}

// Capabilities implements driver.Driver.
func (w *world) Capabilities() driver.Capabilities { return w.can }

// Create implements driver.Driver.
func (w *world) Create(_ context.Context, job driver.Job) (made driver.Made, err error) {
	err = w.do(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.made++
		id, value := fmt.Sprintf("k%d", w.made), fmt.Sprintf("value-%d-of-%s", w.made, w.name)
		if w.objects {
			value = fmt.Sprintf(`{"user": "n8n", "password": %q}`, value)
		}
		if w.can.MaxKeys != 1 {
			if w.can.MaxKeys > 0 && len(w.keys) >= w.can.MaxKeys {
				return driver.ErrLimit
			}
			w.keys[id] = &key{value, job.Label()}
		}
		made = driver.Made{Key: driver.Key{ID: id, Label: job.Label()}, Value: secret.NewValue([]byte(value))}
		return nil
	})
	if err != nil {
		return driver.Made{}, err
	}
	return made, nil
}

// Set implements driver.Driver.
func (w *world) Set(_ context.Context, _ driver.Job, made driver.Made) error {
	return w.accept(made.Value)
}

// Undo implements driver.Driver.
func (w *world) Undo(_ context.Context, job driver.Job, _ driver.Made) error {
	return w.accept(job.Current)
}

func (w *world) accept(value secret.Value) error {
	return w.do(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.can.MaxKeys == 1 {
			w.accepted = string(value.Reveal())
		}
		return nil
	})
}

// accepts tells whether the provider takes a value.
func (w *world) accepts(value secret.Value) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	is := func(one string) bool { return secret.NewValue([]byte(one)).Same(value) }
	if w.can.MaxKeys == 1 {
		return is(w.accepted)
	}
	for _, k := range w.keys {
		if is(k.value) {
			return true
		}
	}
	return false
}

// Test implements driver.Driver and says nothing: the replicas test.
func (w *world) Test(context.Context, driver.Job, driver.Made) error { return nil }

// Keys implements driver.Driver.
func (w *world) Keys(context.Context, driver.Job) (list []driver.Key, err error) {
	err = w.do(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for id, k := range w.keys {
			list = append(list, driver.Key{ID: id, Label: k.label})
		}
		return nil
	})
	return list, err
}

// Delete implements driver.Driver.
func (w *world) Delete(_ context.Context, _ driver.Job, id string) error {
	return w.do(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.keys, id)
		return nil
	})
}

// test is what the replicas find.
func (w *world) test(value secret.Value) (list []run.Verdict) {
	for _, replica := range []string{"a", "b", "c"} {
		v := run.Verdict{Replica: replica, Failure: w.refuses[replica]}
		if !w.accepts(value) {
			v.Failure = "the API answered 401"
		}
		list = append(list, v)
	}
	return list
}

// gate is the world as its replicas.
type gate struct{ *world }

func (g gate) Test(_ context.Context, _ string, value secret.Value) (list []run.Verdict, err error) {
	err = g.do(func() error {
		list = g.test(value)
		return nil
	})
	return list, err
}

func (g gate) Spread(context.Context, string) ([]string, error) {
	return g.missing, g.do(func() error { return nil })
}

// Uses implements run.Evidence.
func (w *world) Uses(_ context.Context, version string) (list []run.Use, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for by, n := range w.uses[version] {
		list = append(list, run.Use{By: by, Count: n})
	}
	return list, nil
}

// Gather implements run.Evidence.
func (w *world) Gather(context.Context) ([]string, error) {
	if w.gathers == nil {
		return nil, nil
	}
	return w.gathers(), nil
}

func (w *world) use(by, version string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.uses[version] == nil {
		w.uses[version] = map[string]int64{}
	}
	w.uses[version][by]++
}

// Notify implements run.Notifier.
func (w *world) Notify(_ context.Context, n run.Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, n)
}

// watched is the store, with every write an effect.
type watched struct {
	w *world
	*run.Stored
}

func (s *watched) Stage(ctx context.Context, id string, value secret.Value) error {
	return s.w.do(func() error { return s.Stored.Stage(ctx, id, value) })
}

func (s *watched) Promote(ctx context.Context, value secret.Value, expected string) (version string, err error) {
	err = s.w.do(func() (err error) {
		version, err = s.Stored.Promote(ctx, value, expected)
		return err
	})
	return version, err
}

func (s *watched) Discard(ctx context.Context, id string) error {
	return s.w.do(func() error { return s.Stored.Discard(ctx, id) })
}

// current is what consumers get, which the provider has to accept.
func (w *world) current() (secret.Value, string) {
	w.t.Helper()
	value, v, err := w.store().Get(w.t.Context(), w.path(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	return value, v.ID
}

// whole checks what has to hold once a run has ended: the current value works, and there is no key and no pending
// version beside.
func (w *world) whole(others int) {
	w.t.Helper()
	value, _ := w.current()
	if !w.accepts(value) {
		w.t.Errorf("%s: the provider does not accept the current value", w.name)
	}
	if _, _, err := w.store().Get(w.t.Context(), w.path()+run.PendingSuffix, ""); !errors.Is(err, secret.ErrNotFound) {
		w.t.Errorf("%s: there is a pending version left (%v)", w.name, err)
	}
	if w.can.MaxKeys != 1 && len(w.keys) != 1+others {
		w.t.Errorf("%s: the provider has %d keys, want %d", w.name, len(w.keys), 1+others)
	}
}

// live runs fn as a process that dies where the world says so.
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

// end lets processes start one after the other until the run has ended, each an hour later.
func (w *world) end(most int) run.Entry {
	w.t.Helper()
	var e run.Entry
	for i := range most {
		w.pass(time.Hour)
		engine := w.engine(fmt.Sprintf("later-%d", i))
		got, err, died := live(func() (run.Entry, error) { return engine.Resume(w.t.Context(), w.plan()) })
		if died {
			continue
		}
		e = got
		if e.ID == "" || e.Ended() {
			return w.last()
		}
		if err == nil && e.State == run.StateWaiting {
			for _, by := range e.Waiting {
				w.use(by, e.NewVersion)
			}
		}
	}
	w.t.Fatalf("%s: the run has not ended: %+v", w.name, e)
	return e
}

// last is the newest run on record.
func (w *world) last() run.Entry {
	w.t.Helper()
	list, err := w.engine("reader").Journal.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(e run.Entry) bool { return e.Name != w.name })
	if len(list) == 0 {
		return run.Entry{}
	}
	return list[len(list)-1]
}

func (w *world) told(text string) bool {
	return slices.ContainsFunc(w.notices, func(n run.Notice) bool { return strings.Contains(n.Text, text) })
}

// Kinds of provider.
var (
	minting = driver.Capabilities{Lists: true, Deletes: true, MaxKeys: 2}
	inPlace = driver.Capabilities{MaxKeys: 1, NeedsOld: true}
)
