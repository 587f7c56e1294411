package builtin_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
	"sallyport/internal/secret/seal"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// onBoth runs test on a place of either dialect, each a new, empty database with a key of its own.
func onBoth(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newPlace(t, filepath.Join(t.TempDir(), "state.db"))) })
	t.Run("postgres", func(t *testing.T) { test(t, newPlace(t, postgres.URL(t))) })
}

// place is where a store lives.
type place struct{ url, key string }

func newPlace(t *testing.T, url string) place {
	t.Helper()
	p := place{url: url, key: filepath.Join(t.TempDir(), "seal.key")}
	if err := seal.GenerateKeyFile(p.key); err != nil {
		t.Fatal(err)
	}
	return p
}

// open opens the store as a process does when it starts.
func (p place) open(t *testing.T) (*builtin.Store, *database.DB) {
	t.Helper()
	db, err := database.Open(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keeper, err := seal.KeyFromFile(p.key)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.Open(t.Context(), db, keeper)
	if err != nil {
		t.Fatal(err)
	}
	return builtin.New(db, sealer), db
}

func TestConformance(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) secret.Store {
			store, _ := newPlace(t, filepath.Join(t.TempDir(), "state.db")).open(t)
			return store
		})
	})
	t.Run("postgres", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) secret.Store {
			store, _ := newPlace(t, postgres.URL(t)).open(t)
			return store
		})
	})
}

func TestPutsOfSeveralProcesses(t *testing.T) {
	onBoth(t, func(t *testing.T, p place) {
		var stores []secret.Store
		for range 3 {
			store, _ := p.open(t)
			stores = append(stores, store)
		}
		storetest.ConcurrentPuts(t, stores)
	})
}

// TestPutIfOfSeveralProcesses: of writers that all expect one version exactly one wins, also after a deletion, and the
// others are told.
func TestPutIfOfSeveralProcesses(t *testing.T) {
	onBoth(t, func(t *testing.T, p place) {
		const processes = 4
		var stores []*builtin.Store
		for range processes {
			store, _ := p.open(t)
			stores = append(stores, store)
		}
		expected := ""
		for round := range 3 {
			results := make(chan error, processes)
			for i, store := range stores {
				go func() {
					_, err := store.PutIf(t.Context(), "a", secret.NewValue([]byte(strconv.Itoa(i))), expected)
					results <- err
				}()
			}
			won := 0
			for range processes {
				switch err := <-results; {
				case err == nil:
					won++
				case !errors.Is(err, secret.ErrConflict):
					t.Error(err)
				}
			}
			_, v, err := stores[0].Get(t.Context(), "a", "")
			if expected = v.ID; won != 1 || err != nil {
				t.Errorf("round %d: %d writers won (%v)", round, won, err)
			}
		}
		if err := stores[0].Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		for _, expected := range []string{expected, "1"} {
			if _, err := stores[1].PutIf(t.Context(), "a", secret.NewValue([]byte("x")),
				expected); !errors.Is(err, secret.ErrConflict) {
				t.Errorf("after the deletion, expecting %q: got %v", expected, err)
			}
		}
		v, err := stores[1].PutIf(t.Context(), "a", secret.NewValue([]byte("x")), "")
		if err != nil || v.ID != "4" {
			t.Errorf("after the deletion, expecting nothing: %+v, %v", v, err)
		}
	})
}

func TestVersionsGoUpwardAcrossADeletion(t *testing.T) {
	onBoth(t, func(t *testing.T, p place) {
		store, db := p.open(t)
		for range 2 {
			put(t, store, "a", "x")
		}
		if err := store.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		var sealed int
		if err := db.QueryRow("SELECT count(*) FROM secret_version WHERE sealed IS NOT NULL").Scan(
			&sealed); err != nil || sealed != 0 {
			t.Errorf("%d sealed values stayed (%v)", sealed, err)
		}
		if v := put(t, store, "a", "y"); v.ID != "3" {
			t.Errorf("got version %q after two deleted ones, want 3", v.ID)
		}
	})
}

