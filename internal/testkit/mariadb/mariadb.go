// Package mariadb runs a throw-away MariaDB server for the tests of one test binary, on a unix socket only. It is for
// _test.go files only.
package mariadb

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/testkit"

	"github.com/go-sql-driver/mysql"
)

// Server is a MariaDB server, started when the first test asks for it. The zero value is ready; a package that uses it
// has
//
//	var maria mariadb.Server
//
//	func TestMain(m *testing.M) { os.Exit(maria.Main(m)) }
type Server struct {
	once      sync.Once
	err       error
	dir       string // data and socket
	server    *exec.Cmd
	ended     chan struct{} // closed when the server's log has ended
	databases atomic.Int64
}

// Main runs the tests and tears the server down, whatever has become of them.
func (s *Server) Main(m interface{ Run() int }) int {
	defer s.stop()
	return m.Run()
}

// Config makes an empty database in utf8mb4 and returns how its owner, who may do anything, connects to it. Where
// MariaDB is not installed the test is skipped, in CI it fails.
func (s *Server) Config(t testing.TB) *mysql.Config {
	t.Helper()
	install, daemon := program("mariadb-install-db"), program("mariadbd")
	testkit.RequireTool(t, "MariaDB", install != "" && daemon != "", "tools/mariadb/install installs it (as root)")
	s.once.Do(func() { s.err = s.start(install, daemon) })
	if s.err != nil {
		t.Fatalf("starting MariaDB: %v", s.err)
	}
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if err := s.exec(t.Context(), "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		t.Fatalf("creating database %q: %v", name, err)
	}
	return s.config(name)
}

// URL is Config as a mysql:// URL; the parameter socket names the server's unix socket.
func (s *Server) URL(t testing.TB) string {
	t.Helper()
	config := s.Config(t)
	return "mysql://" + config.User + "@localhost/" + config.DBName + "?socket=" + config.Addr
}

// Socket is the unix socket of the running server.
func (s *Server) Socket() string { return filepath.Join(s.dir, "s") }

func (s *Server) config(database string) *mysql.Config {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.DBName = "unix", s.Socket(), "root", database
	return config
}

func (s *Server) exec(ctx context.Context, statement string) error {
	connector, err := mysql.NewConnector(s.config(""))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

// program finds a program also where only root's PATH leads; "" where it is not.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// start makes the system tables and runs the server on them, with no more memory than tests need.
func (s *Server) start(install, daemon string) (err error) {
	if s.dir, err = os.MkdirTemp("", "sallyport-maria-"); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	temporary := filepath.Join(s.dir, "tmp") // a server that starts removes the others' tables from a shared one
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return err
	}
	options := []string{"--no-defaults", "--datadir=" + data, "--tmpdir=" + temporary}
	if os.Geteuid() == 0 {
		options = append(options, "--user=root") // the server would otherwise refuse to run as root
	}
	//nolint:gosec,noctx // a program that was looked up; the server outlives the test that starts it
	made := exec.Command(install, append(options, "--auth-root-authentication-method=normal", "--skip-test-db",
		"--skip-name-resolve")...)
	if out, err := made.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	//nolint:gosec,noctx // as above
	s.server = exec.Command(daemon, append(options, "--skip-networking", "--socket="+s.Socket(),
		"--pid-file="+filepath.Join(s.dir, "pid"),
		"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M",
		"--max-allowed-packet=64M",
		"--performance-schema=off", "--skip-log-bin", "--lc-messages=en_US")...)
	s.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := s.server.StderrPipe()
	if err != nil {
		return err
	}
	if err := s.server.Start(); err != nil {
		return err
	}
	return s.waitReady(bufio.NewScanner(log))
}

// waitReady reads the server's log until it says that it takes connections, and then keeps reading so that it never
// blocks.
func (s *Server) waitReady(log *bufio.Scanner) error {
	ready := make(chan error, 1)
	s.ended = make(chan struct{})
	go func() { // ends with the server, when the pipe closes
		defer close(s.ended)
		var seen []string
		for log.Scan() {
			if seen = append(seen, log.Text()); strings.Contains(log.Text(), "ready for connections") {
				ready <- nil
				break
			}
		}
		for log.Scan() {
			continue
		}
		select {
		case ready <- fmt.Errorf("the server ended: %s", strings.Join(seen, "\n")):
		default:
		}
	}()
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	select {
	case err := <-ready:
		return err
	case <-timeout.C:
		return errors.New("the server did not get ready within two minutes")
	}
}

// stop kills the server, whose data nobody needs, and removes everything.
func (s *Server) stop() {
	if s.server != nil && s.server.Process != nil {
		_ = s.server.Process.Kill()
		<-s.ended
		_ = s.server.Wait()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
