package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/postgres"
	"sallyport/internal/fault"
	"sallyport/internal/secret"

	"github.com/jackc/pgx/v5"
)

func hostWith(password string) driver.Host {
	return driver.Host{Secret: func(context.Context, secret.Ref) (secret.Value, error) {
		return secret.NewValue([]byte(password)), nil
	}}
}

// says wants an error of a kind, with a hint, and without any password.
func (b *bed) says(what string, err, want error, hint string) {
	b.t.Helper()
	if !errors.Is(err, want) || !strings.Contains(fault.HintOf(err), hint) {
		b.t.Errorf("%s: got %v (%s), want %v with a hint about %q", what, err, fault.HintOf(err), want, hint)
	}
	if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "canary") {
		b.t.Errorf("%s: it tells a password: %v", what, err)
	}
}

// TestRefused: what the server refuses had no effect, and the hint names what to do.
func TestRefused(t *testing.T) {
	b := newBed(t)
	s := b.users("refused_a", "refused_b")
	current := value("refused_a", "first-canary-77")
	job := jobOf(current, "refused_a")
	d := b.open(s)
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	set := func() error { return d.Set(t.Context(), job, made) }

	b.exec(`ALTER ROLE "admin of refused_a" NOCREATEROLE`)
	err = set()
	b.says("no rights", err, driver.ErrRefused, `ALTER ROLE "admin of refused_a" CREATEROLE`)
	grant, _, _ := strings.Cut(strings.TrimPrefix(fault.HintOf(err), "as a superuser: "), ";")
	b.exec(grant)

	b.exec(`ALTER ROLE refused_b VALID UNTIL '2001-01-01'`)
	b.says("a user whose time is over", set(), driver.ErrRefused, "VALID UNTIL 'infinity'")
	b.exec(`ALTER ROLE refused_b VALID UNTIL 'infinity'`)

	b.exec(`ALTER ROLE "admin of refused_a" SET default_transaction_read_only = on`)
	b.says("a standby", set(), driver.ErrRefused, "primary")
	b.exec(`ALTER ROLE "admin of refused_a" RESET ALL`)

	b.exec(`ALTER ROLE refused_b RENAME TO refused_c`)
	b.says("no such user", set(), driver.ErrRefused, `CREATE ROLE "refused_b"`)
	if err := d.Delete(t.Context(), job, "refused_b"); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	b.exec(`ALTER ROLE refused_c RENAME TO refused_b`)

	right := b.admin
	b.admin = "another-canary"
	b.says("the administrator's password", set(), driver.ErrRefused, "pg_hba.conf")
	b.admin = right

	s.Database = "nowhere"
	b.says("no such database", b.open(s).Set(t.Context(), job, made), driver.ErrRefused, "database")
	b.says("another user", d.Delete(t.Context(), job, "postgres"), driver.ErrRefused, "by hand")
	b.says("the current user", d.Delete(t.Context(), job, "refused_a"), driver.ErrRefused, "store")
	_, err = d.Create(t.Context(), jobOf(secret.NewValue([]byte("canary")), ""))
	b.says("a current value of no form", err, driver.ErrRefused, "form")
	job.Current = made.Value
	b.says("a value that became current by hand", set(), driver.ErrRefused, "again")

	b.works(current, true)
	b.works(made.Value, false)
	job.Current = current
	if err := set(); err != nil {
		t.Errorf("with all rights: %v", err)
	}
	job.Current = value("refused_b", "by-hand-canary")
	b.says("the run's user, taken by hand with a password that fails", d.Delete(t.Context(), job, "refused_b"),
		driver.ErrRefused, "store")
	job.Current = made.Value
	if err := d.Delete(t.Context(), job, "refused_b"); err != nil {
		t.Errorf("the run's user, taken by hand: %v", err)
	}
	b.works(made.Value, true)
	b.clean(made.Value)
}

