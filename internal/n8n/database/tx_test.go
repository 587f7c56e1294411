package database_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/n8n/database"
)

// TestRowsAndUpdate rewrites more rows than a page holds, from within the walk, and finds each once.
func TestRowsAndUpdate(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		const rows = 2500
		ctx := t.Context()
		want := map[string]string{"large": strings.Repeat("0123456789abcde\n", 2<<20/16)}
		for i := range rows {
			want[fmt.Sprintf("%c%d-ä", 'a'+i%26, i)] = fmt.Sprintf("U2FsdGVkX1 %d é😀", i)
		}
		s.inBulk(func() {
			for id, cell := range want {
				s.insert("credentials_entity", "id", id, "name", "x", "data", cell, "type", "t")
			}
			s.insert("credentials_entity", "id", "empty", "name", "x", "data", "", "type", "t")
		})

		db := s.open()
		tx := begin(t, db, true)
		p := placeOf(t, "credentials_entity.data")
		got := make(map[string]string)
		err := tx.Rows(ctx, p, func(batch []database.Row) error {
			if len(batch) > 1000 {
				t.Errorf("a batch of %d", len(batch))
			}
			for i, row := range batch {
				got[row.Key[0]] += row.Cell
				batch[i].Cell += " again"
			}
			return tx.Update(ctx, p, batch)
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("%d rows, want %d", len(got), len(want))
		}
		for id, cell := range want {
			if got[id] != cell {
				t.Fatalf("row %s has %d bytes, want %d", id, len(got[id]), len(cell))
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		for _, row := range all(ctx, t, begin(t, db, false), p) {
			if row.Cell != want[row.Key[0]]+" again" {
				t.Fatalf("row %s has %d bytes after the commit", row.Key[0], len(row.Cell))
			}
		}
	})
}

// TestUpdateThatHitsNothing is refused, and so is a row that is written twice at once.
func TestUpdateThatHitsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.insert("credentials_entity", "id", "1", "name", "x", "data", "old", "type", "t")
		db := s.open()
		p := placeOf(t, "credentials_entity.data")
		for _, rows := range [][]database.Row{
			{{Key: []string{"2"}, Cell: "new"}},
			{{Key: []string{"1"}, Cell: "new"}, {Key: []string{"2"}, Cell: "new"}},
			{{Key: []string{"1", "2"}, Cell: "new"}},
		} {
			tx := begin(t, db, true)
			if err := tx.Update(t.Context(), p, rows); err == nil {
				t.Errorf("%v was written", rows)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
		tx := begin(t, db, true)
		if err := tx.Update(t.Context(), p, []database.Row{{Key: []string{"1"}, Cell: "old"}}); err != nil {
			t.Errorf("a row that stays as it is: %v", err)
		}
		if cell, found, err := tx.Get(t.Context(), p, []string{"1"}); cell != "old" || !found || err != nil {
			t.Errorf("got %q, %v, %v", cell, found, err)
		}
		if _, found, err := tx.Get(t.Context(), p, []string{"2"}); found || err != nil {
			t.Errorf("got %v, %v", found, err)
		}
	})
}

// TestLocations: every location of the inventory is found, read and written where its table is.
func TestLocations(t *testing.T) {
	const uuid = "5f0c1c3e-8a54-4a58-9a3f-0c7a1a2b3c4d"
	cells := map[string][]any{
		"credentials_entity.data":                       {"id", "c", "name", "x", "type", "t"},
		"user.mfaSecret":                                {"id", uuid},
		"user.mfaRecoveryCodes":                         {"id", "6f0c1c3e-8a54-4a58-9a3f-0c7a1a2b3c4d"},
		"secrets_provider_connection.encryptedSettings": {"providerKey", "p", "type", "vault"},
		"dynamic_credential_resolver.config":            {"id", "r", "name", "x", "type", "t"},
		"dynamic_credential_entry.data":                 {"credential_id", "c", "subject_id", "s,'\"é", "resolver_id", "r"},
		"dynamic_credential_user_entry.data":            {"credentialId", "c", "userId", uuid, "resolverId", "r"},
		"promotion_provider.auth":                       {"id", "p", "name", "x", "config", "{}"},
		"execution_data.data":                           {"executionId", 7, "workflowData", "{}"},
	}
	onEach(t, func(t *testing.T, s *site) {
		db := s.open()
		tx := begin(t, db, false)
		locations, err := tx.Locations(t.Context())
		if want := len(database.Inventory()); err != nil || s.dialect != database.MySQL && len(locations) != want {
			t.Fatalf("%d places, %v", len(locations), err)
		}
		tx.Rollback()
		for _, p := range locations {
			pairs, cell := cells[p.String()], "U2FsdGVkX1"
			if p.Setting != "" {
				pairs = []any{"key", p.Setting}
			}
			switch p.Layout {
			case database.Object:
				cell = fmt.Sprintf(`{"%s":"U2FsdGVkX1"}`, p.Paths[0])
			case database.Flatted:
				cell = `[{"executionData":"1"},{"runtimeData":"2"},{"credentials":"3"},"U2FsdGVkX1"]`
			}
			s.insert(p.Table, slices.Concat(pairs, []any{p.Column, cell})...)
		}
		tx = begin(t, db, true)
		for _, p := range locations {
			rows := all(t.Context(), t, tx, p)
			if len(rows) != 1 || len(rows[0].Key) != len(p.Key) {
				t.Errorf("%s: %v", p, rows)
				continue
			}
			values, err := p.Values(rows[0].Cell)
			if err != nil || len(values) != 1 || values[0].Stored != "U2FsdGVkX1" {
				t.Errorf("%s: %v, %v", p, values, err)
			}
			if rows[0].Cell, err = p.Replace(rows[0].Cell, []string{"new"}); err != nil {
				t.Errorf("%s: %v", p, err)
			}
			if err := tx.Update(t.Context(), p, rows); err != nil {
				t.Error(err)
			}
			if cell, found, err := tx.Get(t.Context(), p, rows[0].Key); cell != rows[0].Cell || !found || err != nil {
				t.Errorf("%s: got %q, %v, %v", p, cell, found, err)
			}
		}
	})
}

// TestUpdateLeavesTheTime: updatedAt is n8n's, also where the database would set it by itself.
func TestUpdateLeavesTheTime(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		const then = "2025-01-02 03:04:05.678"
		s.insert("credentials_entity", "id", "1", "name", "x", "data", "old", "type", "t", "updatedAt", then)
		tx := begin(t, s.open(), true)
		if err := tx.Update(t.Context(), placeOf(t, "credentials_entity.data"),
			[]database.Row{{Key: []string{"1"}, Cell: "new"}}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		var n int
		row := s.raw.QueryRowContext(t.Context(),
			s.sql(`SELECT count(*) FROM "`+s.TablePrefix+`credentials_entity" WHERE data = 'new' AND "updatedAt" = ?`),
			then)
		if err := row.Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows with the time that they had, %v", n, err)
		}
	})
}