func put(t *testing.T, store *builtin.Store, path, value string) secret.Version {
	t.Helper()
	v, err := store.Put(t.Context(), path, secret.NewValue([]byte(value)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLimits(t *testing.T) {
	store, _ := newPlace(t, filepath.Join(t.TempDir(), "state.db")).open(t)
	long := strings.Repeat("n", 200)
	put(t, store, long, "x")
	for path, size := range map[string]int{
		long + "n": 1, "a b": 1, "ü": 1, "a//b": 1, "a/./b": 1,
		"big": builtin.MaxValue + 1,
	} {
		if _, err := store.Put(t.Context(), path, secret.NewValue(make([]byte, size))); err == nil {
			t.Errorf("name of %d bytes, value of %d: taken", len(path), size)
		}
	}
	_, err := store.Put(t.Context(), "a b", secret.NewValue([]byte("x")))
	if !strings.Contains(fault.HintOf(err), "prod/stripe") {
		t.Errorf("hint %q does not say what a name looks like", fault.HintOf(err))
	}
}

func TestNothingAtRestIsReadable(t *testing.T) {
	const canary = "canary-value-7d0f2b91c4e8"
	onBoth(t, func(t *testing.T, p place) {
		store, db := p.open(t)
		for range 3 {
			put(t, store, "a/canary", canary)
		}
		if _, err := store.Rollback(t.Context(), "a/canary", "1"); err != nil {
			t.Fatal(err)
		}
		put(t, store, "b", canary+canary)
		if err := store.Delete(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		held := atRest(t, p, db)
		if !bytes.Contains(held, []byte("a/canary")) {
			t.Fatal("what is searched does not even have the secret's name")
		}
		for form, needle := range formsOf(canary) {
			if bytes.Contains(held, needle) {
				t.Errorf("the value is at rest, %s", form)
			}
		}
	})
}

// atRest is everything the database keeps: the files of SQLite, the columns of PostgreSQL.
func atRest(t *testing.T, p place, db *database.DB) (all []byte) {
	t.Helper()
	if db.Dialect == database.SQLite {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(p.url + suffix)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return all
	}
	for _, table := range []string{"secret", "secret_version", "keyset", "proxy_token", "rotation"} {
		rows, err := db.Query("SELECT t::text FROM " + table + " t")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			all = append(all, line...)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// formsOf are the encodings in which a leak could hide. Base64 depends on the position, so its three inner parts are
// given.
func formsOf(value string) map[string][]byte {
	forms := map[string][]byte{"raw": []byte(value), "in hex": []byte(hex.EncodeToString([]byte(value)))}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + value))
		forms[fmt.Sprintf("in base64 at %d", shift)] = []byte(encoded[4 : len(encoded)-4])
	}
	// PostgreSQL prints a bytea as hex, so the other forms may hide in that once more.
	for form, needle := range forms {
		forms[form+", in a bytea"] = []byte(hex.EncodeToString(needle))
	}
	return forms
}

func TestUnavailable(t *testing.T) {
	onBoth(t, func(t *testing.T, p place) {
		store, db := p.open(t)
		put(t, store, "a", "x")
		if _, err := db.Exec("UPDATE secret_version SET sealed = $1",
			[]byte("altered bytes, long enough to be sealed ones")); err != nil {
			t.Fatal(err)
		}
		_, _, err := store.Get(t.Context(), "a", "")
		if !errors.Is(err, secret.ErrUnavailable) || errors.Is(err, secret.ErrNotFound) {
			t.Errorf("an altered value: got %v, want ErrUnavailable", err)
		}
		_ = db.Close()
		if _, _, err := store.Get(t.Context(), "a", ""); !errors.Is(err, secret.ErrUnavailable) ||
			fault.ExitOf(err) != fault.ExitStore {
			t.Errorf("a closed database: got %v, exit %d; want ErrUnavailable and exit 10", err, fault.ExitOf(err))
		}
	})
}

func TestSealedBytesCannotBeSwapped(t *testing.T) {
	onBoth(t, func(t *testing.T, p place) {
		store, db := p.open(t)
		put(t, store, "mine", "low")
		put(t, store, "yours", "high")
		if _, err := db.Exec("UPDATE secret_version SET sealed = (SELECT sealed FROM secret_version WHERE name = " +
			"'yours') WHERE name = 'mine'"); err != nil {
			t.Fatal(err)
		}
		if value, _, err := store.Get(t.Context(), "mine", ""); !errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("another secret's bytes opened (%t, %v)", !value.IsZero(), err)
		}
	})
}
