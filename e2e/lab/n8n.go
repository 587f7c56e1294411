// Package lab runs a real n8n for the end-to-end tests: installed by tools/n8n/install, on SQLite in a folder of its
// own or in queue mode with workers, on free loopback ports, set up without a browser, and taken down by process id.
//
// It drives n8n only through n8n's own doors (its REST API, its public API, its command line) and reads what n8n leaves
// behind (database, logs, binary data). It knows nothing of Sallyport.
package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sallyport/e2e/process"
)

// ErrNoN8N says that n8n is not installed and could not be.
var ErrNoN8N = errors.New("n8n is not installed")

// readyWithin bounds n8n's first start, migrations included, on a slow and busy machine.
const readyWithin = 3 * time.Minute

// Setup says how n8n's processes are started.
type Setup struct {
	Install  string   // the folder that tools/n8n/install has made
	Folder   string   // the home of the process: everything that it writes
	Settings []string // NAME=VALUE beside the lab's own, over which they go; NAME alone takes one away
	Through  []string // a command that has n8n's command line put behind it; nil: n8n is started as it is
}

// N8N is a running n8n with an owner signed in.
type N8N struct {
	*process.Process
	URL    string // http://127.0.0.1:PORT
	Folder string // everything n8n writes: database, binary data, settings

	setup   Setup
	session *http.Client // carries the owner's cookie
	apiKey  string       // every scope; for looking at executions
	keyMade time.Time    // when the last API key was
	earlier []byte       // the output of the processes before the latest
}

// FindN8N returns the folder of an installed n8n: SALLYPORT_N8N_DIR, or what the install script says.
func FindN8N(ctx context.Context, script string) (string, error) {
	if dir := os.Getenv("SALLYPORT_N8N_DIR"); dir != "" {
		return dir, nil
	}
	return ask(ctx, script)
}

// FindVersion is the folder of another version. It takes minutes and 2 GB: unless everything is asked for
// (SALLYPORT_E2E_ALL), only what is installed already is found.
func FindVersion(ctx context.Context, script, version string) (string, error) {
	if os.Getenv("SALLYPORT_E2E_ALL") != "" {
		return ask(ctx, script, version)
	}
	return ask(ctx, script, "--find", version)
}

func ask(ctx context.Context, script string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, script, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s %s: %w", ErrNoN8N, script, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Start starts n8n's main process, makes an owner and waits until it serves.
func (s Setup) Start(ctx context.Context) (*N8N, error) {
	return s.launch(ctx, (*N8N).setUp)
}

// Resume starts n8n's main process on a database that has an owner, and waits until it serves. The API key, one of
// those in the database, is for looking at executions and must be good; nobody is signed in.
func (s Setup) Resume(ctx context.Context, apiKey string) (*N8N, error) {
	return s.launch(ctx, func(n *N8N, ctx context.Context) error {
		n.apiKey = apiKey
		if err := n.waitReady(ctx); err != nil {
			return err
		}
		return n.public(ctx, http.MethodGet, "/workflows", nil, nil)
	})
}

func (s Setup) launch(ctx context.Context, then func(*N8N, context.Context) error) (*N8N, error) {
	ports, err := process.FreePorts(2)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	s.Settings = append(environment(s.Folder, ports[0], ports[1]), s.Settings...)
	n := &N8N{
		URL:     "http://127.0.0.1:" + ports[0],
		Folder:  s.Folder,
		setup:   s,
		session: &http.Client{Jar: jar, Timeout: 2 * time.Minute},
	}
	if n.Process, err = process.Start(s.command(context.WithoutCancel(ctx), "start")); err != nil {
		return nil, err
	}
	if err := then(n, ctx); err != nil {
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

func (s Setup) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := slices.Concat(s.Through, []string{filepath.Join(s.Install, "n8n")}, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = settle(s.Settings), s.Folder
	return cmd
}

// settle leaves of each name what comes last, and nothing of one that comes alone.
func settle(settings []string) []string {
	last := map[string]string{}
	for _, setting := range settings {
		name, _, isSet := strings.Cut(setting, "=")
		if delete(last, name); isSet {
			last[name] = setting
		}
	}
	return slices.Sorted(maps.Values(last))
}

// Refused starts one of n8n's processes ("start", "worker", "webhook"), which has to end by itself, and returns what it
// ended with and what it said.
func (s Setup) Refused(ctx context.Context, kind string) (code int, said []byte, err error) {
	ports, err := process.FreePorts(2)
	if err != nil {
		return 0, nil, err
	}
	s.Settings = append(environment(s.Folder, ports[0], ports[1]), s.Settings...)
	p, err := process.Start(s.command(context.WithoutCancel(ctx), kind))
	if err != nil {
		return 0, nil, err
	}
	defer p.Stop(syscall.SIGTERM)
	err = p.Await(ctx, readyWithin, func() bool { return false })
	if !errors.Is(err, process.ErrExited) {
		return 0, p.Log(), fmt.Errorf("n8n %s was not refused: %w", kind, err)
	}
	return p.ExitCode(), p.Log(), nil
}

// Stop ends n8n: SIGTERM, and SIGKILL when that is not enough.
func (n *N8N) Stop() { n.Process.Stop(syscall.SIGTERM) }

// CLI runs an n8n command against the same folder and returns its output, stdout and stderr together.
func (n *N8N) CLI(ctx context.Context, args ...string) ([]byte, error) {
	out, err := n.setup.command(ctx, args...).CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("running n8n %s: %w: %s", args[0], err, tail(out, 2000))
	}
	return out, nil
}

func tail(b []byte, n int) []byte {
	return b[max(0, len(b)-n):]
}
