package run_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport/internal/driver"
	drivermysql "sallyport/internal/driver/mysql"
	driverpostgres "sallyport/internal/driver/postgres"
	driverredis "sallyport/internal/driver/redis"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
	testmysql "sallyport/internal/testkit/mysql"
	testredis "sallyport/internal/testkit/redis"

	"github.com/go-sql-driver/mysql"
	"github.com/gomodule/redigo/redis"
	"github.com/jackc/pgx/v5"
)

// logins are a real server at which a login rotates.
type logins struct {
	driver driver.Driver
	first  secret.Value
	enter  func(ctx context.Context, value secret.Value) error // opens a connection with a value, and closes it
}

const (
	adminPassword = "admin-canary-3b1f"
	firstPassword = "first-canary-77"
	loginForm     = `{"user": "{user}", "password": "{password}"}`
)

func opened(t *testing.T, s driver.Settings) driver.Driver {
	t.Helper()
	d, err := s.Open(t.Context(), driver.Host{Secret: func(context.Context, secret.Ref) (secret.Value, error) {
		return secret.NewValue([]byte(adminPassword)), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readLogin(value secret.Value) (user, password string, err error) {
	login, err := (driver.Account{Template: loginForm}).Read(value, nil)
	return login.User, string(login.Password.Reveal()), err
}

func firstOf(user string) secret.Value {
	return secret.NewValue([]byte(`{"user": "` + user + `", "password": "` + firstPassword + `"}`))
}

func postgresLogins(t *testing.T) *logins {
	t.Helper()
	config, err := pgx.ParseConfig(postgres.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	root, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(context.Background())
	var rules string
	if err := root.QueryRow(t.Context(), "SHOW hba_file").Scan(&rules); err != nil {
		t.Fatal(err)
	}
	const text = "local all postgres trust\nlocal all all scram-sha-256\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, one := range []string{
		"SELECT pg_reload_conf()", "CREATE ROLE crm_a LOGIN PASSWORD '" + firstPassword + "'", "CREATE ROLE crm_b",
		"CREATE ROLE sallyport LOGIN CREATEROLE PASSWORD '" + adminPassword + "'",
		"GRANT crm_a, crm_b TO sallyport WITH ADMIN OPTION",
	} {
		if _, err := root.Exec(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	enter := func(ctx context.Context, value secret.Value) error {
		own := config.Copy()
		var err error
		if own.User, own.Password, err = readLogin(value); err != nil {
			return err
		}
		conn, err := pgx.ConnectConfig(ctx, own)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}
	return &logins{
		driver: opened(t, &driverpostgres.Settings{
			Address: config.Host, Users: []string{"crm_a", "crm_b"}, AdminUser: "sallyport",
		}),
		first: firstOf("crm_a"), enter: enter,
	}
}

var my testmysql.Shared

// runs is what a server's Main runs.
type runs func() int

func (r runs) Run() int { return r() }

// mysqlLogins are two users that take turns, or one with two passwords.
func mysqlLogins(t *testing.T, dual bool) *logins {
	t.Helper()
	socket := my.Socket(t)
	as := func(user, password string) *sql.DB {
		config := mysql.NewConfig()
		config.Net, config.Addr, config.User, config.Passwd = "unix", socket, user, password
		connector, err := mysql.NewConnector(config)
		if err != nil {
			t.Fatal(err)
		}
		return sql.OpenDB(connector)
	}
	root := as("root", "")
	defer root.Close()
	for _, one := range []string{
		"DROP USER IF EXISTS crm_a, crm_b, sallyport", "CREATE USER crm_a IDENTIFIED BY '" + firstPassword + "'",
		"CREATE USER crm_b ACCOUNT LOCK", "CREATE USER sallyport IDENTIFIED BY '" + adminPassword + "'",
		"GRANT CREATE USER, PROCESS ON *.* TO sallyport", "GRANT SELECT ON mysql.* TO sallyport",
	} {
		if _, err := root.ExecContext(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	s := &drivermysql.Settings{
		Address: socket, Users: []string{"crm_a", "crm_b"}, AdminUser: "sallyport",
		Account: driver.Account{Template: loginForm},
	}
	if s.Dual = dual; dual {
		s.Users = s.Users[:1]
	}
	return &logins{opened(t, s), firstOf("crm_a"), func(ctx context.Context, value secret.Value) error {
		user, password, err := readLogin(value)
		if err != nil {
			return err
		}
		db := as(user, password)
		return errors.Join(db.PingContext(ctx), db.Close())
	}}
}

func redisLogins(t *testing.T) *logins {
	t.Helper()
	server := testredis.Start(t, "aclfile DIR/users.acl")
	root, err := redis.DialContext(t.Context(), "unix", server.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, one := range [][]any{
		{"SETUSER", "crm", "on", ">" + firstPassword, "+@read"},
		{"SETUSER", "sallyport", "on", ">" + adminPassword, "+@all"},
	} {
		if _, err := root.Do("ACL", one...); err != nil {
			t.Fatal(err)
		}
	}
	enter := func(ctx context.Context, value secret.Value) error {
		user, password, err := readLogin(value)
		if err != nil {
			return err
		}
		conn, err := redis.DialContext(ctx, "unix", server.Socket)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Do("AUTH", user, password)
		return err
	}
	return &logins{
		driver: opened(t, &driverredis.Settings{
			Addresses: []string{server.Socket}, User: "crm", AdminUser: "sallyport",
			Account: driver.Account{Template: loginForm},
		}),
		first: firstOf("crm"), enter: enter,
	}
}

// consumer opens one connection after another, each with the value that is current in the store when it begins.
type consumer struct {
	mu       sync.Mutex
	moved    *sync.Cond
	turns    int // that have ended
	failures []error
	stop     bool
}

func consume(t *testing.T, l *logins, store *builtin.Store) *consumer {
	t.Helper()
	c := new(consumer)
	c.moved = sync.NewCond(&c.mu)
	ctx := context.WithoutCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for c.ended(l.use(ctx, store)) {
			continue
		}
	})
	t.Cleanup(func() {
		c.mu.Lock()
		c.stop = true
		c.mu.Unlock()
		running.Wait()
	})
	return c
}

func (l *logins) use(ctx context.Context, store *builtin.Store) error {
	value, _, err := store.Get(ctx, "crm", "")
	if err != nil {
		return err
	}
	return l.enter(ctx, value)
}

// ended counts, and tells whether there is to be another turn.
func (c *consumer) ended(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns++
	if err != nil {
		c.failures = append(c.failures, err)
	}
	c.moved.Broadcast()
	return !c.stop
}

// turn waits until a turn has begun and ended since: what it used is what was current then, or newer.
func (c *consumer) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for from := c.turns; c.turns < from+2; {
		c.moved.Wait()
	}
}

// sabotage has one step fail, before it has its effect or after.
type sabotage struct {
	driver.Driver
	run.Secret
	at    string
	after bool
}

var errSabotage = errors.New("sabotage")

func (s *sabotage) do(step string, effect func() error) error {
	if s.at == step && !s.after {
		return errSabotage
	}
	err := effect()
	if s.at == step && err == nil {
		return errSabotage
	}
	return err
}

func (s *sabotage) Create(ctx context.Context, job driver.Job) (made driver.Made, err error) {
	err = s.do("create", func() error {
		made, err = s.Driver.Create(ctx, job)
		return err
	})
	return made, err
}

func (s *sabotage) Set(ctx context.Context, job driver.Job, made driver.Made) error {
	return s.do("set", func() error { return s.Driver.Set(ctx, job, made) })
}

// Test implements driver.Driver.
func (s *sabotage) Test(ctx context.Context, job driver.Job, made driver.Made) error {
	return s.do("test", func() error { return s.Driver.Test(ctx, job, made) })
}

func (s *sabotage) Stage(ctx context.Context, id string, value secret.Value) error {
	return s.do("stage", func() error { return s.Secret.Stage(ctx, id, value) })
}

func (s *sabotage) Promote(ctx context.Context, value secret.Value, expected string) (version string, err error) {
	err = s.do("promote", func() error {
		version, err = s.Secret.Promote(ctx, value, expected)
		return err
	})
	return version, err
}

// entrance is a gate whose one replica opens a connection.
type entrance struct {
	l *logins
	s *sabotage
}

func (g entrance) Test(ctx context.Context, _ string, value secret.Value) ([]run.Verdict, error) {
	verdict := run.Verdict{Replica: "a"}
	if g.s.do("gate", func() error { return g.l.enter(ctx, value) }) != nil {
		verdict.Failure = "the login failed"
	}
	return []run.Verdict{verdict}, nil
}

func (entrance) Spread(context.Context, string) ([]string, error) { return nil, nil }

// TestLogins: while logins of real servers rotate, and while the rotation is sabotaged at each of its steps, a
// consumer that opens connections with the current value is never refused.
func TestLogins(t *testing.T) {
	all := map[string]func(t *testing.T) *logins{"postgres": postgresLogins, "redis": redisLogins}
	if !testmysql.Forgone(t) {
		all["mysql"] = func(t *testing.T) *logins { t.Helper(); return mysqlLogins(t, false) }
		all["mysql, dual"] = func(t *testing.T) *logins { t.Helper(); return mysqlLogins(t, true) }
	}
	for name, start := range all {
		t.Run(name, func(t *testing.T) { rotateLogins(t, start(t)) })
	}
}

func rotateLogins(t *testing.T, l *logins) {
	t.Helper()
	p := newPlace(t, filepath.Join(t.TempDir(), "state.db"))
	store := builtin.New(p.db, p.sealer)
	if _, err := store.Put(t.Context(), "crm", l.first); err != nil {
		t.Fatal(err)
	}
	c := consume(t, l, store)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	engine := &run.Engine{
		Journal: run.NewJournal(p.db, p.sealer, run.NewLedger(p.sealer), func() time.Time { return now }),
		Owner:   "one", Now: func() time.Time { return now }, Watch: func(e run.Entry) {
			if e.Tries == 0 { // between two steps
				c.turn()
			}
		},
	}
	for _, s := range []*sabotage{
		{},
		{at: "create"},
		{at: "stage"},
		{at: "stage", after: true},
		{at: "set"},
		{at: "set", after: true},
		{},
		{at: "test"},
		{at: "test", after: true},
		{at: "gate"},
		{at: "promote"},
		{at: "promote", after: true},
		{},
	} {
		s.Driver, s.Secret = l.driver, &run.Stored{Store: store, Ref: secret.Ref{Store: "builtin", Path: "crm"}}
		plan := &run.Plan{Name: "crm", Driver: s, Secret: s, Gate: entrance{l, s}, Grace: 5 * time.Minute}
		before, _, err := store.Get(t.Context(), "crm", "")
		if err != nil {
			t.Fatal(err)
		}
		e, err := engine.Rotate(t.Context(), plan, run.Request{})
		if err != nil && !e.Ended() { // there is no way back, so it waits until the cause is mended
			s.at = ""
			e, err = engine.Resume(t.Context(), plan)
		}
		// The server may still have a session of the consumer's, and refuses then: another look sees it gone.
		for looks := 0; !e.Ended() && looks < 20; looks++ {
			now = now.Add(5 * time.Minute)
			c.turn()
			e, err = engine.Resume(t.Context(), plan)
		}
		l.ended(t, s, e, err, before, store)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) > 0 {
		t.Errorf("%d of %d connections were refused, the first with %v", len(c.failures), c.turns,
			c.failures[0])
	}
	t.Logf("%d connections", c.turns)
}

// ended checks how a run came out: with the new value, or with the old one, and never with more than one key.
func (l *logins) ended(t *testing.T, s *sabotage, e run.Entry, err error, before secret.Value, store *builtin.Store) {
	t.Helper()
	what := "sabotage of " + s.at
	want := run.StateRolledBack
	if s.at == "" {
		want = run.StateDone
	}
	if e.State != want || (err == nil) != (want == run.StateDone) {
		t.Errorf("%s, after its effect %t: the run is %s at %q, %v; want %s", what, s.after, e.State, e.Step, err, want)
	}
	value, _, err := store.Get(t.Context(), "crm", "")
	if err != nil || value.Equal(before) != (want == run.StateRolledBack) {
		t.Errorf("%s: the old value is current: %t, %v", what, value.Equal(before), err)
	}
	keys, err := l.driver.Keys(t.Context(), driver.Job{Rotation: "crm", Current: value})
	if err != nil || len(keys) != 1 {
		t.Errorf("%s: keys %v, %v", what, keys, err)
	}
	if old := l.enter(t.Context(), before); (old == nil) != (want == run.StateRolledBack) {
		t.Errorf("%s: logging in with the old value: %v", what, old)
	}
}
