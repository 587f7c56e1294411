package mysql_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/mysql"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/link"
	"sallyport/internal/testkit/mariadb"
	testmysql "sallyport/internal/testkit/mysql"

	client "github.com/go-sql-driver/mysql"
)

var (
	maria mariadb.Server
	my    testmysql.Shared
)

func TestMain(m *testing.M) { os.Exit(maria.Main(mains(func() int { return my.Main(m) }))) }

type mains func() int

func (run mains) Run() int { return run() }

const (
	adminPassword = "admin-canary-3b1f"
	first         = "first-canary-77"
)

// bed is a server whose log has every statement, with the administrator of the driver's page.
type bed struct {
	t      *testing.T
	my     bool
	socket string
	log    string
	root   *sql.DB
	trap   *link.Trap
}

// onBoth runs test on MySQL and on MariaDB.
func onBoth(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Run("MariaDB", func(t *testing.T) {
		maria.Config(t)
		test(t, newBed(t, maria.Socket(), false))
	})
	if !testmysql.Forgone(t) {
		t.Run("MySQL", func(t *testing.T) { test(t, newBed(t, my.Socket(t), true)) })
	}
}

func newBed(t *testing.T, socket string, isMy bool) *bed {
	t.Helper()
	b := &bed{t: t, my: isMy, socket: socket, log: filepath.Join(filepath.Dir(socket), "statements")}
	b.trap = link.NewUnixTrap(t, filepath.Join(filepath.Dir(socket), rand.Text()[:6]), socket)
	config := client.NewConfig()
	config.Net, config.Addr, config.User = "unix", socket, "root"
	connector, err := client.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	b.root = sql.OpenDB(connector)
	b.root.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = b.root.Close() })
	b.exec("SET SESSION sql_log_off = ON", // the tests' own statements have passwords
		"SET GLOBAL general_log_file = '"+b.log+"'", "SET GLOBAL general_log = ON", "DROP USER IF EXISTS sallyport")
	b.page()
	return b
}

// page runs the statements of the driver's page.
func (b *bed) page() {
	b.t.Helper()
	_, block, _ := strings.Cut(mysql.Kind().Page, "```sql\n")
	block, _, _ = strings.Cut(block, "```")
	for one := range strings.SplitSeq(strings.ReplaceAll(block, "'…'", "'"+adminPassword+"'"), ";\n") {
		if strings.TrimSpace(one) != "" {
			b.exec(one)
		}
	}
}

