package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/audit"
)

// TestKillLosesNothingAcknowledged kills a writer with SIGKILL, again and again over one
// log. What it had printed as acknowledged must be in the file.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	acknowledged := map[string]bool{}
	for range 20 {
		killed(t, path, rand.IntN(400), acknowledged)
	}
	total := len(acknowledged)
	o := childOptions(path)
	if err := open(t, o).Close(); err != nil { // cuts off what the last kill tore
		t.Fatal(err)
	}
	r := mustHold(t, o)
	mustHoldAll(t, path, acknowledged)
	t.Logf("%d acknowledged; %d records, %d openings, %d recoveries, %d checkpoints", total, r.Records, r.Opens,
		r.Recovered, r.Checkpoints)
}

// killed runs a writer until it has acknowledged at least n records, and kills it while it
// goes on writing.
func killed(t *testing.T, path string, n int, acknowledged map[string]bool) {
	t.Helper()
	cmd := child(t, "write", path)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	read := 0
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line without an end was not acknowledged to us
		}
		acknowledged[strings.TrimSpace(line)] = true
		if read++; read == n+1 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the writer ended by itself: %v", err)
	}
}

func childWrites(path string) {
	l, err := audit.Open(context.Background(), childOptions(path))
	if err != nil {
		panic(err)
	}
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				if err := l.Authorise(context.Background(), sample(id)); err != nil {
					panic(err)
				}
				l.Complete(sample(id))
				os.Stdout.WriteString(id + "\n")
			}
		}()
	}
	select {}
}
