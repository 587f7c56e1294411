package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/testkit/tokenserver"
)

// gateChild makes the test binary the gate of a configuration, for tests that kill it.
const gateChild = "SALLYPORT_TEST_GATE_CHILD"

// gateProcess is that gate. It ends with its standard input.
func gateProcess(path string) error {
	ctx := context.Background()
	c, _, err := config.Load(app.Kinds(), path)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, app.Options{Config: c, Version: "test", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	fmt.Printf("\nserving\t%s\n", a.GatewayURL())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// process is a gate in a process of its own.
type process struct {
	url  string
	kill func() // SIGKILL
}

func (b *bed) process() *process {
	b.t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), gateChild+"="+b.path)
	child.Stderr = b.log
	in, err := child.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		_ = child.Process.Kill()
		_ = in.Close()
		_ = child.Wait()
	})
	b.t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "serving\t"); ok {
			return &process{url, kill}
		}
	}
	b.t.Fatalf("the gate did not start:\n%s", b.log)
	return nil
}

// replicas are two gates on one PostgreSQL whose service has a refresh token that the provider rotates, and lets be
// spent once. The first is a process of its own.
func replicas(t *testing.T, more string) (b *derivedBed, first *process, second *app.App) {
	t.Helper()
	database, key := postgres.URL(t), filepath.Join(t.TempDir(), "seal.key")
	head := fmt.Sprintf("database: %q\nseal: {key_file: %s}\n", database, key)
	services := atServer("crm", refreshing(", refresh_token: ref+builtin://refresh"+more))
	b = newDerivedBed(t, head, services)
	b.put("refresh", b.tokens.Grant("basic"))
	there := newBedOn(t, b.bed, func(string) string {
		return head + listen + "services:\n" + fmt.Sprintf(services, b.tokens.URL)
	})
	first = b.process()
	return b, first, there.serve()
}

// TestTwoGatesRotate: two replicas use one refresh token that changes with each use, and neither spends one twice. When
// one of them is killed the other goes on.
func TestTwoGatesRotate(t *testing.T) {
	b, first, second := replicas(t, "")
	const rounds = 4
	for round := range rounds {
		if round == rounds-1 {
			first.kill()
		}
		b.expireAll()
		var wg sync.WaitGroup
		for i := range 12 {
			gate := second.GatewayURL()
			if i%2 == 0 && round < rounds-1 {
				gate = first.url
			}
			wg.Go(func() {
				got, err := b.try(gate+"/s/crm/api", b.token)
				if err != nil || got.status != 200 {
					t.Errorf("round %d: got %d %q, %v", round, got.status, got.body, err)
				}
			})
		}
		wg.Wait()
	}
	b.wantMinted(rounds)
}

// TestOtherGateHears: what one replica has minted is active in the other before that asks anybody.
func TestOtherGateHears(t *testing.T) {
	b, first, second := replicas(t, "")
	b.get(first.url+"/s/crm/api").is(t, 200, "fine")
	b.until("the other gate has the token", func() bool {
		return strings.Contains(b.scrape(second), `sallyport_derived_token_expiry_seconds{service="crm"}`)
	})
	b.get(second.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
	b.wantMinted(1)
	if strings.Contains(b.scrape(second), `sallyport_derived_token_minted_total{service="crm"}`) {
		t.Error("the other gate has minted")
	}
}

// TestGateKilledWhileSpending: the answer to spending a refresh token dies with its gate. The other one does not spend
// it again, but says that a person is needed; if the provider allows a second use for a while, it recovers by itself.
func TestGateKilledWhileSpending(t *testing.T) {
	for name, c := range map[string]struct {
		more   string
		grace  time.Duration
		status int
		text   string
	}{
		"strict": {"", 0, 503, "sallyport service connect crm"},
		"grace":  {", reuse_grace: 1h", time.Hour, 200, "fine"},
	} {
		t.Run(name, func(t *testing.T) {
			b, first, second := replicas(t, c.more)
			b.tokens.Grace, b.tokens.Delay = c.grace, time.Hour
			b.tokens.Misbehave(tokenserver.Slow)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = b.try(first.url+"/s/crm/api", b.token) // broken off
			}()
			b.until("the refresh token is spent", func() bool { return b.tokens.Record().Minted == 1 })
			first.kill()
			<-ended
			b.tokens.HangUp()
			b.get(second.GatewayURL()+"/s/crm/api").is(t, c.status, c.text)
			if r := b.tokens.Record(); r.Reused > 0 {
				t.Errorf("a refresh token was spent twice: %+v", r)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
}
