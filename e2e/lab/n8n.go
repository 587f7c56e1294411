// Package lab runs a real n8n for the end-to-end tests: installed by tools/n8n/install, on SQLite in a folder of its
// own, on free loopback ports, set up without a browser, and taken down by process id.
//
// It drives n8n only through n8n's own doors (its REST API, its public API, its command line) and reads what n8n leaves
// behind (database, logs, binary data). It knows nothing of Sallyport.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNoN8N says that n8n is not installed and could not be.
var ErrNoN8N = errors.New("n8n is not installed")

// readyWithin bounds n8n's first start, migrations included, on a slow and busy machine.
const readyWithin = 3 * time.Minute

// N8N is a running n8n with an owner signed in.
type N8N struct {
	URL    string // http://127.0.0.1:PORT
	Folder string // everything n8n writes: database, binary data, settings

	install string
	env     []string
	cmd     *exec.Cmd
	log     *syncBuffer
	exited  chan struct{}

	session *http.Client // carries the owner's cookie
	apiKey  string       // every scope; for looking at executions
}

// FindN8N returns the folder of an installed n8n: SALLYPORT_N8N_DIR, or what the install script says.
func FindN8N(ctx context.Context, script string) (string, error) {
	if dir := os.Getenv("SALLYPORT_N8N_DIR"); dir != "" {
		return dir, nil
	}
	cmd := exec.CommandContext(ctx, script)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrNoN8N, script, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// StartN8N starts the n8n in install with folder as its home and with settings (NAME=value) beside the lab's own, makes
// an owner and waits until it serves.
func StartN8N(ctx context.Context, install, folder string, settings ...string) (*N8N, error) {
	port, broker, err := freePorts()
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	n := &N8N{
		URL:     "http://127.0.0.1:" + port,
		Folder:  folder,
		install: install,
		env:     append(environment(folder, port, broker), settings...),
		log:     &syncBuffer{},
		exited:  make(chan struct{}),
		session: &http.Client{Jar: jar, Timeout: 2 * time.Minute},
	}
	n.cmd = n.command(context.WithoutCancel(ctx), "start")
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting n8n: %w", err)
	}
	go func() {
		defer close(n.exited)
		n.cmd.Wait()
	}()
	if err := n.setUp(ctx); err != nil {
		n.Stop()
		return nil, fmt.Errorf("%w\n%s", err, tail(n.Log(), 4000))
	}
	return n, nil
}

// environment is the whole environment of n8n: no telemetry, nothing fetched, loopback only.
func environment(folder, port, broker string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + folder,
		"N8N_USER_FOLDER=" + folder,
		"N8N_ENCRYPTION_KEY=end-to-end-tests-0123456789abcdef",
		"N8N_LISTEN_ADDRESS=127.0.0.1",
		"N8N_HOST=127.0.0.1",
		"N8N_PORT=" + port,
		"N8N_RUNNERS_BROKER_PORT=" + broker,
		"N8N_RUNNERS_BROKER_LISTEN_ADDRESS=127.0.0.1",
		"N8N_SECURE_COOKIE=false",
		"N8N_DIAGNOSTICS_ENABLED=false",
		"N8N_VERSION_NOTIFICATIONS_ENABLED=false",
		"N8N_TEMPLATES_ENABLED=false",
		"N8N_PERSONALIZATION_ENABLED=false",
		"N8N_HIRING_BANNER_ENABLED=false",
		"N8N_DYNAMIC_BANNERS_ENABLED=false",
		"N8N_COMMUNITY_PACKAGES_ENABLED=false",
		"N8N_LOG_LEVEL=debug", // says the most, so that the search for leaks has the most to look at
		"N8N_LOG_FORMAT=json",
		"NODE_OPTIONS=--max-old-space-size=2048",
	}
}

func (n *N8N) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(n.install, "n8n"), args...)
	cmd.Env, cmd.Dir = n.env, n.Folder
	return cmd
}

// Stop ends n8n: SIGTERM, and SIGKILL when that is not enough.
func (n *N8N) Stop() {
	n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.exited:
	case <-time.After(30 * time.Second):
		n.cmd.Process.Kill()
		<-n.exited
	}
}

// Log returns everything n8n has written to stdout and stderr.
func (n *N8N) Log() []byte { return n.log.Bytes() }

// CLI runs an n8n command against the same folder and returns its output, stdout and stderr together.
func (n *N8N) CLI(ctx context.Context, args ...string) ([]byte, error) {
	out, err := n.command(ctx, args...).CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("running n8n %s: %w: %s", args[0], err, tail(out, 2000))
	}
	return out, nil
}

// freePorts picks two ports that nothing listens on. n8n cannot be told to pick its own.
func freePorts() (first, second string, err error) {
	var ports [2]string
	for i := range ports {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", fmt.Errorf("looking for a free port: %w", err)
		}
		defer listener.Close()
		_, ports[i], _ = net.SplitHostPort(listener.Addr().String())
	}
	return ports[0], ports[1], nil
}

func tail(b []byte, n int) []byte {
	return b[max(0, len(b)-n):]
}

// syncBuffer is a bytes.Buffer that may be read while a process writes it.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}
