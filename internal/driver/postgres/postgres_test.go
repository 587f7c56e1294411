package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/postgres"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/testkit"
	"sallyport/internal/testkit/link"

	"github.com/jackc/pgx/v5"
)

var server testkit.Postgres

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// bed is a server on which everybody but the superuser has to say a password, and on whose log every statement stands.
type bed struct {
	t     *testing.T
	trap  *link.Trap
	root  *pgx.Conn
	url   string
	admin string // its password
}

var prepare sync.Once

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, url: server.URL(t), admin: "admin-canary-3b1f"}
	var err error
	if b.root, err = pgx.Connect(t.Context(), b.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.root.Close(context.Background()) })
	prepare.Do(func() { b.secured() })
	b.exec("SET log_statement = 'none'") // the tests' own statements have passwords
	b.trap = server.Trap(t)
	return b
}

func (b *bed) secured() {
	var file string
	if err := b.root.QueryRow(b.t.Context(), "SHOW hba_file").Scan(&file); err != nil {
		b.t.Fatal(err)
	}
	rules := "local all postgres trust\nlocal all all scram-sha-256\n"
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.exec("ALTER SYSTEM SET log_statement = 'all'", "ALTER SYSTEM SET log_connections = on",
		"ALTER SYSTEM SET log_parameter_max_length_on_error = -1", "SELECT pg_reload_conf()")
}

func (b *bed) exec(statements ...string) {
	b.t.Helper()
	for _, one := range statements {
		if _, err := b.root.Exec(b.t.Context(), one); err != nil {
			b.t.Fatalf("%s: %v", one, err)
		}
	}
}

// page runs the statements of the n-th block of SQL of the driver's page, from 0.
func (b *bed) page(n int) {
	b.t.Helper()
	blocks := strings.Split(postgres.Kind().Page, "```sql\n")
	block, _, _ := strings.Cut(blocks[n+1], "```")
	for one := range strings.SplitSeq(strings.ReplaceAll(block, "'…'", "'"+b.admin+"'"), ";\n") {
		if strings.TrimSpace(one) != "" {
			b.exec(one)
		}
	}
}

