package derive_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/tokenserver"
)

// TestSchedules drives replicas through random schedules of use, expiry, mishaps of provider and record, and death, in
// virtual time, against a server that bans reuse. SALLYPORT_SCHEDULES is how many; SALLYPORT_SCHEDULE is the one to run
// alone.
//
// It holds: a caller gets a token that the API takes, or a fault that is true; what is handed out is on record; no two
// live replicas ask at once; no refresh token is spent twice; and when the mishaps are over there is a token, unless an
// answer to spending a refresh token was lost, where only a person can help.
func TestSchedules(t *testing.T) {
	first, count := 0, 10_000
	if testing.Short() {
		count = 500
	}
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_SCHEDULES")); err == nil {
		count = n
	}
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_SCHEDULE")); err == nil {
		first, count = n, 1
	}
	var sum tally
	for i := first; i < first+count && !t.Failed(); i++ {
		synctest.Test(t, func(t *testing.T) { sum.add(newWorld(t, i).run()) })
	}
	t.Logf("%d schedules: %+v", count, sum)
	if count >= 500 &&
		(sum.Tokens == 0 || sum.Faults == 0 || sum.Deaths == 0 || sum.Lost == 0 ||
			sum.Forgiven == 0 || sum.Healed == 0) {
		t.Error("the schedules leave something out")
	}
}

// tally is what has happened, to see that the schedules try what they are for.
type tally struct{ Tokens, Faults, Deaths, Mints, Lost, Forgiven, Healed int }

func (a *tally) add(b tally) {
	a.Tokens += b.Tokens
	a.Faults += b.Faults
	a.Deaths += b.Deaths
	a.Mints += b.Mints
	a.Lost += b.Lost
	a.Forgiven += b.Forgiven
	a.Healed += b.Healed
}

var errDead, errInjected = errors.New("the process is dead"), errors.New("injected")

// world is one schedule.
type world struct {
	t        *testing.T
	seed     int
	rng      *rand.Rand
	server   *tokenserver.Server
	memory   *derive.Memory
	options  derive.RefreshTokenOptions
	spends   bool // the kind is refresh_token
	violent  bool // processes die anywhere, and answers get lost
	replicas []*process
	calls    sync.WaitGroup

	mu     sync.Mutex
	asking map[*process]bool
	saved  map[string]bool
	lossy  bool // an answer may have been lost, or a process has died
	tally  tally
}

// process is one replica: all it can do to the world goes through it, so that it can die between any two steps.
type process struct {
	*world
	source *derive.Source
	cancel context.CancelFunc
	runs   sync.WaitGroup

	// under world.mu
	dead   bool
	ops    int
	dieAt  int // the operation at which it dies; 0: none
	late   bool
	failAt int // the operation at which the record fails
	held   []func()
}

func newWorld(t *testing.T, seed int) *world {
	w := &world{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(uint64(seed), 4711)), server: tokenserver.New(),
		memory: &derive.Memory{},
		asking: make(map[*process]bool), saved: make(map[string]bool),
	}
	w.spends, w.violent = w.rng.IntN(4) > 0, w.rng.IntN(2) > 0
	w.server.Lifetime = []time.Duration{45 * time.Second, 5 * time.Minute, time.Hour}[w.rng.IntN(3)]
	w.server.Delay = time.Duration(w.rng.IntN(15)) * time.Second
	w.server.RevokeOld = w.rng.IntN(3) == 0
	w.options = refreshOptions(w.server, derive.Endpoint{URL: w.server.URL + "/token"}, "")
	if w.rng.IntN(3) == 0 {
		w.options.ReuseGrace = time.Minute
		w.server.Grace = time.Minute
	}
	for range 2 + w.rng.IntN(2) {
		w.replicas = append(w.replicas, w.start())
	}
	return w
}

