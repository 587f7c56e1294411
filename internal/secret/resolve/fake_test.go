package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// fake is a store in memory that is slow, down or forbidding on command.
type fake struct {
	mu      sync.Mutex
	values  map[string]string // by path, or path@version
	version map[string]int
	delay   time.Duration // of each call
	err     error         // of each call
	errOf   map[string]error
	calls   []string // paths asked for
	now     int      // calls going on
	most    int      // the most that ever did
	closed  int
}

func newFake(values map[string]string) *fake {
	return &fake{values: values, version: make(map[string]int), errOf: make(map[string]error)}
}

func (f *fake) set(path, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[path] = value
	f.version[path]++
}

func (f *fake) delete(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.values, path)
}

// fail makes every call end with err; nil mends it.
func (f *fake) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fake) slow(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// asked returns how often path was asked for, or how many calls there were at all, and forgets.
func (f *fake) asked(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if path == "" || c == path {
			n++
		}
	}
	f.calls = nil
	return n
}

func (f *fake) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	f.mu.Lock()
	f.calls = append(f.calls, path)
	f.now++
	f.most = max(f.most, f.now)
	delay := f.delay
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	key := path
	if version != "" {
		key += "@" + version
	}
	value, v, err := f.get(key)
	if delay > 0 {
		select {
		case <-ctx.Done():
			return secret.Value{}, secret.Version{}, fmt.Errorf("reading secret %q from fake: %w", path, ctx.Err())
		case <-time.After(delay):
		}
	}
	if err != nil {
		return secret.Value{}, secret.Version{}, fmt.Errorf("reading secret %q from fake: %w", path, err)
	}
	return value, v, nil
}

// get is the answer as it is at the moment of asking.
func (f *fake) get(key string) (secret.Value, secret.Version, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(f.err, f.errOf[key]); err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	value, ok := f.values[key]
	if !ok {
		return secret.Value{}, secret.Version{}, secret.ErrNotFound
	}
	return secret.NewValue([]byte(value)), secret.Version{ID: strconv.Itoa(f.version[key]), Current: true}, nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

// batching is a fake that is a secret.Batcher.
type batching struct {
	*fake
	batches, short int // short: how many answers are missing
}

func (b *batching) GetBatch(_ context.Context, keys []secret.Key) []secret.Result {
	b.batches++
	results := make([]secret.Result, len(keys))
	for i, k := range keys {
		results[i].Value, results[i].Version, results[i].Err = b.get(k.Path)
	}
	return results[:len(results)-b.short]
}

// watching is a fake that is a secret.Watcher and a secret.Runner.
type watching struct {
	*fake
	unwatchable error
	began       chan []string
	changed     chan string
	ran         chan struct{}
}

func newWatching(f *fake) *watching {
	return &watching{fake: f, began: make(chan []string, 256), changed: make(chan string), ran: make(chan struct{}, 64)}
}

func (w *watching) Watch(ctx context.Context, paths []string, changed func(string)) error {
	w.began <- slices.Clone(paths)
	if w.unwatchable != nil {
		return w.unwatchable
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case path := <-w.changed:
			changed(path)
		}
	}
}

func (w *watching) Run(ctx context.Context) error {
	w.ran <- struct{}{}
	<-ctx.Done()
	return nil
}

// specOf is a resolve.StoreSpec of a store that is there, read every minute, and outlived by an hour.
func specOf(name string, store secret.Store) resolve.StoreSpec {
	return resolve.StoreSpec{
		Name: name, Refresh: time.Minute, MaxStale: time.Hour,
		Open: func(context.Context) (secret.Store, error) { return store, nil },
	}
}

// bed is a Resolver whose changes are kept.
type bed struct {
	*resolve.Resolver
	t       *testing.T
	mu      sync.Mutex
	changes []resolve.Change
	noted   []string
}

func newBed(t *testing.T, stores ...resolve.StoreSpec) *bed {
	t.Helper()
	b := &bed{t: t}
	b.Resolver = resolve.New(resolve.Options{Noted: func(store string, err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.noted = append(b.noted, fmt.Sprint(store, " down ", err != nil))
	}})
	b.Configure(stores)
	return b
}

// run runs the resolver until the returned function is called.
func (b *bed) run() (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		b.Run(ctx, func(list []resolve.Change) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.changes = append(b.changes, list...)
		})
	})
	return func() {
		cancel()
		wg.Wait()
		if err := b.Close(); err != nil {
			b.t.Error(err)
		}
	}
}

// heard returns the changes so far, as "ref" or "ref same", sorted, and forgets them.
func (b *bed) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]string, 0, len(b.changes))
	for _, c := range b.changes {
		text := c.Ref.String()
		if c.Same {
			text += " same"
		}
		list = append(list, text)
	}
	slices.Sort(list)
	b.changes = nil
	return list
}

// is wants a value, or with an error a text in it.
func (b *bed) is(ref, want string) {
	b.t.Helper()
	res, _ := b.Held(parse(b.t, ref))
	check(b.t, ref, res, want, nil)
}

// fails wants an error.
func (b *bed) fails(ref string, want error) {
	b.t.Helper()
	res, _ := b.Held(parse(b.t, ref))
	check(b.t, ref, res, "", want)
}

func check(t *testing.T, ref string, res secret.Result, want string, wantErr error) {
	t.Helper()
	if !errors.Is(res.Err, wantErr) || string(res.Value.Reveal()) != want {
		t.Errorf("%s is %q, %v; want %q, %v", ref, res.Value.Reveal(), res.Err, want, wantErr)
	}
}

// load is Load, which must not fail as a whole.
func (b *bed) load(refs ...string) []secret.Result {
	b.t.Helper()
	results, err := b.Load(b.t.Context(), parseAll(b.t, refs))
	if err != nil || len(results) != len(refs) {
		b.t.Fatalf("%d results of %d, %v", len(results), len(refs), err)
	}
	return results
}

// keep is Keep and Load, as the gate starts.
func (b *bed) keep(refs ...string) {
	b.t.Helper()
	b.Keep(parseAll(b.t, refs))
	b.load(refs...)
}

func parse(t *testing.T, text string) secret.Ref {
	t.Helper()
	ref, err := secret.ParseRef(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func parseAll(t *testing.T, texts []string) []secret.Ref {
	t.Helper()
	refs := make([]secret.Ref, len(texts))
	for i, text := range texts {
		refs[i] = parse(t, text)
	}
	return refs
}

var errNoStore = resolve.ErrNoStore

func stores(list ...resolve.StoreSpec) []resolve.StoreSpec { return list }
