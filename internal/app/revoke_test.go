package app_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

// TestRevocationIsAwaited: over three replicas a revocation has returned when all refuse the token. One that is cut off from the
// database is named (exit code 13), serves from memory and stays ready, and accepts nothing after max_stale; then nobody waits
// for it. `make bench-revoke` prints how long a revocation takes.
func TestRevocationIsAwaited(t *testing.T) {
	database, key := postgres.URL(t), filepath.Join(t.TempDir(), "seal.key")
	link, through := postgres.Through(t, database)
	text := func(where string) func(string) string {
		return func(url string) string {
			return fmt.Sprintf("database: %q\nseal: {key_file: %s}\nrevocation: {max_stale: 4s, wait: 20s}\n", where, key) + one("")(url)
		}
	}
	here := newBed(t, text(database))
	there, far := newBedOn(t, here, text(database)), newBedOn(t, here, text(through))
	gates := []string{here.serve().GatewayURL(), there.serve().GatewayURL()}
	cut := far.serve()
	gates = append(gates, cut.GatewayURL())

	revoke := func(name string) error {
		if _, err := here.state.Tokens.Revoke(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return here.state.Changed(t.Context(), "tokens")
	}
	var took []time.Duration
	for i := range 40 {
		name := fmt.Sprint("token", i)
		issued := here.issue(name) // which waits too
		began := time.Now()
		if err := revoke(name); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		for _, gate := range gates {
			if got, err := here.try(gate+"/s/crm/", issued); err != nil || got.status != 407 || !strings.Contains(got.body, string(fault.TokenRevoked)) {
				t.Fatalf("after its revocation has returned the token gets %d %q, %v", got.status, got.body, err)
			}
		}
	}
	slices.Sort(took)
	t.Logf("revoke over 3 replicas: median %s, p99 %s of %d", took[len(took)/2], took[len(took)-1], len(took))

	issued := here.issue("last")
	link.Stall()
	began := time.Now()
	here.state.Wait = 100 * time.Millisecond
	err := revoke("last")
	late, ok := errors.AsType[*app.UnconfirmedError](err)
	if !ok || fault.ExitOf(err) != fault.ExitUnconfirmed || len(late.Replicas) != 1 || !strings.Contains(err.Error(), "1 of 3 replicas") ||
		!strings.Contains(fault.HintOf(err), "--wait") {
		t.Errorf("with a replica cut off: got %v, exit %d", err, fault.ExitOf(err))
	}
	far.until("the cut gate tells, and is ready", func() bool {
		got := far.get(cut.AdminURL() + "/readyz")
		return got.status == 200 && strings.Contains(got.body, `"degraded":["database"]`) || got.status == 503
	})
	far.until("the cut gate accepts nothing", func() bool {
		got, err := far.try(cut.GatewayURL()+"/s/crm/", issued)
		return err == nil && got.status == 503 && strings.Contains(got.body, string(fault.StoreUnavailable)) && got.header.Get("Retry-After") != ""
	})
	t.Logf("a replica cut off with max_stale 4s accepts for %s", time.Since(began).Round(10*time.Millisecond))
	far.get(cut.AdminURL()+"/readyz").is(t, 503, `{"part":"database","ready":false`)
	here.state.Wait = 20 * time.Second
	var notes []string
	here.state.Noted = func(text string) { notes = append(notes, text) }
	here.changed("tokens")
	if len(notes) != 1 || !strings.Contains(notes[0], "is not waited for") {
		t.Errorf("what is said of the replica that has stopped: %q", notes)
	}
	link.Heal()
	began = time.Now()
	far.until("the healed gate knows of the revocation", func() bool {
		got, err := far.try(cut.GatewayURL()+"/s/crm/", issued)
		return err == nil && got.status == 407 && strings.Contains(got.body, string(fault.TokenRevoked))
	})
	t.Logf("healed: refused as revoked after %s", time.Since(began).Round(10*time.Millisecond))
}
