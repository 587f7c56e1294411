package rekey_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit"
	"sallyport/internal/testkit/mariadb"
	"sallyport/internal/testkit/recorded"
)

var (
	postgres testkit.Postgres
	maria    mariadb.Server
)

type runner func() int

func (r runner) Run() int { return r() }

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		os.Exit(victim())
	}
	os.Exit(maria.Main(runner(func() int { return postgres.Main(m) })))
}

// site is a recorded database in a place of its own.
type site struct {
	recorded.Recording

	t       testing.TB
	options database.Options
	raw     *sql.DB // a foreigner's look at it
	dir     string
}

func newSite(t testing.TB, r recorded.Recording) *site {
	t.Helper()
	s := &site{Recording: r, t: t, options: database.Options{TablePrefix: r.Prefix, Schema: r.Schema}, dir: t.TempDir()}
	driver, dsn := "", ""
	switch r.Dialect {
	case recorded.SQLite:
		path := r.SQLite(t)
		s.options.URL, driver, dsn = "sqlite://"+path, "sqlite", path
	case recorded.Postgres:
		s.options.URL = postgres.URL(t)
		driver, dsn = "pgx", s.options.URL
	default:
		config := maria.Config(t)
		config.MultiStatements = true
		driver, dsn = "mysql", config.FormatDSN()
		s.options.URL = "mysql://" + config.User + "@localhost/" + config.DBName + "?socket=" + config.Addr
	}
	raw, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	s.raw = raw
	if r.Dialect != recorded.SQLite {
		if _, err := raw.ExecContext(t.Context(), string(r.SQL(t))); err != nil {
			t.Fatalf("loading the dump: %v", err)
		}
		raw.SetMaxIdleConns(0) // the dump leaves its session without a search_path, and the guard counts sessions
	}
	return s
}