func (b *bed) version() (n int) {
	b.t.Helper()
	const query = "SELECT current_setting('server_version_num')::int / 10000"
	if err := b.root.QueryRow(b.t.Context(), query).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// users makes two users and their administrator, as the page says, with names of their own.
func (b *bed) users(a, z string) postgres.Settings {
	b.t.Helper()
	admin := "admin of " + a
	q := func(s string) string { return pgx.Identifier{s}.Sanitize() }
	b.exec("CREATE ROLE "+q(a)+" LOGIN PASSWORD 'first-canary-77'", "CREATE ROLE "+q(z)+" NOLOGIN",
		"CREATE ROLE "+q(admin)+" LOGIN CREATEROLE PASSWORD '"+b.admin+"'")
	if b.version() >= 16 {
		b.exec("GRANT " + q(a) + ", " + q(z) + " TO " + q(admin) + " WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
	}
	return postgres.Settings{Users: []string{a, z}, AdminUser: admin}
}

func (b *bed) open(s postgres.Settings) driver.Driver {
	b.t.Helper()
	s.Address, s.TLS = b.trap.Address(), driver.TLSOff
	if s.AdminUser != "" {
		s.AdminPassword = secret.Ref{Store: "builtin", Path: "admin"}
	}
	d, err := s.Open(b.t.Context(), driver.Host{Secret: func(_ context.Context, ref secret.Ref) (secret.Value, error) {
		if ref.Path != "admin" {
			return secret.Value{}, secret.ErrNotFound
		}
		return secret.NewValue([]byte(b.admin)), nil
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func value(user, password string) secret.Value {
	return secret.NewValue(fmt.Appendf(nil, `{"user": %q, "password": %q}`, user, password))
}

func jobOf(current secret.Value, old string) driver.Job {
	return driver.Job{Rotation: "crm", Run: "0123456789abcdefghij", Current: current, OldKey: old}
}

// login logs in with a value at the server itself.
func (b *bed) login(v secret.Value) error {
	b.t.Helper()
	got, err := (driver.Account{}).Read(v, []string{"x", "y"})
	if err != nil {
		b.t.Fatal(err)
	}
	config, err := pgx.ParseConfig(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	config.User, config.Password = got.User, string(got.Password.Reveal())
	conn, err := pgx.ConnectConfig(b.t.Context(), config)
	if err != nil {
		return err
	}
	return conn.Close(b.t.Context())
}

// alone waits until the server has ended the sessions of a user that the test has closed.
func (b *bed) alone(user string) {
	b.t.Helper()
	for n := 1; n > 0; {
		err := b.root.QueryRow(b.t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", user).Scan(&n)
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bed) works(v secret.Value, want bool) {
	b.t.Helper()
	if err := b.login(v); (err == nil) != want {
		b.t.Errorf("logging in: %v, want it to work: %t", err, want)
	}
}

// clean wants no byte of a password in the server's log.
func (b *bed) clean(values ...secret.Value) {
	b.t.Helper()
	mark := "all until " + rand.Text()
	b.exec("SET log_statement = 'all'", "SELECT '"+mark+"'", "SET log_statement = 'none'")
	log := server.Log(b.t, mark)
	if !strings.Contains(log, "SCRAM-SHA-256$4096:") {
		b.t.Error("the log does not have the statements")
	}
	for _, v := range values {
		login, err := (driver.Account{}).Read(v, []string{"x", "y"})
		if err != nil || strings.Contains(log, string(login.Password.Reveal())) {
			b.t.Errorf("the server's log has the password (%v)", err)
		}
	}
}

// TestTurns: the user that is not in use gets a password, and the other one is shut out once it retires.
func TestTurns(t *testing.T) {
	b := newBed(t)
	a, z := `App "A"; DROP ROLE 'ä'-\ `, `app b`
	d := b.open(b.users(a, z))
	current := value(a, "first-canary-77")
	b.exec(`COMMENT ON ROLE ` + pgx.Identifier{z}.Sanitize() + ` IS 'for the CRM'`)
	for round, users := range [][2]string{{a, z}, {z, a}, {a, z}} {
		old, next := users[0], users[1]
		job := jobOf(current, old)
		keys, err := d.Keys(t.Context(), job)
		if err != nil || len(keys) != 1 || keys[0].ID != old {
			t.Fatalf("round %d: keys %v, %v", round, keys, err)
		}
		made, err := d.Create(t.Context(), job)
		if err != nil || made.Key.ID != next {
			t.Fatalf("round %d: made %q, %v", round, made.Key.ID, err)
		}
		if err := d.Test(t.Context(), job, made); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("round %d: before it is set: %v", round, err)
		}
		for range 2 {
			if err := errors.Join(d.Set(t.Context(), job, made), d.Test(t.Context(), job, made)); err != nil {
				t.Fatalf("round %d: %v (%s)", round, err, fault.HintOf(err))
			}
			b.works(current, true)
			b.works(made.Value, true)
		}
		keys, err = d.Keys(t.Context(), job)
		if err != nil || len(keys) != 2 || keys[slices.IndexFunc(keys,
			func(k driver.Key) bool { return k.ID == next })].Label != job.Label() {
			t.Errorf("round %d: keys %v, %v", round, keys, err)
		}
		job.Current = made.Value
		b.alone(old)
		for range 2 {
			if err := d.Delete(t.Context(), job, old); err != nil {
				t.Fatalf("round %d: %v (%s)", round, err, fault.HintOf(err))
			}
		}
		b.works(current, false)
		b.works(made.Value, true)
		b.clean(current, made.Value)
		current = made.Value
	}
	var comment string
	err := b.root.QueryRow(t.Context(), "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1",
		z).Scan(&comment)
	if err != nil || comment != "for the CRM ["+jobOf(current, "").Label()+"]" {
		t.Errorf("the comment is %q, %v", comment, err)
	}
}

// TestPage: the rights and the example of the page do, with the owner, and what the users create belongs to both.
func TestPage(t *testing.T) {
	b := newBed(t)
	b.page(0)
	if b.version() >= 16 {
		b.page(1)
	}
	b.exec("ALTER ROLE crm_a LOGIN PASSWORD 'first'")
	t.Cleanup(func() {
		_, _ = b.root.Exec(context.Background(),
			"DROP OWNED BY crm_owner; DROP ROLE crm_a, crm_b, crm_owner, sallyport")
	})
	b.exec("GRANT CREATE ON SCHEMA public TO crm_owner")
	var database string
	if err := b.root.QueryRow(t.Context(), "SELECT current_database()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	s := drivertest.Example(t, postgres.Kind()).(*postgres.Settings)
	s.EndSessions, s.Database = true, database
	d := b.open(*s)
	current, old := value("crm_a", "first"), "crm_a"
	for round := range 3 {
		job := jobOf(current, old)
		made, err := d.Create(t.Context(), job)
		if err == nil {
			err = errors.Join(d.Set(t.Context(), job, made), d.Test(t.Context(), job, made))
		}
		if err != nil {
			t.Fatalf("round %d: %v (%s)", round, err, fault.HintOf(err))
		}
		config := b.root.Config().Copy()
		login, err := (driver.Account{}).Read(made.Value, []string{"crm_a", "crm_b"})
		if err != nil {
			t.Fatal(err)
		}
		config.User, config.Password = login.User, string(login.Password.Reveal())
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS notes (n int); ALTER TABLE notes ADD c"+
			fmt.Sprint(round)+" int"); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		job.Current = made.Value
		if err := d.Delete(t.Context(), job, old); err != nil {
			t.Fatalf("round %d: %v (%s)", round, err, fault.HintOf(err))
		}
		current, old = made.Value, made.Key.ID
	}
}
