package localfile_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/localfile"
)

// TestPeerOf: who is at the other end is known by the login of the session, which sudo does not change, and else by the
// process's own user. Only root can begin the session of another person.
func TestPeerOf(t *testing.T) {
	dir := open(t, t.TempDir())
	l, err := dir.ListenUnix(t.Context(), "s", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := os.ReadFile("/proc/self/loginuid")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{"dial": strings.TrimSpace(string(ours))}
	if os.Geteuid() == 0 {
		tests["dial as 123456"] = "123456"
	}
	for what, login := range tests {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = []string{socketChild + "=" + what + ":" + filepath.Join(dir.Path(), "s")}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		got := accepted(t, l)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		want, person := localfile.Peer{UID: os.Geteuid(), Login: localfile.NoLogin}, os.Geteuid()
		if login != "4294967295" {
			if want.Login, err = strconv.Atoi(login); err != nil {
				t.Fatal(err)
			}
			person = want.Login
		}
		if got != want || got.Person() != person {
			t.Errorf("%s: got %+v, person %d, want %+v", what, got, got.Person(), want)
		}
	}
}

func accepted(t *testing.T, l net.Listener) localfile.Peer {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p, err := localfile.PeerOf(conn)
	if err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	return p
}
