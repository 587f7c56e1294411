package app_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/fault"
)

// three are the beds and gates of three replicas on one PostgreSQL. The last reaches it at the address where.
func three(t *testing.T, more string, where func(database string) string) (beds [3]*bed, gates [3]*app.App) {
	t.Helper()
	database, key := postgres.URL(t), filepath.Join(t.TempDir(), "seal.key")
	text := func(at string) func(string) string {
		return func(url string) string {
			return fmt.Sprintf("database: %q\nseal: {key_file: %s}\n%s", at, key, more) + one("")(url)
		}
	}
	beds[0] = newBed(t, text(database))
	beds[1], beds[2] = newBedOn(t, beds[0], text(database)), newBedOn(t, beds[0], text(where(database)))
	for i, b := range beds {
		gates[i] = b.serve()
	}
	return beds, gates
}

// lasting begins an exchange that does not end by itself, and returns what is still to be read of it, after the head.
func (b *bed) lasting(gate, token, path, more string) *bufio.Reader {
	b.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(gate, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /s/crm"+path+" HTTP/1.1\r\nHost: gate\r\nX-Sallyport-Token: "+token+"\r\n"+more+
		"\r\n"); err != nil {
		b.t.Fatal(err)
	}
	r := bufio.NewReader(c)
	for i := 0; ; i++ {
		line, err := r.ReadString('\n')
		if err != nil || i == 0 && !strings.Contains(line, " 101 ") && !strings.Contains(line, " 200 ") {
			b.t.Fatalf("%s begins with %q, %v", path, line, err)
		}
		if line == "\r\n" {
			return r
		}
	}
}

const wsHead = "Connection: Upgrade\r\nUpgrade: websocket\r\n"

// TestStreamsEndEverywhere: a WebSocket and an event stream of a revoked token end on each of three replicas when the
// revocation has returned, or within a second; those of another token go on, and the record says why.
func TestStreamsEndEverywhere(t *testing.T) {
	beds, gates := three(t, "", func(database string) string { return database })
	here := beds[0]
	victim := here.issue("victim")
	var ending []*bufio.Reader
	for _, gate := range gates {
		for path, more := range map[string]string{"/socket": wsHead, "/events": ""} {
			ending = append(ending, here.lasting(gate.GatewayURL(), victim, path, more))
			here.lasting(gate.GatewayURL(), here.token, path, more)
		}
	}
	ended := make(chan time.Time, len(ending))
	for _, r := range ending {
		go func() {
			_, _ = io.Copy(io.Discard, r)
			ended <- time.Now()
		}()
	}
	if _, err := here.state.Tokens.Revoke(t.Context(), "victim"); err != nil {
		t.Fatal(err)
	}
	here.changed("tokens")
	returned := time.Now()
	for range ending {
		if late := (<-ended).Sub(returned); late > time.Second {
			t.Errorf("one ended %s after the revocation had returned", late)
		}
	}
	for i, b := range beds {
		b.until("the record says why", func() bool { return b.completedAs(fault.TokenRevoked) == 2 })
		if got := b.completedAs(""); got != 2 {
			t.Errorf("replica %d has %d exchanges on record as ended, want 2: those of the other token go on", i, got)
		}
	}
}

// TestKilledWhileAwaited: a replica that is killed while a revocation waits for it holds that up for as long as it
// could have accepted the token, and no longer; one that starts again on its data directory takes its place at once.
func TestKilledWhileAwaited(t *testing.T) {
	for name, again := range map[string]bool{"stays away": false, "starts again": true} {
		t.Run(name, func(t *testing.T) {
			database, key := postgres.URL(t), filepath.Join(t.TempDir(), "seal.key")
			link, through := postgres.Through(t, database)
			text := func(at, stale string) func(string) string {
				return func(url string) string {
					return fmt.Sprintf("database: %q\nseal: {key_file: %s}\nrevocation: {max_stale: %s, wait: 50s}\n",
						at, key, stale) + one("")(url)
				}
			}
			stale, longest := "3s", 10*time.Second
			if again {
				stale, longest = "10m", 40*time.Second // it would be waited for to the end
			}
			here := newBed(t, text(database, stale))
			far := newBedOn(t, here, text(through, stale))
			gate := here.serve()
			victim := here.issue("victim")
			killed := far.process()
			here.changed("tokens") // it has confirmed
			link.Stall()
			if _, err := here.state.Tokens.Revoke(t.Context(), "victim"); err != nil {
				t.Fatal(err)
			}
			notes := make(chan string, 8)
			here.state.Noted = func(text string) { notes <- text }
			began, done := time.Now(), make(chan error, 1)
			go func() { done <- here.state.Changed(t.Context(), "tokens") }()
			here.until("the gate here refuses it", func() bool { return here.asks(gate, victim, "crm") == 407 })
			select {
			case err := <-done:
				t.Fatalf("it returned %v while a replica may accept the token", err)
			default:
			}
			killed.kill()
			if again {
				link.Heal()
				next := far.process()
				if got, err := far.try(next.url+"/s/crm/", victim); err != nil || got.status != 407 {
					t.Errorf("started again it answers %d, %v", got.status, err)
				}
			}
			if err := <-done; err != nil || time.Since(began) > longest {
				t.Errorf("got %v after %s", err, time.Since(began))
			}
			if told := len(notes) > 0; told == again {
				t.Errorf("what is said of it: %d notes", len(notes))
			}
		})
	}
}

// completedAs counts the exchanges that are on record as ended with a code, or with any.
func (b *bed) completedAs(code fault.Code) (n int) {
	b.t.Helper()
	data, err := os.ReadFile(b.load().Audit.File)
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		r, err := audit.Parse(line)
		if err == nil && r.Event.Kind == audit.KindCompleted && (code == "" || r.Event.Code == string(code)) {
			n++
		}
	}
	return n
}
