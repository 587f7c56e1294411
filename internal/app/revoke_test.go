package app_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/link"
)

// TestRevocationIsAwaited: over three replicas under load a revocation has returned when all refuse the token. One that
// is cut off from the database is named (exit code 13), serves from memory and stays ready, and accepts nothing after
// max_stale; then nobody waits for it. `make bench-revoke` prints how long a revocation takes.
func TestRevocationIsAwaited(t *testing.T) {
	var cutOff *link.Link
	beds, apps := three(t, "revocation: {max_stale: 4s, wait: 20s}\n", func(database string) (through string) {
		cutOff, through = postgres.Through(t, database)
		return through
	})
	here, far, cut := beds[0], beds[2], apps[2]
	gates := []string{apps[0].GatewayURL(), apps[1].GatewayURL(), cut.GatewayURL()}

	stop := here.keepBusy(gates)
	took := here.revokeMany("token", gates)
	t.Logf("revoke over 3 replicas under %.0f requests/s: %s", stop(), took)

	issued := here.issue("last")
	cutOff.Stall()
	began := time.Now()
	here.state.Wait = 2 * time.Second // enough for the two others, and less than max_stale
	if _, err := here.state.Tokens.Revoke(t.Context(), "last"); err != nil {
		t.Fatal(err)
	}
	err := here.state.Changed(t.Context(), "tokens")
	late, ok := errors.AsType[*app.UnconfirmedError](err)
	if !ok || fault.ExitOf(err) != fault.ExitUnconfirmed || len(late.Replicas) != 1 ||
		!strings.Contains(err.Error(), "1 of 3 replicas") ||
		!strings.Contains(fault.HintOf(err), "--wait") {
		t.Errorf("with a replica cut off: got %v, exit %d", err, fault.ExitOf(err))
	}
	var notes []string
	here.state.Wait, here.state.Noted = 20*time.Second, func(text string) { notes = append(notes, text) }
	waited := make(chan error, 1)
	go func() { waited <- here.state.Changed(t.Context(), "tokens") }()
	far.until("the cut gate tells, and is ready", func() bool {
		got := far.get(cut.AdminURL() + "/readyz")
		return got.status == 200 && strings.Contains(got.body, `"degraded":["database"]`) || got.status == 503
	})
	far.until("the cut gate accepts nothing", func() bool {
		got, err := far.try(cut.GatewayURL()+"/s/crm/", issued)
		return err == nil && got.status == 503 && strings.Contains(got.body, string(fault.StoreUnavailable)) &&
			got.header.Get("Retry-After") != ""
	})
	t.Logf("a replica cut off with max_stale 4s accepts for %s", time.Since(began).Round(10*time.Millisecond))
	far.get(cut.AdminURL()+"/readyz").is(t, 503, `{"part":"database","ready":false`)
	if err := <-waited; err != nil || len(notes) != 1 || !strings.Contains(notes[0], "is not waited for") {
		t.Errorf("got %v; what is said of the replica that has stopped: %q", err, notes)
	}
	t.Logf("revoke over 3 replicas, the first after 1 was cut off: %s, when that one has stopped for certain",
		time.Since(began).Round(10*time.Millisecond))

	stop = here.keepBusy(gates[:2])
	took = here.revokeMany("cut", gates[:2])
	t.Logf("revoke over 3 replicas, 1 of them cut off, under %.0f requests/s: %s", stop(), took)

	cutOff.Heal()
	began = time.Now()
	far.until("the healed gate knows of the revocation", func() bool {
		got, err := far.try(cut.GatewayURL()+"/s/crm/", issued)
		return err == nil && got.status == 407 && strings.Contains(got.body, string(fault.TokenRevoked))
	})
	t.Logf("healed: refused as revoked after %s", time.Since(began).Round(10*time.Millisecond))
}

// revokeMany issues and revokes tokens, 40 or as many as BENCH_REVOCATIONS says, and wants each refused by all gates as
// soon as its revocation has returned. It returns how long that took, in words.
func (b *bed) revokeMany(name string, gates []string) string {
	b.t.Helper()
	n, err := strconv.Atoi(os.Getenv("BENCH_REVOCATIONS"))
	if err != nil {
		n = 40
	}
	took := make([]time.Duration, 0, n)
	for i := range n {
		one := fmt.Sprint(name, i)
		issued := b.issue(one) // which waits too
		began := time.Now()
		b.revoke(one)
		took = append(took, time.Since(began))
		for _, gate := range gates {
			if got, err := b.try(gate+"/s/crm/", issued); err != nil || got.status != 407 ||
				!strings.Contains(got.body, string(fault.TokenRevoked)) {
				b.t.Fatalf("after its revocation has returned the token gets %d %q, %v", got.status, got.body, err)
			}
		}
	}
	slices.Sort(took)
	return fmt.Sprintf("median %s, p99 %s of %d", took[n/2].Round(time.Microsecond),
		took[(99*n+99)/100-1].Round(time.Microsecond), n)
}

// keepBusy sends requests to gates, each over kept connections, until the returned function is called. That returns how
// many a second went through; each has to.
func (b *bed) keepBusy(gates []string) (stop func() float64) {
	b.t.Helper()
	var working sync.WaitGroup
	var served atomic.Int64
	began, ended := time.Now(), make(chan struct{})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: time.Minute}
	for i := range 2 * len(gates) {
		working.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet,
					gates[i%len(gates)]+"/s/crm/", nil)
				if err != nil {
					b.t.Error(err)
					return
				}
				req.Header.Set("X-Sallyport-Token", b.token)
				resp, err := client.Do(req)
				if err != nil {
					b.t.Errorf("under load: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.t.Errorf("under load a good token is answered with %d", resp.StatusCode)
					return
				}
				served.Add(1)
			}
		})
	}
	return sync.OnceValue(func() float64 {
		close(ended)
		working.Wait()
		client.CloseIdleConnections()
		return float64(served.Load()) / time.Since(began).Seconds()
	})
}
