// Package mysql runs a throw-away MySQL server for the tests of one test binary, on a unix socket only. It is for
// _test.go files only.
package mysql

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/testkit"
)

// Shared is a server that is started when the first test asks for it. The zero value is ready.
type Shared struct{ server testkit.Shared[*server] }

type server struct {
	socket string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the server's log has ended
}

// Main runs the tests and stops the server, whatever has become of them.
func (s *Shared) Main(m interface{ Run() int }) int { return s.server.Main(m) }

// Forgone tells whether CI goes without MySQL: tools/mysql/install says when. Socket is not called then.
func Forgone(t testing.TB) bool {
	t.Helper()
	return folder() == "" && testkit.Forgone(t, "mysql")
}

func folder() string { return testkit.Installed("mysql", "", "usr/sbin/mysqld") }

// Socket is the unix socket of the running server, at which root needs no password. Where MySQL is not installed the
// test is skipped, in CI it fails.
func (s *Shared) Socket(t testing.TB) string {
	t.Helper()
	folder := folder()
	testkit.RequireTool(t, "MySQL", folder != "", "tools/mysql/install gets it (half a minute)")
	start := func(dir string) (*server, error) { return launch(folder, dir) }
	return s.server.Get(t, "MySQL", start, (*server).stop).socket
}

// command runs the server of another release of Debian with that release's own loader and libraries.
func command(folder, dir string, args ...string) *exec.Cmd {
	list := append([]string{
		"--library-path", filepath.Join(folder, "usr/lib/x86_64-linux-gnu"), filepath.Join(folder, "usr/sbin/mysqld"),
		"--no-defaults", "--user=root", "--datadir=" + filepath.Join(dir, "data"), "--secure-file-priv=NULL",
		"--lc-messages-dir=" + filepath.Join(folder, "usr/share/mysql"),
		"--character-sets-dir=" + filepath.Join(folder, "usr/share/mysql/charsets"),
		"--plugin-dir=" + filepath.Join(folder, "usr/lib/mysql/plugin"),
		"--innodb-buffer-pool-size=64M", "--innodb-redo-log-capacity=8M", "--innodb-flush-log-at-trx-commit=0",
	}, args...)
	loader := filepath.Join(folder, "usr/lib64/ld-linux-x86-64.so.2")
	cmd := exec.Command(loader, list...) //nolint:gosec,noctx // stop ends it
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func launch(folder, dir string) (*server, error) {
	if out, err := command(folder, dir, "--initialize-insecure").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making the system tables: %w: %s", err, out)
	}
	s := &server{socket: filepath.Join(dir, "s"), ended: make(chan struct{})}
	s.cmd = command(folder, dir, "--skip-networking", "--socket="+s.socket, "--mysqlx=OFF", "--skip-log-bin",
		"--performance-schema=OFF", "--pid-file="+filepath.Join(dir, "pid"))
	log, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	var said []string // until it is ready
	go func() {       // ends with the server, when the pipe closes
		defer close(s.ended)
		up := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if up {
				continue
			}
			said = append(said, lines.Text())
			if up = strings.Contains(lines.Text(), "ready for connections"); up {
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
		return s, nil
	case <-s.ended:
		return nil, errors.New("the server ended: " + strings.Join(said, "\n"))
	}
}

// stop kills the server, whose data nobody needs.
func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	<-s.ended
	_ = s.cmd.Wait()
}
