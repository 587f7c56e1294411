package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/testkit"
	"sallyport/internal/testkit/docker"
)

// The keys of these tests.
const (
	provedKey = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6"
	otherKey  = "Z9y8X7w6V5u4T3s2R1q0P9o8N7m6L5k4"
)

// inContainer is sallyport in a container: this test's own program under its name.
const inContainer = "/tmp/sallyport"

// n8nService is a service whose containers have a key and sallyport.
func n8nService(name, key string, replicas uint64) docker.Service {
	return docker.Service{
		Name: name, Replicas: replicas, Env: []string{"N8N_ENCRYPTION_KEY=" + key},
		Command: []string{"/bin/sh", "-c", "ln -s " + docker.TestBinary + " " + inContainer + "; exec sleep infinity"},
	}
}

// proving is a fleet of a swarm whose restarts are proved.
type proving struct {
	t    *testing.T
	home string
	env  []string
}

func newProving(t *testing.T, dockerHost, fleet string) *proving {
	t.Helper()
	p := &proving{t: t, home: t.TempDir()}
	p.env = append(os.Environ(), "HOME="+p.home, "DOCKER_HOST="+dockerHost)
	write(t, filepath.Join(p.home, "key"), provedKey, 0o600)
	p.run("init")
	content, err := os.ReadFile(filepath.Join(p.home, "sallyport.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.home, "sallyport.yaml"),
		string(content)+"\nfleets:\n  prod: {kind: swarm, settle: 1s, timeout: 3m, services: [n8n_worker], "+
			fleet+"}\n", 0o600)
	return p
}

func (p *proving) run(args ...string) (out string, exit int) {
	p.t.Helper()
	cmd := exec.Command("sallyport", args...)
	cmd.Env, cmd.Dir = p.env, p.home
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	if strings.Contains(string(said), provedKey) || strings.Contains(string(said), otherKey) {
		p.t.Errorf("a key was printed by sallyport %q", args)
	}
	return string(said), cmd.ProcessState.ExitCode()
}

func (p *proving) restart(args ...string) (string, int) {
	p.t.Helper()
	return p.run(append([]string{
		"fleet", "restart", "prod", "--prove-key-file", "key", "--remote-binary", inContainer,
	}, args...)...)
}

// TestProveThroughTheFleet: the nodes are asked through the fleet's own engine, whatever engine the docker command
// talks to; one that has another key, and one that cannot be asked, end the restart.
func TestProveThroughTheFleet(t *testing.T) {
	_, err := exec.LookPath("docker")
	testkit.RequireTool(t, "docker", err == nil, "tools/docker/install installs it (as root)")
	engine := docker.Start(t)
	nowhere := "unix://" + filepath.Join(t.TempDir(), "none.sock")

	t.Run("right", func(t *testing.T) {
		engine.Run(t, n8nService("n8n_worker", provedKey, 2))
		p := newProving(t, nowhere, `host: "`+engine.Host+`"`)
		if out, exit := p.restart(); exit != 0 || !strings.Contains(out, "complete") {
			t.Errorf("it ended with %d:\n%s", exit, out)
		}
	})
	t.Run("another machine", func(t *testing.T) { anotherMachine(t, engine, nowhere) })
	t.Run("another key", func(t *testing.T) {
		engine.Run(t, n8nService("n8n_worker", otherKey, 2))
		p := newProving(t, nowhere, `host: "`+engine.Host+`"`)
		if out, exit := p.restart(); exit != 12 || !strings.Contains(out, "n8n_worker.1") ||
			!strings.Contains(out, "n8n_worker.2") || !strings.Contains(out, "another key than") {
			t.Errorf("it ended with %d:\n%s", exit, out)
		}
	})
}

// anotherMachine: a container of another machine is never taken for proved; who it is and what to run there is told.
func anotherMachine(t *testing.T, engine *docker.Engine, nowhere string) {
	engine.Run(t, n8nService("n8n_worker", provedKey, 2))
	host := movedTask(t, engine.Host)
	p := newProving(t, nowhere, `host: "`+host+`"`)
	out, exit := p.restart()
	if exit != 1 || !strings.Contains(out, `n8n_worker.2: could not look: it runs on "n8n-2"`) ||
		!strings.Contains(out, "machines") {
		t.Errorf("it ended with %d:\n%s", exit, out)
	}
	// what it says to run there, run there, ends with 0
	_, rest, _ := strings.Cut(out, "run `")
	command, _, found := strings.Cut(rest, "`")
	there := exec.CommandContext(t.Context(), "sh", "-c", command)
	there.Env = append(os.Environ(), "DOCKER_HOST="+engine.Host)
	if said, err := there.CombinedOutput(); err != nil || !found {
		t.Errorf("%q there ends with %v: %s", command, err, said)
	}
	before, _, _ := strings.Cut(command, " --expect")
	wrong := exec.CommandContext(t.Context(), "sh", "-c", before+" --expect "+strings.Repeat("0", 64))
	if wrong.Env = there.Env; wrong.Run() == nil {
		t.Error("with another fingerprint it ends with 0 too")
	}
	if out, exit := p.run("fleet", "restart", "prod", "--resume"); exit != 0 {
		t.Errorf("without a proof it ends with %d:\n%s", exit, out)
	}

	named := newProving(t, nowhere, `host: "`+host+`", machines: {n8n-2: "`+engine.Host+`"}`)
	if out, exit := named.restart(); exit != 0 || !strings.Contains(out, "complete") {
		t.Errorf("with the machine's engine it ended with %d:\n%s", exit, out)
	}
}

// movedTask is a manager before a real engine: it says that the second container of each service runs on another
// machine, which is called n8n-2. Everything else is the engine's.
func movedTask(t *testing.T, host string) string {
	t.Helper()
	socket := strings.TrimPrefix(host, "unix://")
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasSuffix(r.Request.URL.Path, "/tasks") {
			return nil
		}
		var tasks []map[string]any
		if err := json.NewDecoder(r.Body).Decode(&tasks); err != nil {
			return err
		}
		for _, task := range tasks {
			if fmt.Sprint(task["Slot"]) == "2" {
				task["NodeID"] = "another"
			}
		}
		content, err := json.Marshal(tasks)
		if err != nil {
			return err
		}
		rec := httptest.NewRecorder()
		_, _ = rec.Write(content)
		r.Body = rec.Result().Body
		r.ContentLength = int64(len(content))
		r.Header.Set("Content-Length", fmt.Sprint(len(content)))
		return nil
	}
	path := filepath.Join(t.TempDir(), "d.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/nodes/another") {
				_, _ = w.Write([]byte(`{"ID": "another", "Description": {"Hostname": "n8n-2"}}`))
				return
			}
			proxy.ServeHTTP(w, r)
		}),
	}}
	server.Start()
	t.Cleanup(server.Close)
	return "unix://" + path
}
