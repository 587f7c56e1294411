package rekey_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/recorded"
)

// exec changes the database as a foreigner; a table is written as {name}.
func (s *site) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.raw.ExecContext(s.t.Context(), s.names(query), args...); err != nil {
		s.t.Fatal(err)
	}
}

// names puts prefix, schema and quotes to tables and columns.
func (s *site) names(query string) string {
	quote, schema := `"`, ""
	if s.Dialect == recorded.MySQL {
		quote = "`"
	}
	if s.Schema != "" {
		schema = quote + s.Schema + quote + "."
	}
	return strings.NewReplacer("{", schema+quote+s.Prefix, "}", quote, "[", quote, "]", quote).Replace(query)
}

// literal is a string in SQL.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func (s *site) undoWith(o rekey.Options) (rekey.Undone, error) {
	s.t.Helper()
	db := s.open(true)
	defer func() { _ = db.Close() }()
	o.Active = true
	return rekey.Undo(s.t.Context(), db, o)
}

// some are recordings of each kind: without and with deployment_key.
func some(t *testing.T, fn func(t *testing.T, s *site)) {
	for _, name := range []string{"1.123.81-sqlite", "2.41.1-sqlite-rotated", "2.41.1-postgres"} {
		t.Run(name, func(t *testing.T) { fn(t, newSite(t, recorded.Named(t, name))) })
	}
}

// fromTo is a change from one key to another, whatever sessions there are.
func (s *site) fromTo(old, fresh secret.Value) rekey.Options {
	o := s.change(fresh)
	o.Old, o.Active = old, true
	return o
}

// TestUndoOfAnEarlierChange: the database has gone on from B to C, so that the way from A to B is no longer the last
// one.
func TestUndoOfAnEarlierChange(t *testing.T) {
	some(t, func(t *testing.T, s *site) {
		b, c := masterkey.Generate(), masterkey.Generate()
		first := s.fromTo(s.master(), b)
		s.mustRun(first)
		second := s.fromTo(b, c)
		s.mustRun(second)
		before := s.dump()
		_, err := s.undoWith(rekey.Options{New: b, Backup: first.Backup})
		if fault.ExitOf(err) != fault.ExitKeyMismatch || !strings.Contains(fault.HintOf(err), "later change") {
			t.Errorf("got %v (exit %d), hint %q", err, fault.ExitOf(err), fault.HintOf(err))
		}
		if diff := cmp.Diff(before, s.dump()); diff != "" {
			t.Fatalf("the database has changed (-before +after):\n%s", diff)
		}
		for _, o := range []rekey.Options{second, first} { // the right order
			if _, err := s.undoWith(rekey.Options{New: o.New, Backup: o.Backup}); err != nil {
				t.Fatal(err)
			}
		}
		if lines, closed := s.reads(s.master()); closed != 0 || cmp.Diff(s.holds(), lines) != "" {
			t.Errorf("%d closed, and (-want +got):\n%s", closed, cmp.Diff(s.holds(), lines))
		}
	})
}