func (b *bed) exec(statements ...string) {
	b.t.Helper()
	for _, one := range statements {
		if _, err := b.root.ExecContext(b.t.Context(), one); err != nil {
			b.t.Fatalf("%s: %v", one, err)
		}
	}
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`@`%`" }

// user makes an account with a password; "": it is locked.
func (b *bed) user(name, password string) {
	b.t.Helper()
	b.exec("DROP USER IF EXISTS " + quote(name))
	if password == "" {
		b.exec("CREATE USER " + quote(name) + " ACCOUNT LOCK")
		return
	}
	b.exec("CREATE USER " + quote(name) + " IDENTIFIED BY '" + password + "'")
}

func (b *bed) open(s mysql.Settings) driver.Driver {
	b.t.Helper()
	s.Address, s.TLS, s.AdminUser = b.trap.Address(), driver.TLSOff, "sallyport"
	return b.opened(s, adminPassword)
}

func (b *bed) opened(s mysql.Settings, password string) driver.Driver {
	b.t.Helper()
	d, err := s.Open(b.t.Context(), driver.Host{Secret: func(context.Context, secret.Ref) (secret.Value, error) {
		return secret.NewValue([]byte(password)), nil
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
	return driver.Job{Rotation: "crm", Run: strings.ToLower(rand.Text())[:20], Current: current, OldKey: old}
}

const template = `{"user": "{user}", "password": "{password}"}`

func (b *bed) works(v secret.Value, want bool) {
	b.t.Helper()
	if err := b.login(v); (err == nil) != want {
		b.t.Errorf("logging in: %v, want it to work: %t", err, want)
	}
}

// alone waits until the server has ended the sessions of a value's user that the test has closed.
func (b *bed) alone(v secret.Value) {
	b.t.Helper()
	login, err := (driver.Account{Template: template}).Read(v, nil)
	for n := 1; n > 0 && err == nil; {
		const query = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = ?"
		err = b.root.QueryRowContext(b.t.Context(), query, login.User).Scan(&n)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) says(what string, err, want error, hint string) {
	b.t.Helper()
	if !errors.Is(err, want) || !strings.Contains(fault.HintOf(err), hint) {
		b.t.Errorf("%s: got %v (%s), want %v with a hint about %q", what, err, fault.HintOf(err), want, hint)
	}
	if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "canary") {
		b.t.Errorf("%s: it tells a password: %v", what, err)
	}
}

// clean wants the statements in the server's log, and no password.
func (b *bed) clean(values ...secret.Value) {
	b.t.Helper()
	text, err := os.ReadFile(b.log)
	if err != nil || !strings.Contains(string(text), "ALTER USER") {
		b.t.Errorf("the log does not have the statements (%v)", err)
	}
	for _, v := range values {
		login, err := (driver.Account{Template: template}).Read(v, nil)
		if err != nil || strings.Contains(string(text), string(login.Password.Reveal())) {
			b.t.Errorf("the server's log has the password (%v)", err)
		}
	}
}

// round is one rotation as a run does it, each step twice.
func (b *bed) round(d driver.Driver, current secret.Value) secret.Value {
	b.t.Helper()
	t := b.t
	keys, err := d.Keys(t.Context(), jobOf(current, ""))
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v, %v (%s)", keys, err, fault.HintOf(err))
	}
	job := jobOf(current, keys[0].ID)
	made, err := d.Create(t.Context(), job)
	if err != nil || made.Key.ID == keys[0].ID {
		t.Fatalf("made %q, %v", made.Key.ID, err)
	}
	b.says("before it is set", d.Test(t.Context(), job, made), driver.ErrRefused, "password")
	set := func() {
		for range 2 {
			if err := errors.Join(d.Set(t.Context(), job, made), d.Test(t.Context(), job, made)); err != nil {
				t.Fatalf("%v (%s)", err, fault.HintOf(err))
			}
			b.works(current, true)
			b.works(made.Value, true)
		}
	}
	set()
	for range 2 {
		if err := d.Delete(t.Context(), job, made.Key.ID); err != nil {
			t.Fatalf("undo: %v (%s)", err, fault.HintOf(err))
		}
		b.works(current, true)
		b.works(made.Value, false)
	}
	set()
	if keys, err := d.Keys(t.Context(), job); err != nil || len(keys) != 2 {
		t.Errorf("keys %v, %v", keys, err)
	}
	b.says("the current one", d.Delete(t.Context(), job, job.OldKey), driver.ErrRefused, "store")
	b.works(current, true)
	job.Current = made.Value
	b.alone(current)
	for range 2 {
		if err := d.Delete(t.Context(), job, job.OldKey); err != nil {
			t.Fatalf("retire: %v (%s)", err, fault.HintOf(err))
		}
		b.works(current, false)
		b.works(made.Value, true)
	}
	b.clean(current, made.Value)
	return made.Value
}

// TestTurns: the user that is not in use gets a password, and the other one is locked once it retires.
func TestTurns(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		a, z := "a`p'p\"ä\\ ; --", "app b"
		b.user(a, first)
		b.user(z, "")
		d := b.open(mysql.Settings{Users: []string{a, z}})
		current := value(a, first)
		for range 3 {
			current = b.round(d, current)
		}
	})
}

