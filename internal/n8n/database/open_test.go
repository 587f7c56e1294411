package database_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/database"
)

// TestOpenRefuses: each refusal says what to do, and quotes no password.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return "sqlite://" + path
	}
	for name, c := range map[string]struct {
		options    database.Options
		err, hint  string
		exit       fault.Exit
		postgresql bool
	}{
		"no such kind":    {options: database.Options{URL: "redis://:hunter2@x/"}, err: "not supported", hint: "sqlite:///", exit: fault.ExitUsage},
		"no such file":    {options: database.Options{URL: "sqlite://" + dir + "/none"}, err: "no such file", hint: "DB_SQLITE_DATABASE", exit: fault.ExitStore},
		"a folder":        {options: database.Options{URL: "sqlite:" + dir}, err: "not a file", hint: "database.sqlite", exit: fault.ExitStore},
		"an empty file":   {options: database.Options{URL: write("empty", "", 0o600)}, err: "empty", hint: "not written", exit: fault.ExitStore},
		"no SQLite":       {options: database.Options{URL: write("text", strings.Repeat("no database ", 100), 0o600)}, err: "not a database", hint: "is no SQLite database", exit: fault.ExitStore},
		"a file to read":  {options: database.Options{URL: write("read", "x", 0o400), Write: true}, err: "read-only", hint: "chmod", exit: fault.ExitStore},
		"a prefix":        {options: database.Options{URL: "sqlite:x", TablePrefix: `a"; DROP TABLE x`}, err: "prefix", hint: "DB_TABLE_PREFIX", exit: fault.ExitUsage},
		"a schema":        {options: database.Options{URL: "sqlite:x", Schema: "a.b"}, err: "prefix", hint: "DB_TABLE_PREFIX", exit: fault.ExitUsage},
		"an URL":          {options: database.Options{URL: "postgres://u:hunter2@[x/y"}, err: "cannot be read", hint: "percent-encoded", exit: fault.ExitUsage},
		"an at sign":      {options: database.Options{URL: "postgres://u:hu@nter2@127.0.0.1/y"}, hint: "percent-encoded", exit: fault.ExitUsage},
		"a MySQL URL":     {options: database.Options{URL: "mysql://u:hunter2@127.0.0.1:x/y"}, err: "cannot be read", hint: "percent-encoded", exit: fault.ExitUsage},
		"no database":     {options: database.Options{URL: "mysql://u:hunter2@127.0.0.1/"}, err: "cannot be read", hint: "mysql://", exit: fault.ExitUsage},
		"a MySQL option":  {options: database.Options{URL: "mysql://u:hunter2@127.0.0.1/y?allowAllFiles=true"}, err: "cannot be read", hint: "mysql://", exit: fault.ExitUsage},
		"nobody there":    {options: database.Options{URL: "postgres://u:hunter2@127.0.0.1:1/y?connect_timeout=5"}, err: "127.0.0.1:1/y", hint: "is PostgreSQL running", exit: fault.ExitStore},
		"nobody there, 2": {options: database.Options{URL: "mysql://u:hunter2@127.0.0.1:1/y"}, err: "127.0.0.1:1/y", hint: "is the server running", exit: fault.ExitStore},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.options, c.err, c.hint, c.exit) })
	}
}

func refused(t *testing.T, o database.Options, text, hint string, exit fault.Exit) {
	t.Helper()
	db, err := database.Open(t.Context(), o)
	if err == nil {
		db.Close()
		t.Fatal("opened")
	}
	got := err.Error() + " — " + fault.HintOf(err)
	if !strings.Contains(err.Error(), text) || !strings.Contains(fault.HintOf(err), hint) || fault.ExitOf(err) != exit {
		t.Errorf("exit %d: %s", fault.ExitOf(err), got)
	}
	if strings.Contains(got, "hunter2") || strings.Contains(got, "nter2") {
		t.Errorf("the password is quoted: %s", got)
	}
}

// TestOpenSaysWhereTheTablesAre: under another prefix, or in another schema.
func TestOpenSaysWhereTheTablesAre(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		o := s.Options
		o.TablePrefix = "other_"
		want := `prefix "` + s.TablePrefix + `"`
		if s.Schema != "" {
			want = `schema "Own" with prefix "Pre$x_"`
		}
		refused(t, o, `no tables of n8n`, want, fault.ExitStore)
		s.raw.ExecContext(t.Context(), s.sql(`DROP TABLE "`+s.TablePrefix+`credentials_entity"`))
		refused(t, s.Options, `no tables of n8n`, "is this the database of n8n?", fault.ExitStore)
	})
}

// TestOpenRefusesTheWrongPassword of a user of a real server.
func TestOpenRefusesTheWrongPassword(t *testing.T) {
	s := newSite(t, database.MySQL, "", "")
	s.exec("CREATE USER IF NOT EXISTS limited IDENTIFIED BY 'right'")
	o := s.Options
	o.URL = strings.Replace(o.URL, "root@", "limited:hunter2@", 1)
	refused(t, o, "Access denied", "check user and password", fault.ExitStore)
	o = newSite(t, database.PostgreSQL, "", "").Options
	o.URL = strings.Replace(o.URL, "user=postgres", "user=nobody&password=hunter2", 1)
	refused(t, o, "nobody", "check user, password", fault.ExitStore)
}

// TestReadOnly: a database that was opened for reading is not written to.
func TestReadOnly(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.Write = false
		s.insert("credentials_entity", "id", "1", "name", "x", "data", "old", "type", "t")
		db := s.open()
		if _, err := db.Begin(t.Context(), true); err == nil {
			t.Error("a writing transaction begins")
		}
		tx := begin(t, db, false)
		p := placeOf(t, "credentials_entity.data")
		if err := tx.Update(t.Context(), p, []database.Row{{Key: []string{"1"}, Cell: "new"}}); err == nil {
			t.Error("it was written to")
		}
	})
}
