package survey_test

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	_ "modernc.org/sqlite"

	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/recorded"
)

func key(text string) secret.Value { return secret.NewValue([]byte(text)) }

// TestNoGarbage has short texts under the second key, of which the first opens one of 256 to garbage. Here every
// garbage is taken for text, which of printable text happens once in 10^9.
func TestNoGarbage(t *testing.T) {
	first, second := masterkey.Generate(), masterkey.Generate()
	ring, err := survey.NewKeyring(nil, first, second)
	if err != nil {
		t.Fatal(err)
	}
	ambiguous := 0
	for i := range 4000 {
		plain := fmt.Sprintf("password %d", i)
		opened, err := ring.Open(cipher.NewCBC(second).Encrypt(key(plain)), func([]byte) bool { return true })
		switch {
		case errors.Is(err, survey.ErrAmbiguous):
			ambiguous++
		case err != nil || opened.Master != 1 || string(opened.Plain.Reveal()) != plain:
			t.Fatalf("value %d: opened with the key %d, %v", i, opened.Master, err)
		}
	}
	if ambiguous == 0 || ambiguous > 100 {
		t.Errorf("%d of 4000 values were ambiguous, want about 16", ambiguous)
	}
	if _, err := ring.Open(cipher.NewCBC(first).Encrypt(key(`{"a": 1}`)), survey.Text); err != nil {
		t.Errorf("an object: %v", err)
	}
}

// TestSameKeyTwice: keys that n8n reads alike are no ambiguity.
func TestSameKeyTwice(t *testing.T) {
	ring, err := survey.NewKeyring(nil, key("a key with ş in it"), key("a key with _ in it"))
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"a key with ş in it", "a key with _ in it"} {
		if _, err := ring.Open(cipher.NewCBC(key(by)).Encrypt(key("short")), survey.Text); err != nil {
			t.Error(err)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		recording string
		spoil     string // SQL
		wrong     bool   // the key
		want      survey.Result
		proof     string
	}{
		{"1.123.81-sqlite", "", false, survey.Match, survey.ProofValues},
		{"1.123.81-sqlite", "", true, survey.Mismatch, ""},
		{"1.123.81-sqlite", "UPDATE credentials_entity SET data = (SELECT mfaSecret FROM user) WHERE id = (SELECT min(id) FROM credentials_entity)", false, survey.Mixed, survey.ProofValues},
		{"1.123.81-sqlite", "DELETE FROM credentials_entity; DELETE FROM user; DELETE FROM settings; DELETE FROM execution_data", false, survey.Unproven, ""},
		{"2.41.1-sqlite-rotated", "", false, survey.Match, survey.ProofRows},
		{"2.41.1-sqlite-rotated", "", true, survey.Mismatch, ""},
		{"2.41.1-sqlite-rotated", "UPDATE credentials_entity SET data = 'gone:' || data WHERE instr(data, ':') = 0", false, survey.Mixed, survey.ProofRows},
	} {
		t.Run(fmt.Sprintf("%s %s", test.recording, test.want), func(t *testing.T) {
			r := recorded.Named(t, test.recording)
			path := r.SQLite(t)
			raw, err := sql.Open("sqlite", path)
			if err == nil && test.spoil != "" {
				_, err = raw.ExecContext(t.Context(), test.spoil)
			}
			if err = errors.Join(err, raw.Close()); err != nil {
				t.Fatal(err)
			}
			db, err := database.Open(t.Context(), database.Options{URL: "sqlite://" + path})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			master := key(r.Master)
			if test.wrong {
				master = key("another key altogether")
			}
			v, err := survey.Check(t.Context(), db, master)
			if err != nil || v.Result != test.want || v.Proof != test.proof {
				t.Errorf("got %s by %q, %v; want %s by %q", v.Result, v.Proof, err, test.want, test.proof)
			}
		})
	}
}
