// Package gate builds the sallyport binary and runs it for the end-to-end tests, the way an operator does: a configuration
// file, a data directory, commands, and the serving process. It knows Sallyport's command line and nothing of its insides.
package gate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build compiles the binary from the repository at root into folder and returns its path.
func Build(ctx context.Context, root, folder string) (string, error) {
	binary := filepath.Join(folder, "sallyport")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/sallyport")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building sallyport: %w\n%s", err, out)
	}
	return binary, nil
}

// Gate is one Sallyport: its folder, and the serving process once Serve has been called.
type Gate struct {
	URL    string // https://127.0.0.1:PORT of the gateway
	Admin  string // https://127.0.0.1:PORT of the admin listener
	CA     string // the file with the CA that both listeners' certificates hang on; init makes it
	Folder string // sallyport.yaml, and data/ with all state

	binary string
	client *http.Client
	cmd    *exec.Cmd
	log    output
	exited chan struct{}
}

// New picks free ports and runs `sallyport init` in folder.
func New(ctx context.Context, binary, folder string) (*Gate, error) {
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	g := &Gate{URL: "https://" + ports[0], Admin: "https://" + ports[1], Folder: folder, binary: binary}
	if _, err := g.Run(ctx, "", "init"); err != nil {
		return nil, err
	}
	g.CA = filepath.Join(g.data(), "ca.pem")
	pem, err := os.ReadFile(g.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the CA that init made: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	g.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	return g, nil
}

func freePorts() (ports [2]string, err error) {
	for i := range ports {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return ports, fmt.Errorf("looking for a free port: %w", err)
		}
		defer listener.Close()
		ports[i] = listener.Addr().String()
	}
	return ports, nil
}

// Configure writes sallyport.yaml: the listeners under TLS, and rest.
func (g *Gate) Configure(rest string) error {
	head := fmt.Sprintf("listen: {gateway: %q, admin: %q}\ntls: {ca: builtin, hosts: [127.0.0.1]}\n",
		strings.TrimPrefix(g.URL, "https://"), strings.TrimPrefix(g.Admin, "https://"))
	return os.WriteFile(g.config(), []byte(head+rest), 0o600)
}

func (g *Gate) config() string { return filepath.Join(g.Folder, "sallyport.yaml") }
func (g *Gate) data() string   { return filepath.Join(g.Folder, "data") }

func (g *Gate) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.binary, append(args, "--config", g.config(), "--data", g.data())...)
	cmd.Dir = g.Folder
	cmd.Env = []string{"HOME=" + g.Folder, "PATH=" + os.Getenv("PATH")}
	return cmd
}

// Run runs one command with input on stdin and returns its stdout. The error carries its stderr.
func (g *Gate) Run(ctx context.Context, input string, args ...string) (string, error) {
	cmd := g.command(ctx, args...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running sallyport %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.String(), nil
}

// Serve starts the gate and waits until it is ready.
func (g *Gate) Serve(ctx context.Context) error {
	g.cmd = g.command(context.WithoutCancel(ctx), "serve")
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	g.exited = make(chan struct{})
	if err := g.cmd.Start(); err != nil {
		return fmt.Errorf("starting sallyport: %w", err)
	}
	go func() {
		defer close(g.exited)
		g.cmd.Wait()
	}()
	if err := g.ready(ctx); err != nil {
		g.Stop()
		return fmt.Errorf("%w\n%s", err, g.log.Bytes())
	}
	return nil
}

func (g *Gate) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.Admin+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := g.client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-g.exited:
			return errors.New("sallyport ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("waiting for sallyport: %w", ctx.Err())
		}
	}
}

// Stop ends the serving process: SIGTERM, and SIGKILL when that is not enough.
func (g *Gate) Stop() {
	if g.cmd == nil {
		return
	}
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.exited:
	case <-time.After(40 * time.Second):
		g.cmd.Process.Kill()
		<-g.exited
	}
}

// Log returns what the serving process wrote to stdout and stderr.
func (g *Gate) Log() []byte { return g.log.Bytes() }

// AuditLog returns the lines of the audit log.
func (g *Gate) AuditLog() ([]byte, error) { return os.ReadFile(filepath.Join(g.data(), "audit.jsonl")) }

// output is a bytes.Buffer that may be read while a process writes it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf.Bytes())
}
