// Package redis runs throw-away Redis servers for tests, on a unix socket each. It is for _test.go files only.
package redis

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sallyport/internal/testkit"
)

// Server is a running server.
type Server struct {
	Socket string
	dir    string
	args   []string
	server *exec.Cmd
	ended  chan struct{} // closed when the server's log has ended

	mu  sync.Mutex
	log strings.Builder
}

// None is the configuration of a server that has no configuration file.
const None = "none"

// Start runs a server with the lines of config in its configuration file until the test is over. DIR in them is the
// folder of the server's data. Where Redis is not installed the test is skipped, in CI it fails.
func Start(t testing.TB, config ...string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-redis-") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Socket: filepath.Join(dir, "s"), dir: dir}
	t.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(dir)
	})
	options := []string{"port 0", "unixsocket " + s.Socket, "dir " + dir, `save ""`, "loglevel debug"}
	if len(config) == 1 && config[0] == None {
		for _, one := range options {
			key, value, _ := strings.Cut(one, " ")
			s.args = append(s.args, "--"+key, strings.Trim(value, `"`))
		}
	} else {
		text := strings.ReplaceAll(strings.Join(append(options, config...), "\n"), "DIR", dir)
		// An aclfile has to be there when the server starts.
		for name, text := range map[string]string{"redis.conf": text + "\n", "users.acl": ""} {
			if err := os.WriteFile(s.Path(name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.args = []string{s.Path("redis.conf")}
	}
	s.Run(t)
	return s
}

// Path is that of a file in the folder of the server's data.
func (s *Server) Path(name string) string { return filepath.Join(s.dir, name) }

// Run starts the server once more, after Stop.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	found := program()
	testkit.RequireTool(t, "Redis", found != "", "tools/redis/install installs it (as root)")
	s.server = exec.Command(found, s.args...) //nolint:gosec,noctx // a program that was looked up; Stop ends it
	s.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.server.StdoutPipe()
	if err == nil {
		err = s.server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	ready := make(chan struct{})
	go func() { // ends with the server, when the pipe closes
		defer close(s.ended)
		said := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.keep(lines.Text())
			if !said && strings.Contains(lines.Text(), "eady to accept connections") {
				said = true
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
	case <-s.ended:
		t.Fatalf("Redis ended: %s", s.Log())
	}
}

func (s *Server) keep(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.WriteString(line + "\n")
}

// Log is what the server has said so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Stop kills the server and waits for its end.
func (s *Server) Stop() {
	if s.ended == nil {
		return
	}
	_ = s.server.Process.Kill()
	<-s.ended
	_ = s.server.Wait()
	s.ended = nil
}

func program() string {
	tools := os.Getenv("SALLYPORT_TOOLS")
	if home, err := os.UserHomeDir(); tools == "" && err == nil {
		tools = filepath.Join(home, ".cache", "sallyport-tools")
	}
	for _, name := range []string{"redis-server", filepath.Join(tools, "redis", "redis-server")} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
