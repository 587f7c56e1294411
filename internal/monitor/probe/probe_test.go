package probe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/boundary/inside"
	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/monitor/probe"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// field is a database, services and a clock that replicas share, and the API behind them.
type field struct {
	t      *testing.T
	url    string
	config *config.Config

	mu     sync.Mutex
	now    time.Time
	calls  map[string]int
	under  atomic.Int32
	most   atomic.Int32
	status map[string]int // by service; 0: 200
	hold   chan struct{}  // nil: responses come at once

	entered chan struct{} // a call is held
	during  func()        // is called by each call; may be nil
}

func newField(t *testing.T, url string, services int) *field {
	f := &field{
		t: t, url: url, now: time.Now(), calls: map[string]int{}, status: map[string]int{},
		entered: make(chan struct{}, 1),
		config:  &config.Config{Services: map[string]*config.Service{}, Probes: config.Probes{Every: time.Hour}},
	}
	for i := range services {
		f.config.Services[fmt.Sprintf("crm%d", i)] = &config.Service{
			Test: &config.Test{Method: "GET", Path: "/me?x=1", Status: []int{200}},
		}
	}
	return f
}

func (f *field) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *field) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *field) called(service string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[service]
}

// call is the API.
func (f *field) call(ctx context.Context, service string, req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.calls[service]++
	status, hold := f.status[service], f.hold
	f.mu.Unlock()
	if f.during != nil {
		f.during()
	}
	n := f.under.Add(1)
	defer f.under.Add(-1)
	for most := f.most.Load(); n > most && !f.most.CompareAndSwap(most, n); most = f.most.Load() {
	}
	if hold != nil {
		select {
		case f.entered <- struct{}{}:
		default:
		}
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, &inside.Error{Code: fault.ClientGone, Message: "gone"}
		}
	}
	if req.Method != http.MethodGet || req.URL.String() != "/me?x=1" || req.UserAgent() == "" {
		f.t.Errorf("%s called as %s %s by %q", service, req.Method, req.URL, req.UserAgent())
	}
	return response(max(status, 200), ""), nil
}

