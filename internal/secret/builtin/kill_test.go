package builtin_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sallyport/internal/secret"
)

// childPlace makes TestNothingAcknowledgedIsLost the process that it kills: "url key".
const childPlace = "SALLYPORT_TEST_KILL_CHILD"

// killed puts values for as long as it lives and prints each version once Put has returned.
func killed(t *testing.T, url, key string) {
	store, _ := place{url: url, key: key}.open(t)
	for i := 0; ; i++ {
		value := fmt.Sprintf("value %d of %d", i, os.Getpid())
		v, err := store.Put(t.Context(), "killed", secret.NewValue([]byte(value)))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nacknowledged\t%s\t%s\n", v.ID, value)
	}
}

func TestNothingAcknowledgedIsLost(t *testing.T) {
	if url, key, ok := strings.Cut(os.Getenv(childPlace), " "); ok {
		killed(t, url, key)
		return
	}
	onBoth(t, func(t *testing.T, p place) {
		acknowledged := make(map[string]string) // version to value
		for round := range 10 {
			killWhilePutting(t, p, 1+3*round, acknowledged)
		}
		store, _ := p.open(t)
		for version, want := range acknowledged {
			value, _, err := store.Get(t.Context(), "killed", version)
			if err != nil || string(value.Reveal()) != want {
				t.Errorf("version %s was acknowledged as %q and is %q (%v)", version, want, value.Reveal(), err)
			}
		}
		if len(acknowledged) < 10 {
			t.Errorf("only %d values were ever acknowledged", len(acknowledged))
		}
	})
}

// killWhilePutting starts a child, kills it with SIGKILL once it has acknowledged enough values, which is in the middle
// of the next, and notes all that it had said by then.
func killWhilePutting(t *testing.T, p place, enough int, acknowledged map[string]string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestNothingAcknowledgedIsLost$")
	child.Env = append(os.Environ(), childPlace+"="+p.url+" "+p.key)
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	var said []string
	for seen := 0; lines.Scan(); {
		said = append(said, lines.Text())
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 || fields[0] != "acknowledged" {
			continue
		}
		acknowledged[fields[1]] = fields[2]
		if seen++; seen == enough {
			_ = child.Process.Kill() // SIGKILL
		}
	}
	if err := child.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatalf("the child ended by itself: %v\n%s", err, strings.Join(said, "\n"))
	}
}
