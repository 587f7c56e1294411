package recorded_test

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/secret"
	"sallyport/internal/testkit"
	"sallyport/internal/testkit/mariadb"
	"sallyport/internal/testkit/recorded"
)

var (
	postgres testkit.Postgres
	maria    mariadb.Server
)

type both struct{ *testing.M }

// Run implements the argument of mariadb.Server.Main.
func (b both) Run() int { return postgres.Main(b.M) }

func TestMain(m *testing.M) { os.Exit(maria.Main(both{m})) }

func TestEveryRecordingUnpacks(t *testing.T) {
	for _, r := range recorded.All(t) {
		t.Run(r.Name, func(t *testing.T) {
			if len(r.Credentials) < 10 || len(r.Values) < 25 || len(r.APIKeys) == 0 ||
				r.Waiting == "" || r.Master == "" {
				t.Errorf("%d credentials, %d values, %d API keys, execution %q", len(r.Credentials), len(r.Values),
					len(r.APIKeys), r.Waiting)
			}
			db := open(t, r)
			var credentials int
			if err := db.QueryRowContext(t.Context(),
				"SELECT count(*) FROM "+table(r)).Scan(&credentials); err != nil || credentials != len(r.Credentials) {
				t.Errorf("%d credentials in the database, %d in the manifest: %v", credentials, len(r.Credentials), err)
			}
		})
	}
}

func table(r recorded.Recording) string {
	if r.Schema != "" {
		return r.Schema + "." + r.Prefix + "credentials_entity"
	}
	return r.Prefix + "credentials_entity"
}

// open loads the recording into a database of the test's own.
func open(t *testing.T, r recorded.Recording) *sql.DB {
	t.Helper()
	driver, source := "sqlite", ""
	switch r.Dialect {
	case recorded.SQLite:
		source = r.SQLite(t)
	case recorded.Postgres:
		driver, source = "pgx", postgres.URL(t)
	default:
		config := maria.Config(t)
		config.MultiStatements = true
		driver, source = "mysql", config.FormatDSN()
	}
	if r.Dialect != recorded.SQLite {
		load(t, driver, source, string(r.SQL(t)))
	}
	return opened(t, driver, source)
}

func load(t *testing.T, driver, source, dump string) {
	t.Helper()
	if _, err := opened(t, driver, source).ExecContext(t.Context(), dump); err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestTheManifestIsWhatTheDatabaseHolds reads each credential and data key with the keys of the manifest: what package
// cipher makes of a real n8n's database is what that n8n made of it.
func TestTheManifestIsWhatTheDatabaseHolds(t *testing.T) {
	for _, r := range recorded.Of(t, recorded.SQLite) {
		t.Run(r.Name, func(t *testing.T) {
			db := open(t, r)
			ring := keyRing(t, r, db)
			for _, v := range r.Values {
				if v.Table != "credentials_entity" {
					continue
				}
				stored := cell(t, db, `SELECT data FROM credentials_entity WHERE id = ?`, v.Key[0])
				id, ciphertext, err := cipher.Split(stored)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := ring[id].Decrypt(ciphertext)
				if err != nil || string(plain.Reveal()) != v.Plain {
					t.Errorf("credential %s under key %q: %v, or it is another", v.Key[0], id, err)
				}
			}
		})
	}
}

// keyRing are the ciphers of the data keys by id; "" is what has no prefix.
func keyRing(t *testing.T, r recorded.Recording, db *sql.DB) map[string]cipher.Cipher {
	t.Helper()
	master := secret.NewValue([]byte(r.Master))
	ring := map[string]cipher.Cipher{"": cipher.NewCBC(master)}
	for _, k := range r.DataKeys {
		row := cipher.DeploymentKey{Type: k.Type, Algorithm: k.Algorithm}
		row.Value = secret.NewValue([]byte(cell(t, db, `SELECT value FROM deployment_key WHERE id = ?`, k.ID)))
		plain, _, err := row.Unwrap(master)
		if err != nil || string(plain.Reveal()) != k.Plain {
			t.Errorf("deployment key %s of type %s: %v, or it is another", k.ID, k.Type, err)
			continue
		}
		if k.Type != cipher.TypeDataEncryption {
			continue
		}
		if ring[k.ID], err = cipher.New(k.Algorithm, plain); err != nil {
			t.Fatal(err)
		}
	}
	return ring
}

func cell(t *testing.T, db *sql.DB, query, key string) string {
	t.Helper()
	var text string
	if err := db.QueryRowContext(t.Context(), query, key).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}