// TestDual: MySQL's one user has two passwords.
func TestDual(t *testing.T) {
	if testmysql.Forgone(t) {
		return
	}
	b := newBed(t, my.Socket(t), true)
	b.user("dual", first)
	d := b.open(mysql.Settings{
		Users: []string{"dual"}, Dual: true, Account: driver.Account{Template: template, Alphabet: "printable"},
	})
	current := value("dual", first)
	for range 3 {
		current = b.round(d, current)
	}
	job := jobOf(current, "")
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	set := func() error { return d.Set(t.Context(), job, made) }
	b.exec("ALTER USER " + quote("dual") + " IDENTIFIED BY 'by-hand' RETAIN CURRENT PASSWORD")
	b.says("two already", set(), driver.ErrLimit, "DISCARD OLD PASSWORD")
	b.works(current, true)
	b.exec("ALTER USER " + quote("dual") + " DISCARD OLD PASSWORD")
	b.says("another password than the store's", set(), driver.ErrRefused, "store")
	b.works(value("dual", "by-hand"), true)
	keys, err := d.Keys(t.Context(), job)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	b.says("the only one", d.Delete(t.Context(), job, keys[0].ID), driver.ErrRefused, "store")

	maria.Config(t)
	other := newBed(t, maria.Socket(), false)
	other.user("dual", first)
	d = other.open(mysql.Settings{Users: []string{"dual"}, Dual: true})
	job.Current = secret.NewValue([]byte(first))
	if made, err = d.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	other.says("MariaDB", d.Set(t.Context(), job, made), driver.ErrRefused, "two users")
}

// TestInPlace: the password of one user is replaced, and put back.
func TestInPlace(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		b.user("place", first)
		d := b.open(mysql.Settings{Users: []string{"place"}, Account: driver.Account{Template: template}})
		job := jobOf(value("place", first), "")
		made, err := d.Create(t.Context(), job)
		if err != nil || d.Capabilities().MaxKeys != 1 {
			t.Fatal(err)
		}
		for range 2 {
			if err := errors.Join(d.Set(t.Context(), job, made), d.Test(t.Context(), job, made)); err != nil {
				t.Fatal(err)
			}
			b.works(job.Current, false)
		}
		for range 2 {
			if err := d.Undo(t.Context(), job, made); err != nil {
				t.Fatal(err)
			}
			b.works(job.Current, true)
			b.works(made.Value, false)
		}
		b.clean(made.Value, job.Current)
	})
}

// TestLost: a connection that is lost at any message leaves what another attempt ends, and the current value works all
// the time.
func TestLost(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		b.user("lost_a", first)
		b.user("lost_b", "")
		b.lost(mysql.Settings{Users: []string{"lost_a", "lost_b"}}, value("lost_a", first), func() {
			b.user("lost_a", first)
			b.user("lost_b", "")
		})
		if b.my {
			s := mysql.Settings{Users: []string{"lost"}, Dual: true, Account: driver.Account{Template: template}}
			b.user("lost", first)
			b.lost(s, value("lost", first), func() { b.user("lost", first) })
		}
	})
}

func (b *bed) lost(s mysql.Settings, current secret.Value, fresh func()) {
	b.t.Helper()
	t := b.t
	d := b.open(s)
	for _, name := range []string{"set", "undo", "retire"} {
		for n, sprung := 1, true; sprung; n++ {
			for _, answered := range []bool{false, true} {
				fresh()
				keys, err := d.Keys(t.Context(), jobOf(current, ""))
				if err != nil {
					t.Fatal(err)
				}
				job := jobOf(current, keys[0].ID)
				made, err := d.Create(t.Context(), job)
				if err == nil && name != "set" {
					err = d.Set(t.Context(), job, made)
				}
				if err != nil {
					t.Fatal(err)
				}
				step := map[string]func() error{
					"set":    func() error { return d.Set(t.Context(), job, made) },
					"undo":   func() error { return d.Delete(t.Context(), job, made.Key.ID) },
					"retire": func() error { return d.Delete(t.Context(), job, job.OldKey) },
				}[name]
				if name == "retire" {
					job.Current = made.Value
					b.alone(current)
				}
				b.trap.Set(n, answered)
				err = step()
				sprung = b.trap.Sprung()
				b.trap.Set(0, false)
				if err != nil && (!errors.Is(err, driver.ErrUnclear) || driver.Certain(err)) {
					t.Errorf("%s, message %d, answered %t: %v", name, n, answered, err)
				}
				if !sprung && n < 4 {
					t.Errorf("%s has %d messages, which cannot be all", name, n-1)
				}
				b.works(job.Current, true)
				if name == "retire" {
					b.alone(current)
				}
				if err := step(); err != nil {
					t.Fatalf("%s again, message %d, answered %t: %v (%s)", name, n, answered, err, fault.HintOf(err))
				}
				b.works(current, name != "retire")
				b.works(made.Value, name != "undo")
			}
		}
	}
}

