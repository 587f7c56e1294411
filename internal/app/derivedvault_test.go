package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/database"
	"sallyport/internal/secret"
)

// onBoth runs test on a fresh data directory with SQLite, and on one with PostgreSQL. text makes the configuration's
// beginning.
func onBoth(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "") })
	t.Run("postgres", func(t *testing.T) {
		test(t, fmt.Sprintf("database: %q\nseal: {key_file: %s}\n", postgres.URL(t),
			filepath.Join(t.TempDir(), "seal.key")))
	})
}

func state(token string) derive.State {
	return derive.State{
		Token: secret.NewValue([]byte(token)), Refresh: secret.NewValue([]byte("refresh of " + token)),
		Inputs: "inputs", Grant: "grant",
		Minted: time.Unix(1_700_000_000, 0), Expiry: time.Unix(1_700_003_600, 0), Rotates: true,
	}
}

// TestVault: what derive asks of a Vault.
func TestVault(t *testing.T) {
	onBoth(t, func(t *testing.T, head string) {
		b := newBed(t, func(url string) string { return head + one("")(url) })
		here, there := b.state.Vault(), b.open().Vault()
		got, version, err := there.Load(t.Context(), "lark")
		if err != nil || version != 0 || !got.Token.IsZero() {
			t.Fatalf("of nothing: got version %d, %v", version, err)
		}
		for v, token := range []string{"token one", "token two"} {
			if err := here.Save(t.Context(), "lark", state(token), int64(v)); err != nil {
				t.Fatal(err)
			}
			if err := there.Save(t.Context(), "lark", state("overtaken"), int64(v)); !errors.Is(err, derive.ErrStale) {
				t.Errorf("saving over version %d again: got %v, want a conflict", v, err)
			}
		}
		got, version, err = there.Load(t.Context(), "lark")
		want := state("token two")
		if err != nil || version != 2 || !got.Token.Equal(want.Token) || !got.Refresh.Equal(want.Refresh) ||
			!got.Expiry.Equal(want.Expiry) || got.Inputs != want.Inputs || !got.Rotates {
			t.Errorf("got version %d, %+v, %v", version, got, err)
		}
		if err := here.Save(t.Context(), "lark", state("of the future"), 7); !errors.Is(err, derive.ErrStale) {
			t.Errorf("saving over a version that is not there: got %v", err)
		}
	})
}

// TestVaultLetsOneSave: of many that have loaded the same, one saves.
func TestVaultLetsOneSave(t *testing.T) {
	onBoth(t, func(t *testing.T, head string) {
		b := newBed(t, func(url string) string { return head + one("")(url) })
		for version := range int64(3) {
			var wg sync.WaitGroup
			saved := make(chan error, 4)
			for i := range cap(saved) {
				vault := b.open().Vault()
				wg.Go(func() { saved <- vault.Save(t.Context(), "lark", state(fmt.Sprint("token of ", i)), version) })
			}
			wg.Wait()
			close(saved)
			won := 0
			for err := range saved {
				switch {
				case err == nil:
					won++
				case !errors.Is(err, derive.ErrStale):
					t.Error(err)
				}
			}
			if won != 1 {
				t.Errorf("version %d was saved over by %d, want by one", version, won)
			}
		}
	})
}

// TestVaultIsSealed: no byte of a token lies in the database, and a record opens as itself alone.
func TestVaultIsSealed(t *testing.T) {
	onBoth(t, func(t *testing.T, head string) {
		b := newBed(t, func(url string) string { return head + one("")(url) })
		vault := b.state.Vault()
		for _, name := range []string{"lark", "mill"} {
			if err := vault.Save(t.Context(), name, state("canary-token"), 0); err != nil {
				t.Fatal(err)
			}
		}
		var sealed []byte
		if err := b.state.DB.QueryRow("SELECT sealed FROM derived_token WHERE name = 'lark'").Scan(
			&sealed); err != nil || bytes.Contains(sealed, []byte("canary")) {
			t.Errorf("the record holds it in the clear (%v): %q", err, sealed)
		}
		for _, statement := range []string{
			"UPDATE derived_token SET sealed = (SELECT sealed FROM derived_token WHERE name = 'lark') WHERE name = 'mill'",
			"UPDATE derived_token SET version = 2 WHERE name = 'lark'",
		} {
			if _, err := b.state.DB.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"lark", "mill"} {
			if _, _, err := vault.Load(t.Context(), name); err == nil {
				t.Errorf("%q was opened as another record", name)
			}
		}
		if b.state.DB.Dialect == database.SQLite {
			for _, suffix := range []string{"", "-wal"} {
				raw, err := os.ReadFile(b.state.DB.Where + suffix)
				if err != nil || bytes.Contains(raw, []byte("canary-token")) {
					t.Errorf("the file%s: the token in the clear, or %v", suffix, err)
				}
			}
		}
	})
}

// TestVaultAnnounces: other replicas are told of a token, and not of the mark that one is being spent.
func TestVaultAnnounces(t *testing.T) {
	onBoth(t, func(t *testing.T, head string) {
		b := newBed(t, func(url string) string { return head + one("")(url) })
		marked := state("token")
		marked.Spending = time.Now()
		if err := errors.Join(b.state.Vault().Save(t.Context(), "mill", marked, 0),
			b.state.Vault().Save(t.Context(), "lark", state("token"), 0)); err != nil {
			t.Fatal(err)
		}
		for name, announced := range map[string]bool{"mill": false, "lark": true} {
			if seq, err := b.state.DB.Seq(t.Context(), "derived:"+name); err != nil || seq > 0 != announced {
				t.Errorf("%s has the number %d, %v", name, seq, err)
			}
		}
	})
}

// TestInstallBesideAMinter: a consent that comes home while a gate mints wins or loses as a whole.
func TestInstallBesideAMinter(t *testing.T) {
	onBoth(t, func(t *testing.T, head string) {
		b := newBed(t, func(url string) string { return head + one("")(url) })
		s := b.state
		if err := derive.Install(t.Context(), s.Vault(), s.Owner(), "lark", state("of a consent")); err != nil {
			t.Fatal(err)
		}
		release, err := s.Owner().Acquire(t.Context(), "lark")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := derive.Install(ctx, s.Vault(), s.Owner(), "lark", state("of another")); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Errorf("while someone mints: got %v", err)
		}
		release()
		if err := derive.Install(t.Context(), s.Vault(), s.Owner(), "lark", state("of another")); err != nil {
			t.Error(err)
		}
		if got, version, err := s.Vault().Load(t.Context(), "lark"); err != nil || version != 2 ||
			!got.Token.Equal(state("of another").Token) {
			t.Errorf("got version %d, %v", version, err)
		}
	})
}
