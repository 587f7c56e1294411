// Package proxy starts the proxies that are measured beside each other, all doing one thing: take a request over plain
// HTTP on loopback, set the Authorization header, and pass it to one upstream over kept-alive HTTP/1.1 connections.
//
//   - the gate, with everything on: token, policy, injection, audit, scrubbing, metrics
//   - httputil.ReverseProxy from Go's standard library (reverse.go), the yardstick
//   - nginx and Caddy, as Debian packages them, without access logs
//
// Each may keep Idle connections to the upstream, so that none of them reconnects where another does not. None is tuned
// further than that.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sallyport/bench/upstream"
)

// Idle is how many idle upstream connections every proxy may keep.
const Idle = 1024

// API is where the proxies send what they get.
type API struct {
	Address       string // host:port
	TLS           bool
	AuthorityFile string // PEM; with TLS
}

// URL is the API's base URL.
func (a API) URL() string {
	if a.TLS {
		return "https://" + a.Address
	}
	return "http://" + a.Address
}

// Program is a proxy that can be started.
type Program struct {
	Name  string
	Start func(ctx context.Context, dir string, api API) (*Proxy, error) // dir is the proxy's own, and exists
}

// Proxy is a proxy that runs. Its owner stops it.
type Proxy struct {
	Name    string
	Address string // host:port that it listens on
	Prefix  string // what stands before the API's path
	Headers string // further header lines that it wants, each with CRLF

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	how  error         // how it ended; to be read after done
}

// Request is a whole request to the proxy for a path of the API, with the headers that n8n's HTTP Request node sends.
func (p *Proxy) Request(path string) string {
	return "GET " + p.Prefix + path + " HTTP/1.1\r\nHost: " + p.Address + "\r\n" +
		"Accept: application/json,text/html,application/xhtml+xml,application/xml,text/*;q=0.9, image/*;q=0.8, " +
		"*/*;q=0.7\r\n" +
		"User-Agent: axios/1.12.0\r\nAccept-Encoding: gzip, compress, deflate, br\r\n" + p.Headers + "\r\n"
}

// HeaderFields are the further headers that the proxy wants.
func (p *Proxy) HeaderFields() http.Header {
	fields := http.Header{}
	for line := range strings.SplitSeq(p.Headers, "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			fields.Set(name, value)
		}
	}
	return fields
}

// Usage is what the proxy's processes have used so far, and hold now.
func (p *Proxy) Usage() (Usage, error) { return usage(p.cmd.Process.Pid) }

// Stop asks the proxy to end and waits for it; it is killed when it has not ended in ten seconds.
func (p *Proxy) Stop() {
	// An error says that the process has ended already; so does done.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// launch starts cmd with its output in dir and returns when the API's document arrives through it.
func launch(ctx context.Context, dir string, cmd *exec.Cmd, p *Proxy) (*Proxy, error) {
	logFile := filepath.Join(dir, "output.log")
	output, err := os.Create(logFile)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", p.Name, err)
	}
	defer func() { _ = output.Close() }() // the process has its own copy
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Name, err)
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go func() { p.how = cmd.Wait(); close(p.done) }()
	if err := p.ready(ctx); err != nil {
		p.Stop()
		said, readErr := os.ReadFile(logFile)
		return nil, errors.Join(fmt.Errorf("waiting for %s: %w\n%s", p.Name, err, said), readErr)
	}
	return p, nil
}

// ready tries until the document arrives, the process ends, or half a minute is over.
func (p *Proxy) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.try(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-p.done:
			return fmt.Errorf("the process has ended: %w", errors.Join(p.how, err))
		case <-tick.C:
		}
	}
}

func (p *Proxy) try(ctx context.Context, client *http.Client) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	_ = conn.Close() // it listens; that is all this was for
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Address+p.Prefix+"/ready", http.NoBody)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	req.Header = p.HeaderFields()
	answer, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking for the document: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	if answer.StatusCode != http.StatusOK || len(body) != upstream.DocumentBytes {
		return fmt.Errorf("it answered %s: %.400s", answer.Status, body)
	}
	return nil
}

// freeAddress is a loopback address that nothing listens on yet. Another program may take it first; then the start
// fails.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
