package seal_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/secret/seal"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// onBoth runs test on a URL of either dialect, each naming a new, empty database.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "state.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, postgres.URL(t)) })
}

func openDB(t *testing.T, url string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func newKeeper(t *testing.T) seal.Keeper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := seal.GenerateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	keeper, err := seal.KeyFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return keeper
}

func mustOpen(t *testing.T, db *database.DB, keeper seal.Keeper) *seal.Sealer {
	t.Helper()
	sealer, err := seal.Open(t.Context(), db, keeper)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

func mustSeal(t *testing.T, s *seal.Sealer, plain string) []byte {
	t.Helper()
	sealed, err := s.Seal("secret", "name", 1, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealedOpensOnlyAsItself(t *testing.T) {
	sealer := mustOpen(t, openDB(t, filepath.Join(t.TempDir(), "state.db")), newKeeper(t))
	sealed := mustSeal(t, sealer, "plain")
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	for name, c := range map[string]struct {
		kind, name string
		version    int
		sealed     []byte
		ok         bool
	}{
		"as it was":        {"secret", "name", 1, sealed, true},
		"another kind":     {"secreT", "name", 1, sealed, false},
		"another name":     {"secret", "nama", 1, sealed, false},
		"a longer name":    {"secret", "name2", 1, sealed, false},
		"another version":  {"secret", "name", 2, sealed, false},
		"a shifted border": {"secretn", "ame", 1, sealed, false},
		"altered":          {"secret", "name", 1, altered, false},
		"cut":              {"secret", "name", 1, sealed[:len(sealed)-1], false},
		"nothing":          {"secret", "name", 1, nil, false},
	} {
		plain, err := sealer.Unseal(c.kind, c.name, c.version, c.sealed)
		if (err == nil) != c.ok || (c.ok && string(plain) != "plain") {
			t.Errorf("%s: got %d bytes, %v", name, len(plain), err)
		}
	}
	if bytes.Equal(sealed, mustSeal(t, sealer, "plain")) {
		t.Error("sealing the same twice gave the same bytes")
	}
}

func TestReplicasThatStartAtOnceShareEverything(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		const replicas = 5
		keeper := newKeeper(t)
		type keys struct {
			sealer *seal.Sealer
			mac    []byte
			sign   ed25519.PrivateKey
			err    error
		}
		results := make(chan keys, replicas)
		for range replicas {
			db := openDB(t, url)
			go func() {
				var k keys
				k.sealer, k.err = seal.Open(t.Context(), db, keeper)
				if k.err == nil {
					k.mac, k.err = k.sealer.MACKey(t.Context(), "token")
				}
				if k.err == nil {
					k.sign, k.err = k.sealer.SigningKey(t.Context(), "audit-sign")
				}
				results <- k
			}()
		}
		first := <-results
		if first.err != nil || len(first.mac) != 32 || len(first.sign) != ed25519.PrivateKeySize {
			t.Fatalf("got a MAC key of %d bytes, a signing key of %d: %v", len(first.mac), len(first.sign), first.err)
		}
		sealed := mustSeal(t, first.sealer, "plain")
		for range replicas - 1 {
			k := <-results
			if k.err != nil {
				t.Fatal(k.err)
			}
			if !bytes.Equal(k.mac, first.mac) || !k.sign.Equal(first.sign) {
				t.Error("two replicas have different keys")
			}
			if _, err := k.sealer.Unseal("secret", "name", 1, sealed); err != nil {
				t.Errorf("what one replica sealed another cannot open: %v", err)
			}
		}
	})
}

func TestKeysDifferByPurpose(t *testing.T) {
	sealer := mustOpen(t, openDB(t, filepath.Join(t.TempDir(), "state.db")), newKeeper(t))
	seen := make(map[string]string)
	for _, purpose := range []string{"token", "audit-chain"} {
		mac, errMAC := sealer.MACKey(t.Context(), purpose)
		sign, errSign := sealer.SigningKey(t.Context(), purpose)
		if errMAC != nil || errSign != nil {
			t.Fatal(errMAC, errSign)
		}
		for kind, key := range map[string][]byte{"mac": mac, "sign": sign.Seed()} {
			if other, ok := seen[string(key)]; ok {
				t.Errorf("%s %s and %s are the same key", kind, purpose, other)
			}
			seen[string(key)] = kind + " " + purpose
		}
	}
}

func TestKeyRowsCannotBeSwapped(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "state.db"))
	sealer := mustOpen(t, db, newKeeper(t))
	for _, purpose := range []string{"token", "audit-chain"} {
		if _, err := sealer.MACKey(t.Context(), purpose); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec("UPDATE keyset SET wrapped = (SELECT wrapped FROM keyset WHERE name = 'mac/token') WHERE " +
		"name = 'mac/audit-chain'"); err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.MACKey(t.Context(), "audit-chain"); err == nil {
		t.Error("the key of another purpose was taken")
	}
}

