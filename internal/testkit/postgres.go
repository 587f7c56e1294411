package testkit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/internal/testkit/link"
)

// Postgres is a throw-away PostgreSQL server of one test binary, on a unix socket only, started when the first test
// asks for it. The zero value is ready; a package that uses it has
//
//	var postgres testkit.Postgres
//
//	func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }
type Postgres struct {
	once      sync.Once
	err       error
	dir       string // data and socket
	server    *exec.Cmd
	databases atomic.Int64

	mu    sync.Mutex
	log   strings.Builder
	lines chan struct{} // closed when there is another line
}

// Main runs the tests and tears the server down, whatever has become of them.
func (p *Postgres) Main(m *testing.M) int {
	defer p.stop()
	return m.Run()
}

// URL makes an empty database and returns its postgres:// URL. Where PostgreSQL is not installed the test is skipped,
// in CI it fails.
func (p *Postgres) URL(t testing.TB) string {
	t.Helper()
	bin := postgresBin()
	RequireTool(t, "PostgreSQL", bin != "", "apt-get install postgresql")
	p.once.Do(func() { p.err = p.start(bin) })
	if p.err != nil {
		t.Fatalf("starting PostgreSQL: %v", p.err)
	}
	name := fmt.Sprintf("test%d", p.databases.Add(1))
	if err := p.exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("creating database %q: %v", name, err)
	}
	return p.url(name)
}

// Through is the URL of the database of an URL over a link of its own, which the test can cut.
func (p *Postgres) Through(t testing.TB, of string) (*link.Link, string) {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	l := link.New(t, "unix", filepath.Join(p.dir, ".s.PGSQL.5432"))
	return l, "postgres://postgres@" + l.Address() + u.Path + "?sslmode=disable"
}

func (p *Postgres) url(database string) string {
	query := url.Values{"host": {p.dir}, "user": {"postgres"}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + query.Encode()
}

func (p *Postgres) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// postgresBin is the directory of the newest initdb and postgres, or "".
func postgresBin() string {
	candidates, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(candidates, func(a, b string) int { return majorVersion(b) - majorVersion(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, filepath.Dir(path))
	}
	for _, dir := range candidates {
		_, errInit := os.Stat(filepath.Join(dir, "initdb"))
		_, errServer := os.Stat(filepath.Join(dir, "postgres"))
		if errInit == nil && errServer == nil {
			return dir
		}
	}
	return ""
}

func majorVersion(bin string) int {
	major, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return major
}

// start makes a cluster and runs it. PostgreSQL refuses to run as root, so root's tests run it as the user postgres.
func (p *Postgres) start(bin string) (err error) {
	if p.dir, err = os.MkdirTemp("", "sallyport-pg-"); err != nil {
		return err
	}
	attr, err := unprivileged(p.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(p.dir, "data")
	//nolint:gosec,noctx // a program that was looked up; the server outlives the test that starts it
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C", "--no-sync")
	initdb.SysProcAttr = attr
	initdb.Dir = p.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	//nolint:gosec,noctx // as above
	p.server = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", p.dir, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=32MB", "-c", "logging_collector=off")
	p.server.SysProcAttr = attr
	p.server.Dir = p.dir
	stderr, err := p.server.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.server.Start(); err != nil {
		return err
	}
	return p.waitReady(bufio.NewScanner(stderr))
}

// waitReady reads the server's log until it says that it takes connections, and then keeps reading so that it never
// blocks.
func (p *Postgres) waitReady(log *bufio.Scanner) error {
	ready := make(chan error, 1)
	go func() { // ends with the server, when the pipe closes
		for told := false; log.Scan(); {
			p.keep(log.Text())
			if !told && strings.Contains(log.Text(), "ready to accept connections") {
				told = true
				ready <- nil
			}
		}
		select {
		case ready <- p.ended():
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

func (p *Postgres) ended() error {
	log, _ := p.soFar()
	return errors.New("the server ended: " + log)
}

func (p *Postgres) keep(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.WriteString(line + "\n")
	if p.lines != nil {
		close(p.lines)
		p.lines = nil
	}
}

// soFar is the server's log, and what is closed when there is more of it.
func (p *Postgres) soFar() (log string, more <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lines == nil {
		p.lines = make(chan struct{})
	}
	return p.log.String(), p.lines
}

// Log waits until the server's log has text, and returns all of it.
func (p *Postgres) Log(t testing.TB, text string) string {
	t.Helper()
	for {
		log, more := p.soFar()
		if strings.Contains(log, text) {
			return log
		}
		select {
		case <-more:
		case <-t.Context().Done():
			t.Fatalf("the server's log has no %q", text)
		}
	}
}

// Trap is a trap before the running server.
func (p *Postgres) Trap(t testing.TB) *link.Trap {
	t.Helper()
	return link.NewTrap(t, "unix", filepath.Join(p.dir, ".s.PGSQL.5432"))
}

func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errUID, errGID, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// stop ends the server at once, without a checkpoint, and removes everything.
func (p *Postgres) stop() {
	if p.server != nil && p.server.Process != nil {
		_ = p.server.Process.Signal(syscall.SIGQUIT)
		_ = p.server.Wait()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
