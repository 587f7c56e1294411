package database_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/recorded"
)

// load puts a recording into a database of its own.
func load(t *testing.T, r recorded.Recording) database.Options {
	t.Helper()
	o := database.Options{TablePrefix: r.Prefix, Schema: r.Schema, Write: true}
	switch r.Dialect {
	case recorded.SQLite:
		o.URL = "sqlite://" + r.SQLite(t)
	case recorded.Postgres:
		o.URL = postgres.URL(t)
		conn, err := pgx.Connect(t.Context(), o.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.PgConn().Exec(t.Context(), string(r.SQL(t))).ReadAll(); err != nil {
			t.Fatal(err)
		}
	case recorded.MySQL:
		config := maria.Config(t)
		o.URL = "mysql://" + config.User + "@localhost/" + config.DBName + "?socket=" + config.Addr
		config.MultiStatements = true
		connector, err := mysql.NewConnector(config)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), string(r.SQL(t))); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func eachRecording(t *testing.T, test func(t *testing.T, r recorded.Recording, db *database.DB)) {
	for _, r := range recorded.All(t) {
		t.Run(r.Name, func(t *testing.T) {
			db, err := database.Open(t.Context(), load(t, r))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			test(t, r, db)
		})
	}
}

// TestRecordedValues: in databases that real n8n versions made, the inventory finds every encrypted value and nothing
// else, at its place; put back, it leaves each cell as it was.
func TestRecordedValues(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded.Recording, db *database.DB) {
		tx := begin(t, db, true)
		keys := dataKeys(t, tx, r)
		locations, err := tx.Locations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, v := range r.Values {
			want = append(want, fmt.Sprintf("%s.%s %s: %s", v.Table, v.Column, strings.Join(v.Key, ","), v.Plain))
		}
		for _, p := range locations {
			for _, row := range all(t.Context(), t, tx, p) {
				values, err := p.Values(row.Cell)
				if err != nil {
					t.Errorf("%s of %v: %v", p, row.Key, err)
				}
				if same, err := p.Replace(row.Cell, stored(values)); err != nil || same != row.Cell {
					t.Errorf("%s of %v changes by being put back: %v", p, row.Key, err)
				}
				for _, v := range values {
					plain := decrypt(t, keys, v.Stored)
					if !p.Right(plain) {
						t.Errorf("%s of %v: what it says is not taken for right", p, row.Key)
					}
					got = append(got, fmt.Sprintf("%s.%s %s: %s", p.Table, p.Column, strings.Join(row.Key, ","), plain))
				}
				if err := tx.Update(t.Context(), p, []database.Row{row}); err != nil {
					t.Error(err)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// dataKeys are the ciphers by the id before a value; "" is what has no id.
func dataKeys(t *testing.T, tx *database.Tx, r recorded.Recording) map[string]cipher.Cipher {
	t.Helper()
	master := secret.NewValue([]byte(r.Master))
	keys := map[string]cipher.Cipher{"": cipher.NewCBC(master)}
	rows, err := tx.DeploymentKeys(t.Context())
	if err != nil || len(rows) != len(r.DataKeys) {
		t.Fatalf("%d deployment keys, want %d; %v", len(rows), len(r.DataKeys), err)
	}
	for _, row := range rows {
		plain, _, err := row.Unwrap(master)
		if err != nil {
			t.Fatalf("%s: %v", row.ID, err)
		}
		if row.Type == cipher.TypeDataEncryption {
			if keys[row.ID], err = cipher.New(row.Algorithm, plain); err != nil {
				t.Fatal(err)
			}
		}
	}
	return keys
}

func decrypt(t *testing.T, keys map[string]cipher.Cipher, stored string) []byte {
	t.Helper()
	id, rest, err := cipher.Split(stored)
	if err != nil || keys[id] == nil {
		t.Fatalf("no key %q: %v", id, err)
	}
	plain, err := keys[id].Decrypt(rest)
	if err != nil {
		t.Fatal(err)
	}
	return plain.Reveal()
}

// TestRecordedSites: what the rest of the package says of them.
func TestRecordedSites(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded.Recording, db *database.DB) {
		edition, err := db.Edition(t.Context())
		line := database.Line1
		switch {
		case len(r.DataKeys) > 0:
			line = database.Line2
		case strings.HasPrefix(r.N8N, "2."):
			line = database.Line2Early
		}
		if err != nil || edition.Newer || edition.Line != line || edition.DeploymentKeys != (len(r.DataKeys) > 0) ||
			edition.Migration == "" {
			t.Errorf("%+v, %v", edition, err)
		}
		if at, what, err := db.LastActivity(t.Context()); err != nil || at.Year() < 2025 || what == "" {
			t.Errorf("last active at %s: %q, %v", at, what, err)
		}
		found, err := db.Plaintext(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, want := range []struct {
			table string
			count int
		}{{"user_api_keys", len(r.APIKeys)}, {"execution_entity", 1}} {
			i := slices.IndexFunc(found, func(f database.Finding) bool { return f.Table == want.table })
			if i < 0 || found[i].Count != int64(want.count) {
				t.Errorf("%s: %+v", want.table, found)
			}
		}
		for _, f := range found {
			for _, key := range r.APIKeys {
				if strings.Contains(strings.Join(f.Names, " "), key.Raw) {
					t.Errorf("%s quotes a key", f.What)
				}
			}
		}
		tx := begin(t, db, false)
		var ids []string
		for _, key := range r.DataKeys {
			ids = append(ids, key.ID)
		}
		err = tx.Strays(t.Context(), ids, func(s database.Stray) error { t.Errorf("a stray in %s", s); return nil })
		if err != nil {
			t.Error(err)
		}
	})
}