// open opens it as the command does.
func (s *site) open(write bool) *database.DB {
	s.t.Helper()
	o := s.options
	o.Write = write
	db, err := database.Open(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *site) master() secret.Value { return secret.NewValue([]byte(s.Master)) }

// change is Options for it, with a new key. What was recorded was recorded long ago, and the test's own look is a
// session.
func (s *site) change(key secret.Value) rekey.Options {
	return rekey.Options{
		Old: s.master(), New: key,
		Backup: filepath.Join(s.dir, fmt.Sprintf("%d.backup", time.Now().UnixNano())),
	}
}

func (s *site) run(o rekey.Options) (rekey.Report, error) {
	db := s.open(true)
	defer func() { _ = db.Close() }()
	return rekey.Run(s.t.Context(), db, o)
}

func (s *site) mustRun(o rekey.Options) rekey.Report {
	s.t.Helper()
	report, err := s.run(o)
	if err != nil {
		s.t.Fatalf("%v\nhint: %s", err, fault.HintOf(err))
	}
	return report
}

// reads lists what keys open, a line per value: table.column, row, plaintext; and how many values they do not open.
func (s *site) reads(keys ...secret.Value) (lines []string, closed int) {
	s.t.Helper()
	db := s.open(false)
	defer func() { _ = db.Close() }()
	tx, err := db.Begin(s.t.Context(), false)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	rows, err := tx.DeploymentKeys(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	ring, err := survey.NewKeyring(rows, keys...)
	if err != nil {
		s.t.Fatal(err)
	}
	locations, err := tx.Locations(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range locations {
		err := tx.Rows(s.t.Context(), p, func(rows []database.Row) error {
			for _, item := range ring.OpenRows(p, rows) {
				if item.Err != nil {
					s.t.Errorf("%s: %v", p, item.Err)
				}
				for _, v := range item.Values {
					if v.Err != nil {
						closed++
						continue
					}
					lines = append(lines, line(p.Table, p.Column, item.Key, string(v.Plain.Reveal())))
				}
			}
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	slices.Sort(lines)
	return lines, closed
}

func line(table, column string, key []string, plain string) string {
	return fmt.Sprintf("%s.%s %v %q", table, column, key, plain)
}

// holds is what the recording says that it holds.
func (s *site) holds() (lines []string) {
	for _, v := range s.Values {
		lines = append(lines, line(v.Table, v.Column, v.Key, v.Plain))
	}
	slices.Sort(lines)
	return lines
}

// deploymentKeys are the rows in the clear, as a key opens them.
func (s *site) deploymentKeys(key secret.Value) map[string]string {
	s.t.Helper()
	db := s.open(false)
	defer func() { _ = db.Close() }()
	tx, err := db.Begin(s.t.Context(), false)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	rows, err := tx.DeploymentKeys(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	found := make(map[string]string)
	for _, row := range rows {
		plain, _, err := row.Unwrap(key)
		if err != nil {
			found[row.ID] = "closed"
			continue
		}
		found[row.ID] = row.Type + " " + row.Algorithm + " " + row.Status + " " + string(plain.Reveal())
	}
	return found
}

// dump is every row of every table, by a foreigner's reading.
func (s *site) dump() map[string][]string {
	s.t.Helper()
	dump := make(map[string][]string)
	for _, table := range s.tables() {
		rows, err := s.raw.QueryContext(s.t.Context(), "SELECT * FROM "+table)
		if err != nil {
			s.t.Fatal(err)
		}
		columns, _ := rows.Columns()
		for rows.Next() {
			cells := make([]any, len(columns))
			into := make([]any, len(columns))
			for i := range cells {
				into[i] = &cells[i]
			}
			if err := rows.Scan(into...); err != nil {
				s.t.Fatal(err)
			}
			for i, cell := range cells {
				if b, ok := cell.([]byte); ok {
					cells[i] = string(b)
				}
			}
			dump[table] = append(dump[table], fmt.Sprint(cells...))
		}
		if err := rows.Err(); err != nil {
			s.t.Fatal(err)
		}
		_ = rows.Close()
		slices.Sort(dump[table])
	}
	return dump
}

func (s *site) tables() (names []string) {
	s.t.Helper()
	query := map[string]string{
		recorded.SQLite:   `SELECT '"' || name || '"' FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`,
		recorded.Postgres: `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
		recorded.MySQL: "SELECT CONCAT('`', table_name, '`') FROM information_schema.tables WHERE table_schema = " +
			"DATABASE()",
	}[s.Dialect]
	rows, err := s.raw.QueryContext(s.t.Context(), query)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// unchanged fails the test when the database is not what it was, or a backup is left.
func (s *site) unchanged(before map[string][]string, o rekey.Options) {
	s.t.Helper()
	if diff := cmp.Diff(before, s.dump()); diff != "" {
		s.t.Errorf("the database has changed (-before +after):\n%s", diff)
	}
	if _, err := os.Stat(o.Backup); err == nil {
		s.t.Error("a backup is left of a change that was not made")
	}
}

func each(t *testing.T, fn func(t *testing.T, s *site)) {
	for _, r := range recorded.All(t) {
		t.Run(r.Name, func(t *testing.T) { fn(t, newSite(t, r)) })
	}
}

// eachKind is each over one recording of every kind there is: a dialect, a line of n8n, rotated keys, prefix and
// schema, a key that is not ASCII. It is for what hangs on no single place.
func eachKind(t *testing.T, fn func(t *testing.T, s *site)) {
	for _, name := range []string{
		"1.123.81-sqlite", "1.123.81-mariadb", "2.41.1-sqlite-rotated",
		"2.41.1-postgres-prefixed",
	} {
		t.Run(name, func(t *testing.T) { fn(t, newSite(t, recorded.Named(t, name))) })
	}
}

// TestEveryValueIsThereAfterwards is invariant 7 on every recorded n8n: what the old key read the new one reads, the
// old one reads nothing, and taking it back leaves every byte as it was.
func TestEveryValueIsThereAfterwards(t *testing.T) {
	for _, leaked := range []bool{false, true} {
		t.Run(map[bool]string{false: "changed", true: "leaked"}[leaked], func(t *testing.T) {
			each(t, func(t *testing.T, s *site) {
				before, fresh := s.dump(), masterkey.Generate()
				if lines, closed := s.reads(s.master()); closed != 0 || cmp.Diff(s.holds(), lines) != "" {
					t.Fatalf("before: %d closed, and (-want +got):\n%s", closed, cmp.Diff(s.holds(), lines))
				}
				o := s.change(fresh)
				o.Leaked = leaked
				report := s.mustRun(o)
				if lines, closed := s.reads(fresh); closed != 0 || cmp.Diff(s.holds(), lines) != "" {
					t.Errorf("the new key: %d closed, and (-want +got):\n%s", closed, cmp.Diff(s.holds(), lines))
				}
				if lines, _ := s.reads(s.master()); len(lines) != 0 {
					t.Errorf("the old key still reads %d values: %v", len(lines), lines)
				}
				if want := len(s.Values); report.Changed > want || report.Changed == 0 || !s.Rotated &&
					report.Changed != want || leaked && report.Changed != want {
					t.Errorf("%d values encrypted again of %d", report.Changed, want)
				}
				s.checkDeploymentKeys(fresh, leaked)
				s.undo(o, fresh, before)
			})
		})
	}
}

// checkDeploymentKeys looks at the rows after a change.
func (s *site) checkDeploymentKeys(fresh secret.Value, leaked bool) {
	s.t.Helper()
	now := s.deploymentKeys(fresh)
	for _, k := range s.DataKeys {
		want := k.Type + " " + k.Algorithm + " " + k.Status + " " + k.Plain
		switch {
		case k.Type == cipher.TypeDataEncryption && k.Algorithm == cipher.AlgorithmCBC:
			want = k.Type + " " + k.Algorithm + " " + k.Status + " " + string(fresh.Reveal())
		case leaked && k.Type == cipher.TypeDataEncryption:
			want = k.Type + " " + k.Algorithm + " inactive " + k.Plain
		case leaked && strings.HasPrefix(k.Type, cipher.TypeSigning):
			if now[k.ID] == want || now[k.ID] == "closed" ||
				!strings.HasPrefix(now[k.ID], k.Type+" "+k.Algorithm+" "+k.Status) {
				s.t.Errorf("%s: %q after a leak", k.Type, now[k.ID])
			}
			want = now[k.ID]
		}
		if now[k.ID] != want {
			s.t.Errorf("%s %s: got another row, status or secret than wanted", k.Type, k.Algorithm)
		}
	}
}

// undo takes a change back with the new key alone.
func (s *site) undo(o rekey.Options, fresh secret.Value, before map[string][]string) {
	s.t.Helper()
	db := s.open(true)
	defer func() { _ = db.Close() }()
	done, err := rekey.Undo(s.t.Context(), db, rekey.Options{New: fresh, Backup: o.Backup})
	if err != nil {
		s.t.Fatalf("undo: %v", err)
	}
	if done.Since != 0 || done.Gone != 0 || done.Restored == 0 {
		s.t.Errorf("undo: %d restored, %d changed since, %d gone", done.Restored, done.Since, done.Gone)
	}
	if err := db.Close(); err != nil {
		s.t.Error(err)
	}
	after := s.dump()
	// n8n does not look at when a row of deployment_key was written
	for _, d := range []map[string][]string{before, after} {
		for table, rows := range d {
			if strings.Contains(table, "deployment_key") {
				for i, row := range rows {
					rows[i] = strings.Join(strings.Fields(row)[:3], " ")
				}
			}
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		s.t.Errorf("undo: (-before +after):\n%s", diff)
	}
	if got := s.deploymentKeys(s.master()); len(got) != len(s.DataKeys) {
		s.t.Errorf("undo: %d rows of deployment_key, want %d", len(got), len(s.DataKeys))
	}
}

func TestWrongOldKey(t *testing.T) {
	eachKind(t, func(t *testing.T, s *site) {
		before := s.dump()
		o := s.change(masterkey.Generate())
		o.Old = secret.NewValue([]byte("another-key-than-the-right-one"))
		_, err := s.run(o)
		if fault.ExitOf(err) != fault.ExitKeyMismatch || fault.HintOf(err) == "" {
			t.Errorf("got %v (exit %d), want a mismatch", err, fault.ExitOf(err))
		}
		s.unchanged(before, o)
		if _, err := rekey.Plan(t.Context(), s.open(false), o); fault.ExitOf(err) != fault.ExitKeyMismatch {
			t.Errorf("the plan: %v", err)
		}
	})
}

func TestPlanChangesNothing(t *testing.T) {
	eachKind(t, func(t *testing.T, s *site) {
		before := s.dump()
		o := s.change(masterkey.Generate())
		o.Leaked = true
		db := s.open(false)
		report, err := rekey.Plan(t.Context(), db, o)
		_ = db.Close() // the guard would count it
		if err != nil {
			t.Fatal(err)
		}
		s.unchanged(before, o)
		if report.Changed != len(s.Values) || len(report.Warnings) != 0 || report.Survey.Totals().Unreadable != 0 ||
			len(report.Survey.Strays) != 0 {
			t.Errorf("%d of %d values, warnings %q, strays %v", report.Changed, len(s.Values), report.Warnings,
				report.Survey.Strays)
		}
		if done := s.mustRun(o); done.Changed != report.Changed || len(done.Keys) != len(report.Keys) {
			t.Errorf("the plan says %d values and %d keys, the run %d and %d", report.Changed, len(report.Keys),
				done.Changed, len(done.Keys))
		}
	})
}

// TestPlanSaysWhatWouldStop: what a run passes over is no warning.
func TestPlanSaysWhatWouldStop(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
	if _, err := s.raw.ExecContext(t.Context(),
		"UPDATE credentials_entity SET updatedAt = CURRENT_TIMESTAMP; UPDATE execution_entity SET stoppedAt = "+
			"CURRENT_TIMESTAMP"); err != nil {
		t.Fatal(err)
	}
	_ = s.raw.Close() // the guard would count it
	o := s.change(masterkey.Generate())
	for _, active := range []bool{false, true} {
		o.Active = active
		db := s.open(false)
		report, err := rekey.Plan(t.Context(), db, o)
		_ = db.Close()
		if err != nil || (len(report.Warnings) == 0) != active {
			t.Errorf("passing over n8n at work: %t; warnings %q, %v", active, report.Warnings, err)
		}
	}
	if _, err := s.run(o); err != nil {
		t.Error(err)
	}
}

// TestHalfIsNewAlready: another tool has crashed half way.
func TestHalfIsNewAlready(t *testing.T) {
	eachKind(t, func(t *testing.T, s *site) {
		fresh := masterkey.Generate()
		half := s.recrypt(fresh, 5)
		report := s.mustRun(s.change(fresh))
		if report.Already < half {
			t.Errorf("%d values were right already, want %d or more", report.Already, half)
		}
		if lines, closed := s.reads(fresh); closed != 0 || cmp.Diff(s.holds(), lines) != "" {
			t.Errorf("%d closed, and (-want +got):\n%s", closed, cmp.Diff(s.holds(), lines))
		}
	})
}

// recrypt puts n credentials under another key, as the usual recipe does.
func (s *site) recrypt(key secret.Value, n int) int {
	s.t.Helper()
	ctx := s.t.Context()
	db := s.open(true)
	defer func() { _ = db.Close() }()
	tx, err := db.Begin(ctx, true)
	if err != nil {
		s.t.Fatal(err)
	}
	done := 0
	for _, v := range s.Values {
		if v.Table != "credentials_entity" || done == n {
			continue
		}
		for _, p := range must(tx.Locations(ctx))(s.t) {
			if p.Table != v.Table {
				continue
			}
			cell := cipher.NewCBC(key).Encrypt(secret.NewValue([]byte(v.Plain)))
			if err := tx.Update(ctx, p, []database.Row{{Key: v.Key, Cell: cell}}); err != nil {
				s.t.Fatal(err)
			}
		}
		done++
	}
	if err := tx.Commit(); err != nil {
		s.t.Fatal(err)
	}
	return done
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestActivityIsAnExecution: what was saved a moment ago, by whatever, does not say that n8n runs; an execution that
// has just ended does.
func TestActivityIsAnExecution(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
	for _, c := range []struct {
		statement string
		warns     bool
	}{
		{"UPDATE execution_entity SET stoppedAt = CURRENT_TIMESTAMP", true},
		{"UPDATE execution_entity SET stoppedAt = NULL", false},
		{"UPDATE credentials_entity SET updatedAt = CURRENT_TIMESTAMP", false},
	} {
		if _, err := s.raw.ExecContext(t.Context(), c.statement); err != nil {
			t.Fatal(err)
		}
		s.raw.SetMaxIdleConns(0) // the guard would count it
		db := s.open(false)
		report, err := rekey.Plan(t.Context(), db, s.change(masterkey.Generate()))
		_ = db.Close()
		if err != nil || (len(report.Warnings) > 0) != c.warns {
			t.Errorf("%s: warnings %q, %v", c.statement, report.Warnings, err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	eachKind(t, func(t *testing.T, s *site) {
		fresh := masterkey.Generate()
		n := s.recrypt(secret.NewValue([]byte("a third key that nobody has")), 2)
		before := s.dump()
		o := s.change(fresh)
		_, err := s.run(o)
		if fault.ExitOf(err) != fault.ExitFindings || !strings.Contains(fault.HintOf(err), "--keep-unreadable") {
			t.Fatalf("got %v", err)
		}
		s.unchanged(before, o)
		o.KeepUnreadable = true
		if report := s.mustRun(o); report.Kept != n {
			t.Errorf("%d values kept, want %d", report.Kept, n)
		}
		if lines, closed := s.reads(fresh); closed != n || len(lines) != len(s.Values)-n {
			t.Errorf("%d values open and %d closed of %d", len(lines), closed, len(s.Values))
		}
	})
}

func TestUnknownLocation(t *testing.T) {
	eachKind(t, func(t *testing.T, s *site) {
		table := strings.Trim(s.Schema+"."+s.Prefix+"settings", ".")
		quoted := `"` + strings.ReplaceAll(table, ".", `"."`) + `"`
		if s.Dialect == recorded.MySQL {
			quoted = "`" + table + "`"
		}
		key := `"key"`
		if s.Dialect == recorded.MySQL {
			key = "`key`"
		}
		stored := cipher.NewCBC(s.master()).Encrypt(secret.NewValue([]byte("something of a later n8n")))
		if _, err := s.raw.ExecContext(t.Context(),
			"INSERT INTO "+quoted+" ("+key+", value) VALUES ('features.later', '{\"x\":\""+stored+"\"}')"); err != nil {
			t.Fatal(err)
		}
		before := s.dump()
		o := s.change(masterkey.Generate())
		_, err := s.run(o)
		if fault.ExitOf(err) != fault.ExitFindings || !strings.Contains(fault.HintOf(err), "--accept settings.value") {
			t.Fatalf("got %v, hint %q", err, fault.HintOf(err))
		}
		s.unchanged(before, o)
		o.Accept = []string{"settings.value"}
		s.mustRun(o)
	})
}

func TestBackupIsNotOverwritten(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
	o := s.change(masterkey.Generate())
	if err := os.WriteFile(o.Backup, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := s.dump()
	_, err := s.run(o)
	if err == nil || fault.HintOf(err) == "" {
		t.Error("the backup of an earlier change was overwritten")
	}
	if content, _ := os.ReadFile(o.Backup); string(content) != "precious" {
		t.Errorf("it holds %q", content)
	}
	if diff := cmp.Diff(before, s.dump()); diff != "" {
		t.Error(diff)
	}
}

func TestInterrupted(t *testing.T) {
	eachKind(t, func(t *testing.T, s *site) {
		before := s.dump()
		for _, stage := range []string{"writing", "proving"} {
			ctx, cancel := context.WithCancel(t.Context())
			o := s.change(masterkey.Generate())
			o.Progress = func(p rekey.Progress) {
				if p.Stage == stage {
					cancel()
				}
			}
			db := s.open(true)
			_, err := rekey.Run(ctx, db, o)
			if fault.ExitOf(err) != fault.ExitInterrupted {
				t.Errorf("%s: got %v", stage, err)
			}
			_ = db.Close()
			s.unchanged(before, o)
		}
	})
}