// TestUnequal: a user that lacks what the active one has does not take its place.
func TestUnequal(t *testing.T) {
	b := newBed(t)
	s := b.users("unequal_a", "unequal_b")
	d := b.open(s)
	job := jobOf(value("unequal_a", "first-canary-77"), "unequal_a")
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	b.exec("CREATE ROLE unequal_group", "CREATE TABLE mine (n int)", "CREATE TABLE theirs (n int)")
	t.Cleanup(func() { _, _ = b.root.Exec(context.Background(), "DROP TABLE mine, theirs") })
	for _, c := range []struct{ do, undo, want string }{
		{"GRANT unequal_group TO unequal_a", "REVOKE unequal_group FROM unequal_a", "a member of unequal_group"},
		{"GRANT SELECT ON theirs TO unequal_a", "REVOKE SELECT ON theirs FROM unequal_a", "privileges of its own on 1 objects"},
		{"ALTER TABLE mine OWNER TO unequal_a", "ALTER TABLE mine OWNER TO unequal_group", "owns 1 objects"},
		{"ALTER ROLE unequal_a SET search_path = crm", "ALTER ROLE unequal_a RESET search_path", "setting search_path"},
		{"ALTER ROLE unequal_a BYPASSRLS", "ALTER ROLE unequal_a NOBYPASSRLS", "BYPASSRLS"},
	} {
		b.exec(c.do)
		err := d.Set(t.Context(), job, made)
		b.says(c.do, err, driver.ErrRefused, "REASSIGN OWNED")
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.do, err, c.want)
		}
		b.exec(c.undo)
	}
	b.exec("GRANT SELECT ON theirs TO unequal_a, unequal_b", "GRANT unequal_group TO unequal_a, unequal_b",
		"ALTER ROLE unequal_b CREATEDB")
	if err := d.Set(t.Context(), job, made); err != nil {
		t.Errorf("both can do the same, and one more: %v", err)
	}
}

// TestSessions: a user that a program is logged in as is not retired; with end_sessions its sessions end.
func TestSessions(t *testing.T) {
	b := newBed(t)
	s := b.users("open_a", "open_b")
	d := b.open(s)
	job := jobOf(value("open_a", "first-canary-77"), "open_a")
	made, err := d.Create(t.Context(), job)
	if err == nil {
		err = d.Set(t.Context(), job, made)
	}
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(b.url)
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password, config.RuntimeParams = "open_a", "first-canary-77",
		map[string]string{"application_name": "n8n\x1b worker"}
	held, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	job.Current = made.Value
	err = d.Delete(t.Context(), job, "open_a")
	if b.says("a session is open", err, driver.ErrRefused, "usename = 'open_a'"); err != nil &&
		(!strings.Contains(err.Error(), "worker") || strings.Contains(err.Error(), "\x1b")) {
		t.Errorf("it says %q", err)
	}
	b.works(job.Current, true)
	if _, err := held.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the session was ended: %v", err)
	}
	b.exec("ALTER ROLE open_a NOLOGIN")
	if keys, err := d.Keys(t.Context(), job); err != nil || len(keys) != 2 {
		t.Errorf("a user with a session and without LOGIN: keys %v, %v", keys, err)
	}
	s.EndSessions = true
	d = b.open(s)
	b.says("no right to end it", d.Delete(t.Context(), job, "open_a"), driver.ErrRefused, "GRANT pg_signal_backend")
	b.exec(`GRANT pg_signal_backend TO "admin of open_a"`)
	if err := d.Delete(t.Context(), job, "open_a"); err != nil {
		t.Errorf("ending it: %v", err)
	}
	if _, err := held.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the session goes on")
	}
	if keys, err := d.Keys(t.Context(), job); err != nil || len(keys) != 1 || keys[0].ID != "open_b" {
		t.Errorf("keys %v, %v", keys, err)
	}
}

// TestOneUserNeedsAWayBack: a current password that could not be set again is not replaced.
func TestOneUserNeedsAWayBack(t *testing.T) {
	b := newBed(t)
	b.exec("CREATE ROLE way LOGIN PASSWORD 'pässword-canary'")
	d := b.open(postgres.Settings{Users: []string{"way"}})
	job := jobOf(secret.NewValue([]byte("pässword-canary")), "")
	made, err := d.Create(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	b.says("not ASCII", d.Set(t.Context(), job, made), driver.ErrRefused, "ASCII")
	if err := d.Test(t.Context(), job, driver.Made{Value: job.Current}); err != nil {
		t.Errorf("the old one: %v", err)
	}
	job.Current = secret.NewValue([]byte("wrong-canary"))
	b.says("the store has another password", d.Set(t.Context(), job, made), driver.ErrRefused, "password")
}
