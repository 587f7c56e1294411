// Package gate builds the sallyport binary and runs it for the end-to-end tests, the way an operator does: a
// configuration file, a data directory, commands, and the serving process. It knows Sallyport's command line and
// nothing of its insides.
package gate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sallyport/e2e/process"
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
	served *process.Process // nil before Serve
}

// New picks free ports and runs `sallyport init` in folder.
func New(ctx context.Context, binary, folder string) (*Gate, error) {
	ports, err := process.FreePorts(2)
	if err != nil {
		return nil, err
	}
	g := &Gate{
		URL: "https://127.0.0.1:" + ports[0], Admin: "https://127.0.0.1:" + ports[1],
		Folder: folder, binary: binary,
	}
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
	g.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 32,
	}}
	return g, nil
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

// Script runs a script of deploy/, which calls sallyport as SALLYPORT says, and returns what it printed and ended with.
func (g *Gate) Script(ctx context.Context, environ []string, script string, args ...string) (said string, code int) {
	cmd := exec.CommandContext(ctx, script, args...)
	cmd.Dir = g.Folder
	cmd.Env = append([]string{
		"HOME=" + g.Folder, "PATH=" + os.Getenv("PATH"),
		"SALLYPORT=" + strings.Join([]string{g.binary, "--config", g.config(), "--data", g.data()}, " "),
	}, environ...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return err.Error(), -1
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Start starts one command that waits for something, and does not wait for its end.
func (g *Gate) Start(ctx context.Context, args ...string) (*process.Process, error) {
	return process.Start(g.command(context.WithoutCancel(ctx), args...))
}

// Client trusts the gate's CA.
func (g *Gate) Client() *http.Client { return g.client }

// Serve starts the gate and waits until it is ready.
func (g *Gate) Serve(ctx context.Context) (err error) {
	if g.served, err = process.Start(g.command(context.WithoutCancel(ctx), "serve")); err != nil {
		return err
	}
	if err := g.served.Await(ctx, time.Minute, func() bool { return g.ready(ctx) }); err != nil {
		g.Stop()
		return err
	}
	return nil
}

func (g *Gate) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.Admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Stop ends the serving process: SIGTERM, and SIGKILL when that is not enough.
func (g *Gate) Stop() {
	if g.served != nil {
		g.served.Stop(syscall.SIGTERM)
	}
}

// Kill ends the serving process as a crash would: SIGKILL.
func (g *Gate) Kill() {
	g.served.Stop(syscall.SIGKILL)
	g.client.CloseIdleConnections()
}

// Served is the latest process that serves, or nil.
func (g *Gate) Served() *process.Process { return g.served }

// Log returns what the serving process wrote to stdout and stderr.
func (g *Gate) Log() []byte {
	if g.served == nil {
		return nil
	}
	return g.served.Log()
}

// AuditLog returns the lines of the audit log.
func (g *Gate) AuditLog() ([]byte, error) { return os.ReadFile(filepath.Join(g.data(), "audit.jsonl")) }