// TestTwoAtOnce: the same step, several times at once, comes to one end.
func TestTwoAtOnce(t *testing.T) {
	if testmysql.Forgone(t) {
		return
	}
	b := newBed(t, my.Socket(t), true)
	b.user("twice", first)
	d := b.open(mysql.Settings{Users: []string{"twice"}, Dual: true, Account: driver.Account{Template: template}})
	job := jobOf(value("twice", first), "")
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	for name, step := range map[string]func() error{
		"set": func() error { return d.Set(t.Context(), job, made) },
	} {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := step(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		all.Wait()
	}
	b.works(made.Value, true)
	b.works(job.Current, true)
}

// TestRefused: what the server refuses had no effect, and the hint names what to do.
func TestRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		b.user("refused_a", first)
		b.user("refused_b", "")
		s := mysql.Settings{Users: []string{"refused_a", "refused_b"}}
		d := b.open(s)
		job := jobOf(value("refused_a", first), "refused_a")
		made, err := d.Create(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		set := func() error { return d.Set(t.Context(), job, made) }

		b.exec("REVOKE ALL PRIVILEGES, GRANT OPTION FROM sallyport")
		err = set()
		b.says("no rights", err, driver.ErrRefused, "GRANT CREATE USER, PROCESS")
		for one := range strings.SplitSeq(strings.TrimPrefix(fault.HintOf(err), "as root: "), "; ") {
			b.exec(one)
		}
		b.exec("CREATE ROLE IF NOT EXISTS refused_role")
		for _, c := range []struct{ do, undo, want string }{
			{"GRANT SELECT ON mysql.db TO refused_a", "REVOKE SELECT ON mysql.db FROM refused_a", "GRANT SELECT"},
			{"GRANT refused_role TO refused_a", "REVOKE refused_role FROM refused_a", "refused_role"},
		} {
			b.exec(c.do)
			err := set()
			b.says(c.do, err, driver.ErrRefused, "same to both")
			if err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.do, err)
			}
			b.exec(c.undo)
		}
		b.exec("DROP USER refused_b")
		b.says("no such user", set(), driver.ErrRefused, "CREATE USER `refused_b`@`%`")
		if err := d.Delete(t.Context(), job, "refused_b"); err != nil {
			t.Errorf("deleting what is not there: %v", err)
		}
		b.user("refused_b", "")
		b.exec("SET GLOBAL read_only = ON")
		b.says("a replica", set(), driver.ErrRefused, "primary")
		b.exec("SET GLOBAL read_only = OFF")
		s.Address, s.TLS, s.AdminUser = b.trap.Address(), driver.TLSOff, "sallyport"
		b.says("the administrator's password", b.opened(s, "another-canary").Set(t.Context(), job, made),
			driver.ErrRefused, "password")
		s.Address = b.socket + "-away"
		b.says("away", b.opened(s, adminPassword).Set(t.Context(), job, made), driver.ErrUnclear, "running")
		b.says("another user", d.Delete(t.Context(), job, "root"), driver.ErrRefused, "by hand")
		b.works(job.Current, true)
		b.works(made.Value, false)
		if err := set(); err != nil {
			t.Errorf("with all rights: %v", err)
		}
		b.retired(d, job, made)
	})
}

// retired: a user that a program is logged in as is not locked, nor when its sessions cannot be seen.
func (b *bed) retired(d driver.Driver, job driver.Job, made driver.Made) {
	b.t.Helper()
	config := client.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd = "unix", b.socket, "refused_a", first
	connector, err := client.NewConnector(config)
	if err != nil {
		b.t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	if err := db.PingContext(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	job.Current = made.Value
	b.says("a session is open", d.Delete(b.t.Context(), job, "refused_a"), driver.ErrRefused, "KILL")
	b.exec("REVOKE PROCESS ON *.* FROM sallyport")
	b.says("sessions cannot be seen", d.Delete(b.t.Context(), job, "refused_a"), driver.ErrRefused, "PROCESS")
	b.works(value("refused_a", first), true)
	_ = db.Close()
}
