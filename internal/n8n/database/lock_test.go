package database_test

import (
	"context"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/database"
)

// impatient makes a foreigner's statements fail at once when they meet a lock.
func (s *site) impatient() {
	s.t.Helper()
	s.exec(map[database.Dialect]string{
		database.SQLite:     "PRAGMA busy_timeout = 0",
		database.PostgreSQL: "SET lock_timeout = '1ms'",
		database.MySQL:      "SET innodb_lock_wait_timeout = 0",
	}[s.dialect])
}

// TestNobodyElseWrites while a writing transaction is open: neither to a row that is there, nor a new one, in any
// place's table.
func TestNobodyElseWrites(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.insert("credentials_entity", "id", "m", "name", "x", "data", "old", "type", "t")
		s.impatient()
		statements := []string{
			`UPDATE "Pcredentials_entity" SET data = 'theirs' WHERE id = 'm'`,
			`DELETE FROM "Pcredentials_entity" WHERE id = 'm'`,
			`INSERT INTO "Pcredentials_entity" (id, name, data, type) VALUES ('a', 'x', 'y', 't')`,
			`INSERT INTO "Pcredentials_entity" (id, name, data, type) VALUES ('z', 'x', 'y', 't')`,
			`INSERT INTO "Psettings" ("key", value) VALUES ('features.oidc', '{}')`,
			`INSERT INTO "Pexecution_data" ("executionId", "workflowData", data) VALUES (7, '{}', '[]')`,
		}
		if s.dialect != database.MySQL {
			statements = append(statements,
				`INSERT INTO "Pdeployment_key" (id, type, value, status) VALUES ('a', 't', 'v', 'active')`)
		}
		tx := begin(t, s.open(), true)
		foreign := func(statement string) error {
			_, err := s.raw.ExecContext(t.Context(), s.sql(strings.ReplaceAll(statement, `"P`, `"`+s.TablePrefix)))
			return err
		}
		for _, statement := range statements {
			if err := foreign(statement); err == nil {
				t.Errorf("went through: %s", statement)
			}
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		for _, statement := range statements {
			if err := foreign(statement); err != nil {
				t.Errorf("after the end, %s: %v", statement, err)
			}
		}
	})
}

// TestBeginMeetsAWriter and says that something must be stopped.
func TestBeginMeetsAWriter(t *testing.T) {
	onDialects(t, func(t *testing.T, s *site) {
		s.insert("credentials_entity", "id", "m", "name", "x", "data", "old", "type", "t")
		db := s.open()
		theirs, err := s.raw.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Rollback()
		if _, err := theirs.ExecContext(t.Context(),
			s.sql(`UPDATE "`+s.TablePrefix+`credentials_entity" SET data = 'theirs'`)); err != nil {
			t.Fatal(err)
		}
		tx, err := db.Begin(t.Context(), true)
		if err == nil {
			tx.Rollback()
			t.Fatal("it begins")
		}
		if fault.ExitOf(err) != fault.ExitLocked || !strings.Contains(fault.HintOf(err), "stop every n8n process") {
			t.Errorf("exit %d: %v — %s", fault.ExitOf(err), err, fault.HintOf(err))
		}
		if err := theirs.Rollback(); err != nil {
			t.Fatal(err)
		}
		begin(t, db, true)
	})
}

// TestSnapshot: a transaction that reads sees one state, whatever others write.
func TestSnapshot(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.insert("credentials_entity", "id", "m", "name", "x", "data", "old", "type", "t")
		tx := begin(t, s.open(), false)
		s.exec(s.sql(`UPDATE "` + s.TablePrefix + `credentials_entity" SET data = 'theirs'`))
		cell, _, err := tx.Get(t.Context(), placeOf(t, "credentials_entity.data"), []string{"m"})
		if cell != "old" || err != nil {
			t.Errorf("got %q, %v", cell, err)
		}
	})
}

// TestRollbackOfACancelledCaller: nothing stays, and nobody stays locked out.
func TestRollbackOfACancelledCaller(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.insert("credentials_entity", "id", "m", "name", "x", "data", "old", "type", "t")
		p := placeOf(t, "credentials_entity.data")
		ctx, cancel := context.WithCancel(t.Context())
		db := s.open()
		tx, err := db.Begin(ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Update(ctx, p, []database.Row{{Key: []string{"m"}, Cell: "new"}}); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := tx.Update(ctx, p, []database.Row{{Key: []string{"m"}, Cell: "newer"}}); err == nil {
			t.Error("written for a caller who was cancelled")
		}
		tx.Rollback()
		if err := tx.Commit(); err == nil {
			t.Error("committed after the end")
		}
		if cell, _, err := begin(t, db, true).Get(t.Context(), p, []string{"m"}); cell != "old" || err != nil {
			t.Errorf("got %q, %v", cell, err)
		}
	})
}