func TestWrongKey(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db := openDB(t, url)
		mustOpen(t, db, newKeeper(t))
		_, err := seal.Open(t.Context(), db, newKeeper(t))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Code != fault.StoreUnavailable || !errors.Is(err, seal.ErrWrongKeeper) {
			t.Fatalf("got %v, want store_unavailable around ErrWrongKeeper", err)
		}
		if fault.ExitOf(err) != fault.ExitKeyMismatch || !strings.Contains(fault.HintOf(err), "seal.key_file") {
			t.Errorf("exit %d, hint %q", fault.ExitOf(err), fault.HintOf(err))
		}
	})
}

// broken is a key-management service that cannot be reached.
type broken struct{}

var errBroken = errors.New("no route to the key service")

func (broken) Encrypt(context.Context, []byte) ([]byte, error) { return nil, errBroken }
func (broken) Decrypt(context.Context, []byte) ([]byte, error) { return nil, errBroken }

func TestUnreachableKeeper(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "state.db"))
	if _, err := seal.Open(t.Context(), db, broken{}); !errors.Is(err, errBroken) {
		t.Errorf("making the keyset: got %v", err)
	}
	keeper := newKeeper(t)
	sealed := mustSeal(t, mustOpen(t, db, keeper), "plain")
	_, err := seal.Open(t.Context(), db, broken{})
	var f *fault.Fault
	if !errors.Is(err, errBroken) || !errors.As(err, &f) || fault.ExitOf(err) != fault.ExitStore ||
		fault.HintOf(err) == "" {
		t.Errorf("opening: got %v, exit %d, hint %q", err, fault.ExitOf(err), fault.HintOf(err))
	}
	if err := mustOpen(t, db, keeper).Rewrap(t.Context(), broken{}); !errors.Is(err, errBroken) {
		t.Errorf("rewrapping: got %v", err)
	}
	if _, err := mustOpen(t, db, keeper).Unseal("secret", "name", 1, sealed); err != nil {
		t.Errorf("after a rewrap that failed: %v", err)
	}
}

func TestRewrap(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db, oldKeeper, newKeeper := openDB(t, url), newKeeper(t), newKeeper(t)
		sealer := mustOpen(t, db, oldKeeper)
		sealed := mustSeal(t, sealer, "plain")
		mac, err := sealer.MACKey(t.Context(), "token")
		if err != nil {
			t.Fatal(err)
		}
		if err := sealer.Rewrap(t.Context(), newKeeper); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Open(t.Context(), db, oldKeeper); !errors.Is(err, seal.ErrWrongKeeper) {
			t.Errorf("with the old key: got %v, want ErrWrongKeeper", err)
		}
		reopened := mustOpen(t, db, newKeeper)
		if plain, err := reopened.Unseal("secret", "name", 1, sealed); err != nil || string(plain) != "plain" {
			t.Errorf("with the new key: %v", err)
		}
		if again, err := reopened.MACKey(t.Context(), "token"); err != nil || !bytes.Equal(again, mac) {
			t.Errorf("the MAC key changed (%v)", err)
		}
		if err := sealer.Rewrap(t.Context(), oldKeeper); err != nil {
			t.Errorf("rewrapping once more: %v", err)
		}
	})
}

func TestALostKeysetIsNotMadeAnew(t *testing.T) {
	db, keeper := openDB(t, filepath.Join(t.TempDir(), "state.db")), newKeeper(t)
	mustOpen(t, db, keeper)
	for _, query := range []string{
		"INSERT INTO secret (name, latest, created) VALUES ('a', 1, 1)",
		"INSERT INTO secret_version (name, version, sealed, created) VALUES ('a', 1, x'00', 1)",
		"DELETE FROM keyset",
	} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := seal.Open(t.Context(), db, keeper); err == nil || !strings.Contains(fault.HintOf(err), "backup") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}