// TestUndoOnAnotherDatabase: nothing of the backup is there.
func TestUndoOnAnotherDatabase(t *testing.T) {
	some(t, func(t *testing.T, s *site) {
		other := newSite(t, recorded.Named(t, "2.16.1-sqlite"))
		for _, pair := range [][2]*site{{s, other}, {other, s}} {
			o := pair[0].fromTo(pair[0].master(), masterkey.Generate())
			pair[0].mustRun(o)
			elsewhere := pair[1].fromTo(pair[1].master(), masterkey.Generate())
			pair[1].mustRun(elsewhere)
			before := pair[1].dump()
			_, err := pair[1].undoWith(rekey.Options{New: o.New, Backup: o.Backup})
			if err == nil || fault.HintOf(err) == "" {
				t.Errorf("got %v, hint %q", err, fault.HintOf(err))
			}
			if diff := cmp.Diff(before, pair[1].dump()); diff != "" {
				t.Errorf("the database has changed (-before +after):\n%s", diff)
			}
			for _, s := range pair { // back to the recording's own key
				o := map[*site]rekey.Options{pair[0]: o, pair[1]: elsewhere}[s]
				if _, err := s.undoWith(rekey.Options{Old: s.master(), Backup: o.Backup}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestUndoTwice is one undo.
func TestUndoTwice(t *testing.T) {
	some(t, func(t *testing.T, s *site) {
		o := s.fromTo(s.master(), masterkey.Generate())
		o.Leaked = true
		s.mustRun(o)
		for range 2 {
			if _, err := s.undoWith(rekey.Options{New: o.New, Backup: o.Backup}); err != nil {
				t.Fatal(err)
			}
			s.readsAll(s.master())
		}
	})
}

// readsAll wants everything to be open, as n8n itself would read it.
func (s *site) readsAll(key secret.Value) {
	s.t.Helper()
	lines, closed := s.reads(key)
	if diff := cmp.Diff(s.holds(), lines); closed != 0 || diff != "" {
		s.t.Errorf("%d closed, and (-want +got):\n%s", closed, diff)
	}
	s.legacyIs(key)
}

// legacyIs wants the row by which n8n reads values without a prefix to hold the key with which it writes them.
func (s *site) legacyIs(key secret.Value) {
	s.t.Helper()
	for id, row := range s.deploymentKeys(key) {
		if row == "closed" {
			s.t.Errorf("the row %s of deployment_key is closed", id)
		}
		if strings.HasPrefix(row, "data_encryption aes-256-cbc") && !strings.HasSuffix(row, " "+string(key.Reveal())) {
			s.t.Error("the legacy data key is not the master key: n8n would not read what it writes")
		}
	}
}

// TestRunTwice changes nothing the second time, and the second backup takes nothing back.
func TestRunTwice(t *testing.T) {
	some(t, func(t *testing.T, s *site) {
		o := s.fromTo(s.master(), masterkey.Generate())
		s.mustRun(o)
		before := s.dump()
		again := s.fromTo(s.master(), o.New)
		report := s.mustRun(again)
		if diff := cmp.Diff(before, s.dump()); diff != "" || report.Changed != 0 {
			t.Errorf("%d values changed (-before +after):\n%s", report.Changed, diff)
		}
		if _, err := s.undoWith(rekey.Options{New: o.New, Backup: again.Backup}); err != nil {
			t.Errorf("undo of the second: %v", err)
		}
		s.readsAll(s.master()) // under the old key, all of it or nothing
	})
}

// TestUndoAfterAnUpgrade: n8n made its first rows of deployment_key when the new key was active already.
func TestUndoAfterAnUpgrade(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
	rows := must(s.raw.QueryContext(t.Context(), `SELECT sql FROM sqlite_master WHERE tbl_name = 'deployment_key'`))(t)
	_ = rows.Close()
	s.exec("ALTER TABLE {deployment_key} RENAME TO {later}")
	fresh := masterkey.Generate()
	o := s.fromTo(s.master(), fresh)
	o.Accept = []string{"later.value"}
	s.mustRun(o)
	s.exec("ALTER TABLE {later} RENAME TO {deployment_key}")
	for _, k := range s.DataKeys { // as n8n makes them
		if k.Type == cipher.TypeInstanceID {
			continue
		}
		plain := k.Plain
		if k.Algorithm == cipher.AlgorithmCBC {
			plain = string(fresh.Reveal())
		}
		s.exec("UPDATE {deployment_key} SET value = " +
			literal(cipher.NewWrapping(fresh).Encrypt(secret.NewValue([]byte(plain)))) + " WHERE id = " + literal(k.ID))
	}
	s.readsAll(fresh)
	if _, err := s.undoWith(rekey.Options{New: fresh, Backup: o.Backup}); err != nil {
		t.Fatal(err)
	}
	s.readsAll(s.master())
}

// TestUndoOfALeakWithNewRows: n8n has written under the data key that the change had added, has rotated it, and has
// deleted.
func TestUndoOfALeakWithNewRows(t *testing.T) {
	for _, rotated := range []bool{false, true} {
		s := newSite(t, recorded.Named(t, "2.41.1-sqlite-rotated"))
		fresh := masterkey.Generate()
		o := s.fromTo(s.master(), fresh)
		o.Leaked = true
		s.mustRun(o)
		var added string
		for id, row := range s.deploymentKeys(fresh) {
			if strings.HasPrefix(row, "data_encryption aes-256-gcm active") {
				added = id
				under := must(cipher.NewGCM(secret.NewValue([]byte(row[strings.LastIndexByte(row, ' ')+1:]))))(t)
				s.newCredential("late1", cipher.Join(id, under.Encrypt(secret.NewValue([]byte(`{"late":1}`)))))
			}
		}
		s.newCredential("late2", cipher.NewCBC(fresh).Encrypt(secret.NewValue([]byte(`{"late":2}`))))
		if rotated {
			hex := secret.NewValue([]byte(strings.Repeat("c0ffee00", 8)))
			under := must(cipher.NewGCM(hex))(t)
			s.exec("UPDATE {deployment_key} SET status = 'inactive' WHERE id = " + literal(added))
			s.exec("INSERT INTO {deployment_key} (id, type, value, algorithm, status) VALUES ('rotated', " +
				"'data_encryption', " +
				literal(cipher.NewWrapping(fresh).Encrypt(hex)) + ", 'aes-256-gcm', 'active')")
			s.newCredential("late3", cipher.Join("rotated", under.Encrypt(secret.NewValue([]byte(`{"late":3}`)))))
		}
		s.exec("DELETE FROM {credentials_entity} WHERE id = " + literal(s.Credentials[0].ID))
		done, err := s.undoWith(rekey.Options{New: fresh, Backup: o.Backup})
		if err != nil {
			t.Fatalf("%v\n%s", err, fault.HintOf(err))
		}
		lines, closed := s.reads(s.master())
		if want := len(s.Values) - 1 + 2 + map[bool]int{true: 1}[rotated]; closed != 0 ||
			len(lines) != want || done.Gone != 1 {
			t.Errorf("%d values open, want %d; %d closed, %d gone", len(lines), want, closed, done.Gone)
		}
		if got := s.deploymentKeys(s.master()); got[added] != "" {
			t.Error("the added data key is still there")
		}
		s.legacyIs(s.master())
	}
}

func (s *site) newCredential(id, data string) {
	s.t.Helper()
	s.exec("INSERT INTO {credentials_entity} (id, name, type, data) VALUES (" + literal(id) +
		", 'late', 'httpHeaderAuth', " + literal(data) + ")")
}

// TestHalfBricked starts from what the usual guides leave behind: recipe a (values new, deployment_key old), c (rows
// rewrapped, the legacy data key old, and something written since), and d (the same with prefixed values).
func TestHalfBricked(t *testing.T) {
	fresh := masterkey.Generate()
	recipes := map[string]func(s *site){
		"a": func(s *site) { s.recrypt(fresh, 100) },
		"c": func(s *site) {
			for _, k := range s.DataKeys {
				if k.Type != cipher.TypeInstanceID {
					s.exec("UPDATE {deployment_key} SET value = " +
						literal(cipher.NewWrapping(fresh).Encrypt(secret.NewValue([]byte(k.Plain)))) +
						" WHERE id = " + literal(k.ID))
				}
			}
			s.recrypt(fresh, 3)
		},
	}
	for name, spoil := range recipes {
		for _, recording := range []string{"2.41.1-sqlite", "2.41.1-sqlite-rotated", "2.41.1-postgres-prefixed"} {
			for _, next := range []string{"to the key of its environment", "on to another"} {
				t.Run(name+" "+recording+" "+next, func(t *testing.T) {
					s := newSite(t, recorded.Named(t, recording))
					spoil(s)
					o := s.fromTo(s.master(), fresh)
					if next == "on to another" {
						s.mustRun(o)
						o = s.fromTo(fresh, masterkey.Generate())
					}
					s.mustRun(o)
					s.readsAll(o.New)
				})
			}
		}
	}
}

// TestLegacyKeyOfItsOwn is recipe c taken one key further: the operator has forgotten the key that the legacy data key
// still is.
func TestLegacyKeyOfItsOwn(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
	now := masterkey.Generate()
	for _, k := range s.DataKeys {
		if k.Type != cipher.TypeInstanceID {
			s.exec("UPDATE {deployment_key} SET value = " +
				literal(cipher.NewWrapping(now).Encrypt(secret.NewValue([]byte(k.Plain)))) +
				" WHERE id = " + literal(k.ID))
		}
	}
	before := s.dump()
	o := s.fromTo(now, masterkey.Generate())
	s.mustRun(o)
	s.readsAll(o.New)
	if _, err := s.undoWith(rekey.Options{New: o.New, Backup: o.Backup}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before["\"credentials_entity\""], s.dump()["\"credentials_entity\""]); diff != "" {
		t.Error(diff)
	}
}

// TestEveryVariantOfARow has deployment_key as earlier versions wrote it.
func TestEveryVariantOfARow(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	jwk := `{"kty":"RSA","d":"x"}`
	for name, rows := range map[string]func(master secret.Value) [][3]string{ // type, algorithm, value
		"raw master": func(m secret.Value) [][3]string {
			return [][3]string{{"data_encryption", "aes-256-cbc", string(m.Reveal())}}
		},
		"raw hex": func(secret.Value) [][3]string { return [][3]string{{"data_encryption", "aes-256-gcm", hex}} },
		"cbc-wrapped": func(m secret.Value) [][3]string {
			return [][3]string{
				{"data_encryption", "aes-256-gcm", cipher.NewCBC(m).Encrypt(secret.NewValue([]byte(hex)))},
				{"jwe.private-key", "RSA-OAEP-256", cipher.NewCBC(m).Encrypt(secret.NewValue([]byte(jwk)))},
			}
		},
		"plain": func(secret.Value) [][3]string {
			return [][3]string{
				{"signing.hmac", "", "s1"},
				{"signing.jwt", "", "s2"},
				{"signing.binary_data", "", "s3"},
				{"instance.id", "", "i"},
			}
		},
		"jwe": func(m secret.Value) [][3]string {
			return [][3]string{{
				"jwe.private-key", "RSA-OAEP-256",
				cipher.NewWrapping(m).Encrypt(secret.NewValue([]byte(jwk))),
			}}
		},
	} {
		for _, leaked := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
				s.exec("DELETE FROM {deployment_key}")
				for i, row := range rows(s.master()) {
					s.exec("INSERT INTO {deployment_key} (id, type, algorithm, value, status) VALUES ("+
						literal(string(rune('a'+i)))+", ?, nullif(?, ''), ?, 'active')", row[0], row[1], row[2])
				}
				before := s.dump()
				plain := s.deploymentKeys(s.master())
				o := s.fromTo(s.master(), masterkey.Generate())
				o.Leaked = leaked
				s.mustRun(o)
				s.readsAll(o.New)
				for id, row := range s.deploymentKeys(o.New) {
					if !leaked && row != plain[id] && !strings.HasPrefix(row, "data_encryption aes-256-cbc") {
						t.Errorf("row %s: got another secret or status", id)
					}
				}
				if _, err := s.undoWith(rekey.Options{New: o.New, Backup: o.Backup}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before["\"credentials_entity\""], s.dump()["\"credentials_entity\""]); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(plain, s.deploymentKeys(s.master())); diff != "" {
					t.Error("undo: other rows of deployment_key than before")
				}
			})
		}
	}
}

// TestOddKeys changes to keys that n8n takes, one after the other.
func TestOddKeys(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite-rotated"))
	old := s.master()
	for _, key := range []string{
		strings.Repeat("0123456789abcdef", 4), "schlüssel-mit-ş-und-😀-und-mehr", `"quoted" and 'quoted'` +
			"\nwith a newline", "_ and s are low bytes",
		"ş and s are low bytes", "x", strings.Repeat("long", 4096), "\xff\xfe not UTF-8",
	} {
		fresh := secret.NewValue([]byte(key))
		s.mustRun(s.fromTo(old, fresh))
		s.readsAll(fresh)
		old = fresh
	}
	s.mustRun(s.fromTo(old, s.master()))
	s.readsAll(s.master())
}

// TestManyStrays: what was accepted in one column does not hide another.
func TestManyStrays(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
	for i := range 150 {
		stored := cipher.NewCBC(s.master()).Encrypt(secret.NewValue([]byte("a note")))
		s.exec("INSERT INTO {settings} ([key], value) VALUES (" + literal(strings.Repeat("n", i+1)) + ", " +
			literal(stored) + ")")
	}
	stored := cipher.NewCBC(s.master()).Encrypt(secret.NewValue([]byte("something of a later n8n")))
	s.exec("CREATE TABLE {zz_later} (id integer PRIMARY KEY, token text)")
	s.exec("INSERT INTO {zz_later} (token) VALUES (" + literal(stored) + ")")
	before := s.dump()
	o := s.fromTo(s.master(), masterkey.Generate())
	_, err := s.run(o)
	if err == nil || !strings.Contains(fault.HintOf(err), "settings.value") ||
		!strings.Contains(fault.HintOf(err), "zz_later.token") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
	o.Accept = []string{"settings.value"}
	_, err = s.run(o)
	if err == nil || !strings.Contains(err.Error(), "zz_later.token") {
		t.Errorf("got %v", err)
	}
	s.unchanged(before, o)
	o.Accept = append(o.Accept, "zz_later.token")
	s.mustRun(o)
}

// TestN8NStartsMeanwhile: whoever comes while the change is at work holds the old key in memory.
func TestN8NStartsMeanwhile(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-postgres"))
	before := s.dump()
	o := s.change(masterkey.Generate())
	var late func()
	ctx := t.Context()
	o.Progress = func(p rekey.Progress) {
		if p.Stage == "writing" && late == nil {
			conn := must(s.raw.Conn(ctx))(t)
			late = func() { _ = conn.Close() }
		}
	}
	_, err := s.run(o)
	if fault.ExitOf(err) != fault.ExitLocked {
		t.Errorf("got %v", err)
	}
	late()
	s.unchanged(before, o)
}

func TestSettingsOnASymlink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "volume.json"), filepath.Join(dir, "config")
	if err := os.WriteFile(real, []byte(`{"encryptionKey": "the-old-one-of-n8n", "tunnelSubdomain": "x"}`),
		0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("volume.json", link); err != nil {
		t.Fatal(err)
	}
	done, err := rekey.ChangeSettings(link, secret.NewValue([]byte("the-old-one-of-n8n")),
		secret.NewValue([]byte(`<new> & "quoted"`)))
	if err != nil || done != rekey.SettingsChanged {
		t.Fatalf("%s, %v", done, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is a file now")
	}
	if content, _ := os.ReadFile(real); !strings.Contains(string(content), `quoted`) ||
		!strings.Contains(string(content), "tunnelSubdomain") {
		t.Errorf("the file holds %d bytes", len(content))
	}
}

// TestEmptyDatabases have nothing under any key.
func TestEmptyDatabases(t *testing.T) {
	for _, name := range []string{"1.123.81-sqlite", "2.41.1-sqlite"} {
		s := newSite(t, recorded.Named(t, name))
		for _, table := range s.tables() {
			if !strings.Contains(table, "migrations") {
				s.exec("DELETE FROM " + table)
			}
		}
		s.mustRun(s.fromTo(s.master(), masterkey.Generate()))
	}
}

// TestLargeCredential has 2 MB.
func TestLargeCredential(t *testing.T) {
	some(t, func(t *testing.T, s *site) {
		plain := `{"key":"` + strings.Repeat("x", 2<<20) + `"}`
		s.newCredential("large", cipher.NewCBC(s.master()).Encrypt(secret.NewValue([]byte(plain))))
		o := s.fromTo(s.master(), masterkey.Generate())
		s.mustRun(o)
		lines, closed := s.reads(o.New)
		if closed != 0 || len(lines) != len(s.Values)+1 {
			t.Errorf("%d values, %d closed", len(lines), closed)
		}
		if _, err := s.undoWith(rekey.Options{New: o.New, Backup: o.Backup}); err != nil {
			t.Error(err)
		}
	})
}

// TestSpoiledBackup is refused, with nothing done, wherever a byte is another.
func TestSpoiledBackup(t *testing.T) {
	s := newSite(t, recorded.Named(t, "1.123.81-sqlite"))
	fresh := masterkey.Generate()
	o := s.fromTo(s.master(), fresh)
	s.mustRun(o)
	good := must(os.ReadFile(o.Backup))(t)
	twin := newSite(t, recorded.Named(t, "1.123.81-sqlite"))
	other := twin.fromTo(twin.master(), fresh)
	twin.mustRun(other)
	foreign := must(os.ReadFile(other.Backup))(t)
	line := func(b []byte) int { return strings.IndexByte(string(b), '\n') + 1 }
	spoiled := map[string][]byte{
		"empty": {}, "header alone": good[:line(good)], "header swapped": append(foreign[:line(foreign):line(foreign)], good[line(good):]...),
		"cut by one": good[:len(good)-1], "cut in half": good[:len(good)/2], "longer": append(slices.Clip(good), 'x'), "another file": []byte("{}\n{}\n"),
	}
	for at := range 40 {
		flipped := append([]byte(nil), good...)
		flipped[at*(len(good)-1)/39] ^= 0x20
		spoiled["flipped "+string(rune('A'+at))] = flipped
	}
	before := s.dump()
	for name, content := range spoiled {
		path := filepath.Join(t.TempDir(), "spoiled")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.undoWith(rekey.Options{Old: s.master(), New: fresh, Backup: path})
		if err == nil {
			t.Errorf("%s: it was taken", name)
			break
		}
		if strings.Contains(err.Error(), string(fresh.Reveal())) || strings.Contains(err.Error(), s.Master) {
			t.Errorf("%s: the error holds a key", name)
		}
	}
	if diff := cmp.Diff(before, s.dump()); diff != "" {
		t.Error(diff)
	}
	if _, err := s.undoWith(rekey.Options{
		New:    masterkey.Generate(),
		Backup: o.Backup,
	}); fault.ExitOf(err) != fault.ExitKeyMismatch {
		t.Errorf("another key: %v", err)
	}
}

// TestLeakedBackup does not open with the key that has leaked.
func TestLeakedBackup(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
	o := s.fromTo(s.master(), masterkey.Generate())
	o.Leaked = true
	s.mustRun(o)
	if _, err := s.undoWith(rekey.Options{
		Old:    s.master(),
		Backup: o.Backup,
	}); fault.ExitOf(err) != fault.ExitKeyMismatch {
		t.Errorf("got %v", err)
	}
}

// TestUndoWithKept: values that no key opened stay what they were; more of them are a reason to stop.
func TestUndoWithKept(t *testing.T) {
	some(t, func(t *testing.T, s *site) {
		n := s.recrypt(secret.NewValue([]byte("a third key that nobody has")), 2)
		before := s.dump()
		o := s.fromTo(s.master(), masterkey.Generate())
		o.KeepUnreadable = true
		if report := s.mustRun(o); report.Kept != n {
			t.Fatalf("%d kept, want %d", report.Kept, n)
		}
		s.newCredential("foreign",
			cipher.NewCBC(secret.NewValue([]byte("a fourth key"))).Encrypt(secret.NewValue([]byte(`{"a":1}`))))
		if _, err := s.undoWith(rekey.Options{New: o.New, Backup: o.Backup}); fault.ExitOf(err) != fault.ExitFindings {
			t.Errorf("a value of another key: got %v", err)
		}
		s.exec("DELETE FROM {credentials_entity} WHERE id = 'foreign'")
		if _, err := s.undoWith(rekey.Options{New: o.New, Backup: o.Backup}); err != nil {
			t.Fatalf("%v\n%s", err, fault.HintOf(err))
		}
		credentials := s.names("{credentials_entity}")
		if s.Dialect == recorded.Postgres {
			credentials = `public.credentials_entity`
		}
		if diff := cmp.Diff(before[credentials], s.dump()[credentials]); diff != "" || before[credentials] == nil {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

// TestCancelledLate: a change that is cancelled when all is proved is made or not, and its backup is there or not,
// together.
func TestCancelledLate(t *testing.T) {
	s := newSite(t, recorded.Named(t, "2.41.1-sqlite"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := s.fromTo(s.master(), masterkey.Generate())
	before := s.dump()
	o.Progress = func(p rekey.Progress) {
		if p.Stage == "proving" && p.Done == p.Total {
			cancel()
		}
	}
	db := must(database.Open(ctx, database.Options{URL: s.options.URL, Write: true}))(t)
	_, err := rekey.Run(ctx, db, o)
	_ = db.Close()
	if err != nil {
		s.unchanged(before, o)
		return
	}
	s.readsAll(o.New)
}

// TestManyUnreadableFirst: what nobody can read does not hide what comes after it.
func TestManyUnreadableFirst(t *testing.T) {
	s := newSite(t, recorded.Named(t, "1.123.81-sqlite"))
	lost := cipher.NewCBC(secret.NewValue([]byte("a key that is lost")))
	s.exec("UPDATE {credentials_entity} SET id = 'zz' || substr(id, 3)")
	const n = 2500
	for range n {
		s.exec("INSERT INTO {credentials_entity} (id, name, type, data) VALUES ('aa' || hex(randomblob(7)), 'lost', "+
			"'httpHeaderAuth', ?)", lost.Encrypt(secret.NewValue([]byte(`{"a":1}`))))
	}
	s.exec("CREATE TABLE {turned} AS SELECT * FROM {credentials_entity} ORDER BY id")
	s.exec("DELETE FROM {credentials_entity}")
	s.exec("INSERT INTO {credentials_entity} SELECT * FROM {turned}")
	s.exec("DROP TABLE {turned}")
	o := s.fromTo(s.master(), masterkey.Generate())
	o.KeepUnreadable = true
	if report := s.mustRun(o); report.Kept != n || report.Changed != len(s.Values) {
		t.Errorf("%d kept and %d changed, want %d and %d", report.Kept, report.Changed, n, len(s.Values))
	}
	o.KeepUnreadable = false
	done, err := s.undoWith(rekey.Options{New: o.New, Backup: o.Backup})
	if err != nil || done.Kept != n {
		t.Errorf("undo: %d kept, %v", done.Kept, err)
	}
}