func (w *world) start() *process {
	ctx, cancel := context.WithCancel(w.t.Context())
	p := &process{world: w, cancel: cancel}
	o := w.options
	o.Endpoint.Transport = p
	var m derive.Minter
	var err error
	if w.spends {
		m, err = derive.NewRefreshToken(o)
	} else {
		m, err = derive.NewClientCredentials(derive.ClientCredentialsOptions{Endpoint: o.Endpoint, Client: o.Client})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	p.source = derive.New(derive.Options{Name: "lark", Minter: m, Vault: p, Owner: p})
	p.runs.Go(func() { p.source.Run(ctx) })
	return p
}

// do is one operation of a process, in or before which it may die.
func (p *process) do(record bool, effect func() error) error {
	p.mu.Lock()
	p.ops++
	dies, fails := p.ops == p.dieAt, record && p.ops >= p.failAt && p.failAt > 0
	if fails {
		p.failAt = 0
	}
	late := p.late
	if dies && !late {
		p.kill()
	}
	dead := p.dead
	p.mu.Unlock()
	switch {
	case dead:
		return errDead
	case fails && !late:
		return errInjected
	}
	err := effect()
	p.mu.Lock()
	defer p.mu.Unlock()
	if dies {
		p.kill()
	}
	switch {
	case p.dead:
		return errDead
	case fails:
		return errInjected
	}
	return err
}

// kill is called with mu held.
func (p *process) kill() {
	if p.dead {
		return
	}
	p.dead, p.lossy = true, true
	p.tally.Deaths++
	delete(p.asking, p)
	for _, release := range p.held {
		release()
	}
	p.cancel()
}

func (p *process) Load(ctx context.Context, name string) (s derive.State, version int64, err error) {
	err = p.do(true, func() (err error) {
		s, version, err = p.memory.Load(ctx, name)
		return err
	})
	return s, version, err
}

func (p *process) Save(ctx context.Context, name string, s derive.State, version int64) error {
	return p.do(true, func() error {
		p.mu.Lock() // before: another replica may read it, and hand it out, as soon as it is there
		defer p.mu.Unlock()
		err := p.memory.Save(ctx, name, s, version)
		if err == nil && !s.Token.IsZero() {
			p.saved[string(s.Token.Reveal())] = true
		}
		return err
	})
}

func (p *process) Acquire(ctx context.Context, name string) (func(), error) {
	var release func()
	err := p.do(true, func() (err error) {
		release, err = p.memory.Acquire(ctx, name)
		return err
	})
	if release == nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.dead {
		release()
		return nil, errDead
	}
	p.held = append(p.held, release)
	return release, nil
}

func (p *process) RoundTrip(r *http.Request) (res *http.Response, err error) {
	err = p.do(false, func() (err error) {
		p.mu.Lock()
		if p.asking[p] = true; len(p.asking) > 1 {
			p.wrong("two replicas ask at once")
		}
		p.mu.Unlock()
		res, err = p.server.Transport().RoundTrip(r)
		p.mu.Lock()
		delete(p.asking, p)
		p.mu.Unlock()
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (w *world) wrong(format string, args ...any) {
	w.t.Errorf("schedule %d (spends %t, violent %t, grace %v): %s", w.seed, w.spends, w.violent, w.options.ReuseGrace,
		fmt.Sprintf(format, args...))
}

// use is what the gate does with one request: get a token, call, and replay once if the API says that it is expired.
func (p *process) use(ctx context.Context, calm bool) {
	got, err := p.source.Token(ctx)
	taken := err == nil && p.take(got)
	for range 3 { // once, but for when another replica refreshes in between and the provider revokes
		if err == nil && !taken {
			got, err = p.source.Expired(ctx, got)
			taken = err == nil && p.take(got)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.dead, ctx.Err() != nil:
	case err != nil:
		p.tally.Faults++
		p.judge(err, calm)
	case !p.saved[string(got.Secret.Reveal())]:
		p.wrong("%s was handed out and is not on record", got.Secret.Reveal())
	case calm && !taken:
		p.wrong("%s is not valid, and nothing better comes", got.Secret.Reveal())
	default:
		p.tally.Tokens++
	}
}

func (p *process) take(got derive.Token) bool { return p.server.Valid(string(got.Secret.Reveal())) }

// judge is called with mu held.
func (p *process) judge(err error, calm bool) {
	f, ok := errors.AsType[*fault.Fault](err)
	switch {
	case !ok:
		p.wrong("an error outside the taxonomy: %v", err)
	case f.Code == fault.CredentialRejected && p.spends && p.lossy:
		if calm {
			p.tally.Lost++
		}
	case f.Code == fault.CredentialRejected:
		p.wrong("rejected, and no answer was lost: %v", f)
	case calm:
		p.wrong("the mishaps are over, and still: %v (%v)", f, f.Unwrap())
	case f.Code != fault.CredentialMintFailed && f.Code != fault.StoreUnavailable:
		p.wrong("an unexpected fault: %v", f)
	}
}

func (w *world) run() tally {
	for range 8 + w.rng.IntN(16) {
		w.step()
	}
	w.calls.Wait()
	w.heal()
	for _, p := range w.replicas {
		p.use(w.t.Context(), true)
		p.use(w.t.Context(), true)
	}
	w.end()
	r := w.server.Record()
	if r.Reused > 0 {
		w.wrong("%d refresh tokens were spent twice", r.Reused)
	}
	if w.tally.Lost == 0 {
		w.tally.Healed++
	}
	w.tally.Mints, w.tally.Forgiven = r.Minted, r.Forgiven
	return w.tally
}

func (w *world) any() *process { return w.replicas[w.rng.IntN(len(w.replicas))] }

func (w *world) step() {
	switch w.rng.IntN(10) {
	case 0, 1, 2: // users, some of whom leave
		p, patience := w.any(), time.Duration(w.rng.IntN(60)+1)*time.Second
		for range 1 + w.rng.IntN(3) {
			w.calls.Go(func() {
				ctx, cancel := context.WithTimeout(w.t.Context(), patience)
				defer cancel()
				p.use(ctx, false)
			})
		}
	case 3, 4:
		time.Sleep(time.Duration(w.rng.Int64N(int64(3 * time.Second))))
	case 5:
		time.Sleep(time.Duration(w.rng.Int64N(int64(w.server.Lifetime))))
	case 6:
		s, _, _ := w.memory.Load(w.t.Context(), "lark")
		w.server.Expire(string(s.Token.Reveal()))
	case 7:
		w.misbehave()
	case 8:
		w.recordFails()
	case 9:
		w.restart()
	}
}

func (w *world) misbehave() {
	plan := []tokenserver.Misbehaviour{
		tokenserver.Unreachable, tokenserver.Filtered, tokenserver.Error503,
		tokenserver.Error429, tokenserver.Slow,
	}
	if (w.violent || !w.spends) && w.rng.IntN(2) == 0 {
		plan = []tokenserver.Misbehaviour{
			tokenserver.LostAnswer, tokenserver.Hang, tokenserver.Reset,
			tokenserver.Garbage, tokenserver.Error502,
		}
		w.mu.Lock()
		w.lossy = true
		w.mu.Unlock()
	}
	w.server.Misbehave(plan[w.rng.IntN(len(plan))])
}

func (w *world) recordFails() {
	p := w.any()
	w.mu.Lock()
	defer w.mu.Unlock()
	p.failAt, p.late = p.ops+1+w.rng.IntN(4), w.rng.IntN(2) == 0
}

// restart replaces a replica: one that dies now, or in one of its next operations, or that is stopped as it should be.
func (w *world) restart() {
	i := w.rng.IntN(len(w.replicas))
	p := w.replicas[i]
	if w.violent || !w.spends {
		w.mu.Lock()
		if n := w.rng.IntN(8); n == 0 {
			p.kill()
		} else {
			p.dieAt, p.late = p.ops+n, w.rng.IntN(2) == 0
		}
		dead := p.dead
		w.mu.Unlock()
		if !dead {
			return
		}
	} else {
		p.stop()
		if p.source.Failure() != nil {
			return // what it has minted may not be on record: it goes on after all
		}
	}
	w.replicas[i] = w.start()
}

func (p *process) stop() {
	p.cancel()
	p.runs.Wait()
}

// heal ends all mishaps and lets enough time go by for everybody to try again.
func (w *world) heal() {
	w.server.Behave()
	w.mu.Lock()
	for _, p := range w.replicas {
		p.dieAt, p.failAt = 0, 0
	}
	w.mu.Unlock()
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	for i, p := range w.replicas {
		w.mu.Lock()
		dead := p.dead
		w.mu.Unlock()
		if dead {
			w.replicas[i] = w.start()
		}
	}
}

func (w *world) end() {
	for _, p := range w.replicas {
		p.stop()
		p.source.Close()
	}
}
