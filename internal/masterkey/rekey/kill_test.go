package rekey_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/recorded"
)

// victimEnv makes the test binary a process that changes a master key until it is killed.
const victimEnv = "SALLYPORT_TEST_REKEY_VICTIM"

// victim says a line for each step, so that whoever kills it can choose the moment.
func victim() int {
	ctx := context.Background()
	key := func(name string) secret.Value {
		content, err := os.ReadFile(filepath.Join(os.Getenv(victimEnv), name))
		if err != nil {
			panic(err)
		}
		return secret.NewValue(content)
	}
	db, err := database.Open(ctx, database.Options{URL: os.Getenv("SALLYPORT_TEST_REKEY_URL"), Write: true})
	if err == nil {
		_, err = rekey.Run(ctx, db, rekey.Options{
			Old: key("old"), New: key("new"), Leaked: true, Active: true,
			Backup:   filepath.Join(os.Getenv(victimEnv), "backup"),
			Progress: func(p rekey.Progress) { fmt.Println(p.Stage, p.Location) },
		})
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("done")
	return 0
}

// TestKilled kills a change at 50 moments, some after a number of its steps and some at any time after that: the
// database is in the old state or in the new one, and another change goes through.
func TestKilled(t *testing.T) {
	for _, dialect := range []string{recorded.SQLite, recorded.Postgres} {
		t.Run(dialect, func(t *testing.T) {
			s := newSite(t, recorded.Of(t, dialect)[len(recorded.Of(t, dialect))-1])
			if s.Prefix != "" {
				s = newSite(t, recorded.Named(t, "2.41.1-postgres"))
			}
			random := rand.New(rand.NewPCG(7, 11))
			old, changed := s.master(), 0
			for i := range 25 {
				fresh := masterkey.Generate()
				s.kill(old, fresh, i, random)
				lines, closed := s.reads(old)
				if len(lines) == 0 {
					changed++
					old = fresh
					lines, closed = s.reads(old)
				}
				if diff := cmp.Diff(s.holds(), lines); closed != 0 || diff != "" {
					t.Fatalf("killed for the %d. time: %d values closed, and (-want +got):\n%s", i+1, closed, diff)
				}
				for id, row := range s.deploymentKeys(old) {
					if row == "closed" {
						t.Fatalf("killed for the %d. time: the row %s of deployment_key is closed", i+1, id)
					}
				}
			}
			t.Logf("of 25 killed changes %d had committed", changed)
			o := s.change(masterkey.Generate())
			o.Old, o.Active = old, true
			s.mustRun(o)
		})
	}
}

// kill starts a change and kills it after steps steps and a moment.
func (s *site) kill(old, fresh secret.Value, steps int, random *rand.Rand) {
	s.t.Helper()
	dir := s.t.TempDir()
	for name, key := range map[string]secret.Value{"old": old, "new": fresh} {
		if err := os.WriteFile(filepath.Join(dir, name), key.Reveal(), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(s.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+dir, "SALLYPORT_TEST_REKEY_URL="+s.options.URL)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range steps {
		if !lines.Scan() {
			break
		}
	}
	timer := time.NewTimer(time.Duration(random.IntN(3000)) * time.Microsecond)
	<-timer.C
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
