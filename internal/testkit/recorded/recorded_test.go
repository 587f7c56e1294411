package recorded_test

import (
	"database/sql"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/recorded"
)

func TestEveryRecordingUnpacks(t *testing.T) {
	for _, r := range recorded.All(t) {
		t.Run(r.Name, func(t *testing.T) {
			if len(r.Credentials) < 10 || len(r.Values) < 25 || len(r.APIKeys) == 0 || r.Waiting == "" || r.Master == "" {
				t.Errorf("%d credentials, %d values, %d API keys, execution %q", len(r.Credentials), len(r.Values), len(r.APIKeys), r.Waiting)
			}
			if r.Dialect == recorded.SQLite {
				r.SQLite(t)
			} else if !strings.Contains(string(r.SQL(t)), r.Prefix+"credentials_entity") {
				t.Error("the dump has no credentials")
			}
		})
	}
}

// TestTheManifestIsWhatTheDatabaseHolds reads each credential and data key with the keys of the manifest: what package cipher
// makes of a real n8n's database is what that n8n made of it.
func TestTheManifestIsWhatTheDatabaseHolds(t *testing.T) {
	for _, r := range recorded.Of(t, recorded.SQLite) {
		t.Run(r.Name, func(t *testing.T) {
			db, err := sql.Open("sqlite", r.SQLite(t))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
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