func response(status int, body string, headers ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// replica is one process.
type replica struct {
	*probe.Prober

	f       *field
	db      *database.DB
	mu      sync.Mutex
	learned map[string]probe.Verdict
	version atomic.Int32
	broke   atomic.Int32
}

func (f *field) replica(name string) *replica {
	f.t.Helper()
	db, err := database.Open(f.t.Context(), f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	r := &replica{f: f, db: db, learned: map[string]probe.Verdict{}}
	r.Prober = probe.New(probe.Options{
		Config: func() *config.Config { return f.config }, DB: db, Key: []byte("key"), Replica: name,
		Call: f.call, Permits: func(_, _, path string) bool { return path == "/me" },
		Version: func(string) any { return r.version.Load() },
		Learned: func(service string, result *probe.Result) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.learned[service] = result.Verdict
		},
		Log: slog.New(slog.DiscardHandler), Now: f.clock, Broke: func(string, *fault.Panic) { r.broke.Add(1) },
	})
	return r
}

// look is one look, with all that it begins.
func (r *replica) look() {
	var running guard.Group
	r.Look(r.f.t.Context(), &running)
	running.Wait()
}

// databases runs a test on each kind of database.
func databases(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite://"+filepath.Join(t.TempDir(), "s.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, postgres.URL(t)) })
}

// TestOneReplicaProbes: of three that look at the same time, one makes each probe, and the others learn the result.
func TestOneReplicaProbes(t *testing.T) {
	databases(t, func(t *testing.T, url string) {
		f := newField(t, url, 5)
		f.status["crm0"] = 401
		all := []*replica{f.replica("a"), f.replica("b"), f.replica("c")}
		f.pass(2 * time.Second)
		for range 2 {
			var looking sync.WaitGroup
			for _, r := range all {
				looking.Go(r.look)
			}
			looking.Wait()
		}
		for name := range f.config.Services {
			if n := f.called(name); n != 1 {
				t.Errorf("%s was probed %d times", name, n)
			}
			learned := 0
			for _, r := range all {
				r.mu.Lock()
				if _, ok := r.learned[name]; ok {
					learned++
				}
				r.mu.Unlock()
				shown := r.Shown()[name]
				want := probe.Works
				if name == "crm0" {
					want = probe.Refused
				}
				if shown.Result == nil || shown.Result.Verdict != want {
					t.Errorf("%s shows %+v, want %s", name, shown, want)
				}
			}
			if learned != 2 {
				t.Errorf("%s was learned by %d replicas, want the 2 others", name, learned)
			}
		}
		f.pass(50 * time.Minute) // the refused one is due long since, the others are not
		all[1].look()
		if f.called("crm0") != 2 || f.called("crm1") != 1 {
			t.Errorf("after 50 minutes: %d and %d calls, want 2 and 1", f.called("crm0"), f.called("crm1"))
		}
		f.pass(20 * time.Minute)
		all[2].look()
		if f.called("crm1") != 2 {
			t.Errorf("after 70 minutes: %d calls, want 2", f.called("crm1"))
		}
	})
}

// TestDeadReplica: the probe of a replica that does not come back is made by another once its claim has run out.
func TestDeadReplica(t *testing.T) {
	databases(t, func(t *testing.T, url string) {
		f := newField(t, url, 1)
		f.hold = make(chan struct{})
		dead, other := f.replica("dead"), f.replica("other")
		f.pass(2 * time.Second)
		ctx, kill := context.WithCancel(t.Context())
		var running guard.Group
		dead.Look(ctx, &running)
		<-f.entered
		kill()
		running.Wait()
		close(f.hold)
		other.look()
		if n := f.called("crm0"); n != 1 {
			t.Fatalf("%d calls while the claim holds", n)
		}
		f.pass(probe.ClaimFor + time.Second)
		other.look()
		if n := f.called("crm0"); n != 2 || other.Shown()["crm0"].Result.Verdict != probe.Works {
			t.Errorf("%d calls after the claim", n)
		}
	})
}

// TestBounds: of 10,000 services that hang, no more than the places are under way, and a look ends.
func TestBounds(t *testing.T) {
	f := newField(t, "sqlite://"+filepath.Join(t.TempDir(), "s.db"), 10_000)
	r := f.replica("a")
	f.hold = make(chan struct{})
	f.pass(time.Hour)
	var running guard.Group
	r.Look(t.Context(), &running)
	r.Look(t.Context(), &running)
	close(f.hold)
	running.Wait()
	made := r.Counts()[probe.Works]
	if most := f.most.Load(); most > probe.AtOnce || made == 0 || made > 2*probe.AtOnce {
		t.Errorf("%d were under way at once, %d were made", most, made)
	}
	for range 3 {
		r.look()
	}
	if now := r.Counts()[probe.Works]; now <= made {
		t.Errorf("%d were made, want the next looks to go on", now)
	}
	if n := len(r.Shown()); n != 10_000 {
		t.Errorf("%d are shown", n)
	}
}

// TestForgedRows: what another writer puts into the table is no result, and keeps no service from being probed.
func TestForgedRows(t *testing.T) {
	databases(t, func(t *testing.T, url string) {
		f := newField(t, url, 2)
		r := f.replica("a")
		far := f.now.Add(1000 * time.Hour).UnixMicro()
		for name, owner := range map[string]string{"crm0": strings.Repeat("evil", 100), "crm1": ""} {
			if _, err := r.db.ExecContext(t.Context(), `INSERT INTO probe (service, due, owner, holds, body, mac)
				VALUES ($1, $2, $3, $4, $5, $6)`, name, far, owner, far,
				`{"verdict": "works", "status": 200}`, []byte("mac")); err != nil {
				t.Fatal(err)
			}
		}
		f.status["crm0"], f.status["crm1"] = 401, 503
		r.look()
		for name, want := range map[string]probe.Verdict{"crm0": probe.Refused, "crm1": probe.Down} {
			if got := r.Shown()[name].Result; got == nil || got.Verdict != want {
				t.Errorf("%s: %+v, want %s", name, got, want)
			}
		}
		if _, err := r.db.ExecContext(t.Context(), // one service's result is not another's
			"UPDATE probe SET body = (SELECT body FROM probe WHERE service = 'crm0'), "+
				"mac = (SELECT mac FROM probe WHERE service = 'crm0') WHERE service = 'crm1'"); err != nil {
			t.Fatal(err)
		}
		other := f.replica("b")
		other.look()
		if got := other.Shown()["crm1"].Result; got != nil {
			t.Errorf("crm1 shows %+v, which is crm0's", got)
		}
	})
}

// TestMended: a credential that was refused is tried at once when there is another one, and not before.
func TestMended(t *testing.T) {
	f := newField(t, "sqlite://"+filepath.Join(t.TempDir(), "s.db"), 1)
	f.status["crm0"] = 401
	r := f.replica("a")
	f.pass(time.Second)
	r.look()
	r.look()
	if n := f.called("crm0"); n != 1 {
		t.Fatalf("%d calls, want 1", n)
	}
	r.version.Add(1)
	delete(f.status, "crm0")
	r.look()
	r.look()
	if got := r.Shown()["crm0"].Result; f.called("crm0") != 2 || got.Verdict != probe.Works {
		t.Errorf("%d calls, %+v", f.called("crm0"), got)
	}
}

// TestMendedInTheCall: a credential that the call itself has changed, such as a token that is obtained again after a
// 401, is no reason to call again at once: the account would be locked.
func TestMendedInTheCall(t *testing.T) {
	f := newField(t, "sqlite://"+filepath.Join(t.TempDir(), "s.db"), 1)
	f.status["crm0"] = 401
	r := f.replica("a")
	f.during = func() { r.version.Add(1) }
	f.pass(time.Second)
	for range 10 {
		r.look()
		f.pass(5 * time.Second)
	}
	if n := f.called("crm0"); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// TestDatabaseAway: nothing is called while no claim can be made, and what was known stays.
func TestDatabaseAway(t *testing.T) {
	f := newField(t, "sqlite://"+filepath.Join(t.TempDir(), "s.db"), 1)
	r := f.replica("a")
	f.pass(time.Second)
	r.look()
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	f.pass(2 * time.Hour)
	r.look()
	if got := r.Shown()["crm0"].Result; f.called("crm0") != 1 || got == nil {
		t.Errorf("%d calls, %+v", f.called("crm0"), got)
	}
}

// TestNotProbed: who is not probed, and why.
func TestNotProbed(t *testing.T) {
	f := newField(t, "sqlite://"+filepath.Join(t.TempDir(), "s.db"), 0)
	get := func(method, path string) *config.Test { return &config.Test{Method: method, Path: path} }
	f.config.Services = map[string]*config.Service{
		"post": {Test: get("POST", "/me")}, "none": {}, "rules": {Test: get("GET", "/else")},
		"off": {Test: get("GET", "/me"), Probe: config.ServiceProbe{Off: true}},
	}
	r := f.replica("a")
	f.pass(time.Hour)
	r.look()
	for name, want := range map[string]string{
		"post": "POST", "none": "no test call", "rules": "allow rules", "off": "probe.off",
	} {
		if got := r.Shown()[name]; f.called(name) != 0 || !strings.Contains(got.Why, want) {
			t.Errorf("%s: %d calls, %q", name, f.called(name), got.Why)
		}
	}
	f.config.Probes.Every = 0
	if got := r.Shown()["post"].Why; got != "probes.every is not set" {
		t.Error(got)
	}
}

// TestJudged is every response and error, with what each shows.
func TestJudged(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	p := &config.Probe{Test: config.Test{
		Method: "GET", Path: "/me", Status: []int{200, 204}, Expires: config.Expires{Pointer: "/token/expires_at"},
	}}
	type want struct {
		verdict    probe.Verdict
		up, upTold bool
		works      bool
		worksTold  bool
	}
	for _, c := range []struct {
		name string
		resp *http.Response
		err  error
		want want
	}{
		{"works", response(204, ""), nil, want{probe.Works, true, true, true, true}},
		{"refused", response(401, ""), nil, want{probe.Refused, true, true, false, true}},
		{"forbidden", response(403, ""), nil, want{probe.Unexpected, true, true, false, true}},
		{"redirect", response(302, ""), nil, want{probe.Unexpected, true, true, false, true}},
		{"limited", response(429, ""), nil, want{probe.Limited, true, true, false, false}},
		{"fails", response(503, ""), nil, want{probe.Down, false, true, false, true}},
		{
			"away", nil, &inside.Error{Code: fault.UpstreamDNS, Message: "no such host"},
			want{probe.Down, false, true, false, true},
		},
		{
			"circuit", nil, &inside.Error{Code: fault.CircuitOpen, Message: "open"},
			want{probe.Down, false, true, false, true},
		},
		{
			"no key", nil, &inside.Error{Code: fault.CredentialMissing, Message: "none"},
			want{probe.NoKey, false, false, false, true},
		},
		{
			"own limit", nil, &inside.Error{Code: fault.RateLimited, Message: "limit"},
			want{probe.NotMade, false, false, false, false},
		},
		{
			"audit", nil, &inside.Error{Code: fault.AuditUnavailable, Message: "disk"},
			want{probe.NotMade, false, false, false, false},
		},
		{"other", nil, errors.New("else"), want{probe.NotMade, false, false, false, false}},
	} {
		r := probe.Judged(p, c.resp, c.err, now)
		up, upTold := r.Up()
		works, worksTold := r.Told()
		if got := (want{r.Verdict, up, upTold, works, worksTold}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	for body, expires := range map[string]time.Time{
		`{"token": {"expires_at": "2026-12-31"}}`:                              time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC),
		`{"token": {"expires_at": 1798718400000}}`:                             time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC),
		`{"token": {"expires_at": null}}`:                                      {},
		`{"token": {"expires_at": "never"}}`:                                   {},
		`{"token": {"expires_at": -1e400}}`:                                    {},
		`{"token": [`:                                                          {},
		strings.Repeat("[", 100_000):                                           {},
		strings.Repeat(" ", 2<<20) + `{"token": {"expires_at": "2026-12-31"}}`: {},
	} {
		if r := probe.Judged(p, response(200, body), nil, now); !r.Expires.Equal(expires) {
			t.Errorf("%.60q expires %v, want %v", body, r.Expires, expires)
		}
	}
}

// TestMoment is how APIs write when a key expires.
func TestMoment(t *testing.T) {
	want := time.Date(2026, 12, 28, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{
		"2026-12-28 12:00:00 UTC", "2026-12-28 13:00:00 +0100", "2026-12-28T12:00:00Z", "2026-12-28T12:00:00.000Z",
		"2026-12-28T12:00:00", "2026-12-28 12:00:00", "Mon, 28 Dec 2026 12:00:00 GMT", "1798459200", "1798459200000",
		" 2026-12-28T13:00:00+01:00 ",
	} {
		if got := probe.Moment(text); !got.Equal(want) {
			t.Errorf("%q is %v", text, got)
		}
	}
	for _, text := range []string{"", "0", "-5", "9223372036854775807", "99999-01-01", "tomorrow", "1e9"} {
		if got := probe.Moment(text); !got.IsZero() {
			t.Errorf("%q is %v, want nothing", text, got)
		}
	}
}

// TestWait: what works is looked at again after its time, what fails sooner, and never sooner than the API asks for. A
// refused credential is tried too seldom to lock an account.
func TestWait(t *testing.T) {
	hour := time.Hour
	p := &config.Probe{Test: config.Test{Status: []int{200}}}
	now := time.Now()
	limited := probe.Judged(p, response(429, "", "Retry-After", "7200"), nil, now)
	dated := probe.Judged(p, response(503, "", "Retry-After", now.Add(3*hour).UTC().Format(http.TimeFormat)), nil, now)
	forever := probe.Judged(p, response(429, "", "Retry-After", "999999999999"), nil, now)
	for _, c := range []struct {
		name        string
		r           probe.Result
		least, most time.Duration
	}{
		{"works", probe.Result{Verdict: probe.Works}, 54 * time.Minute, 66 * time.Minute},
		{"first failure", probe.Result{Verdict: probe.Down, Failures: 1}, 54 * time.Second, 66 * time.Second},
		{"third", probe.Result{Verdict: probe.Down, Failures: 3}, 216 * time.Second, 264 * time.Second},
		{"refused", probe.Result{Verdict: probe.Refused, Failures: 1}, 9 * time.Minute, 11 * time.Minute},
		{"refused again", probe.Result{Verdict: probe.Refused, Failures: 2}, 18 * time.Minute, 22 * time.Minute},
		{"refused long", probe.Result{Verdict: probe.Refused, Failures: 99}, 54 * time.Minute, 66 * time.Minute},
		{"hundredth", probe.Result{Verdict: probe.Down, Failures: 100}, 54 * time.Minute, 66 * time.Minute},
		{"limited", limited, 2 * hour, 2 * hour},
		{"dated", dated, 3*hour - time.Second, 3 * hour},
		{"for ever", forever, 24 * hour, 24 * hour},
	} {
		for _, chance := range []float64{0, 0.5, 1} {
			if got := probe.Wait(&c.r, hour, chance); got < c.least || got > c.most {
				t.Errorf("%s waits %v, want %v to %v", c.name, got, c.least, c.most)
			}
		}
	}
}
