package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/bench/load"
	"sallyport/bench/proxy"
	"sallyport/bench/upstream"
)

// lab is what every measurement needs: a temporary directory, the stand-in API in a process of its own, and the
// settings.
type lab struct {
	dir         string
	self        string // this program
	gate        string // the gate's binary
	only        []string
	seconds     time.Duration
	rounds      int
	connections []int
	plain, tls  proxy.API
}

// withLab sets the lab up, runs the measurement, and takes everything down again.
func withLab(ctx context.Context, measure func(context.Context, *lab) error) (err error) {
	l, err := settings()
	if err != nil {
		return err
	}
	if l.dir, err = os.MkdirTemp("", "sallyport-bench-"); err != nil {
		return fmt.Errorf("making a temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	stop, err := l.startUpstream(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return measure(ctx, l)
}

func settings() (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	gate, err := filepath.Abs(setting("BENCH_GATE", "bin/sallyport"))
	if err != nil {
		return nil, fmt.Errorf("finding the gate's binary: %w", err)
	}
	l := &lab{
		self: self, gate: gate,
		only: strings.Split(setting("BENCH_ONLY", "sallyport,ReverseProxy,nginx,Caddy"), ","),
	}
	seconds, err := strconv.ParseFloat(setting("BENCH_SECONDS", "5"), 64)
	if err != nil {
		return nil, fmt.Errorf("reading BENCH_SECONDS: %w", err)
	}
	l.seconds = time.Duration(seconds * float64(time.Second))
	if l.rounds, err = strconv.Atoi(setting("BENCH_ROUNDS", "3")); err != nil {
		return nil, fmt.Errorf("reading BENCH_ROUNDS: %w", err)
	}
	for word := range strings.SplitSeq(setting("BENCH_CONNS", "1,64,512"), ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("reading BENCH_CONNS: %w", err)
		}
		l.connections = append(l.connections, n)
	}
	return l, nil
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// addresses is what the stand-in API's process writes when it listens.
type addresses struct{ Plain, TLS string }

// startUpstream starts the stand-in API; it ends when its standard input does, so also when this program is killed.
func (l *lab) startUpstream(ctx context.Context) (stop func(), err error) {
	authority := filepath.Join(l.dir, "authority.pem")
	cmd := exec.CommandContext(ctx, l.self, "upstream", authority)
	cmd.Stderr = os.Stderr
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the stand-in API: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the stand-in API: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the stand-in API: %w", err)
	}
	stop = func() { _ = errors.Join(leash.Close(), cmd.Wait()) } // it served until now; how it ends changes nothing
	var at addresses
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		stop()
		return nil, fmt.Errorf("waiting for the stand-in API: %w", err)
	}
	l.plain = proxy.API{Address: at.Plain}
	l.tls = proxy.API{Address: at.TLS, TLS: true, AuthorityFile: authority}
	return stop, nil
}

// serveUpstream is the stand-in API's process.
func serveUpstream(ctx context.Context, authorityFile string) error {
	certificate, authority, err := upstream.Certificate()
	if err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	if err := os.WriteFile(authorityFile, authority, 0o600); err != nil {
		return fmt.Errorf("writing the authority: %w", err)
	}
	server, err := upstream.Start(ctx, certificate)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(addresses{Plain: server.Plain, TLS: server.TLS}); err != nil {
		return errors.Join(fmt.Errorf("telling the addresses: %w", err), server.Close())
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, server.Close())
}

// programs returns the proxies to measure. nginx and Caddy are fetched when they are missing.
func (l *lab) programs(ctx context.Context) ([]proxy.Program, error) {
	all := []proxy.Program{proxy.Gate(l.gate), proxy.ReverseProxy(l.self)}
	if slices.Contains(l.only, "nginx") || slices.Contains(l.only, "Caddy") {
		cmd := exec.CommandContext(ctx, "tools/proxies/install")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		found := strings.Fields(string(out))
		if err != nil || len(found) != 2 {
			return nil, fmt.Errorf("bringing nginx and Caddy: %w", err)
		}
		all = append(all, proxy.Nginx(found[0]), proxy.Caddy(found[1]))
	}
	wanted := slices.DeleteFunc(all, func(p proxy.Program) bool { return !slices.Contains(l.only, p.Name) })
	if len(wanted) == 0 {
		return nil, fmt.Errorf("BENCH_ONLY names no proxy: %q", l.only)
	}
	return wanted, nil
}

// start starts one proxy in a directory of its own.
func (l *lab) start(ctx context.Context, program proxy.Program, api proxy.API) (*proxy.Proxy, error) {
	dir, err := os.MkdirTemp(l.dir, program.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for %s: %w", program.Name, err)
	}
	return program.Start(ctx, dir, api)
}

// load runs the load generator's process, passes its notes on, and returns its result.
func (l *lab) load(ctx context.Context, options load.Options, each func(note)) (load.Result, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return load.Result{}, fmt.Errorf("writing the load's options: %w", err)
	}
	cmd := exec.CommandContext(ctx, l.self, "load")
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(text)), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return load.Result{}, fmt.Errorf("starting the load: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return load.Result{}, fmt.Errorf("starting the load: %w", err)
	}
	result, err := readNotes(out, each)
	if waitErr := cmd.Wait(); err == nil && waitErr != nil {
		err = fmt.Errorf("running the load: %w", waitErr)
	}
	return result, err
}

func readNotes(r io.Reader, each func(note)) (load.Result, error) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var n note
		switch err := json.Unmarshal(lines.Bytes(), &n); {
		case err != nil:
			return load.Result{}, fmt.Errorf("reading the load's notes: %w", err)
		case n.Error != "":
			return load.Result{}, errors.New(n.Error)
		case n.Result != nil:
			return *n.Result, nil
		}
		each(n)
	}
	return load.Result{}, errors.New("the load ended without a result")
}
