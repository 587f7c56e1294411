package nodes_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/testkit"
	"sallyport/internal/testkit/docker"
)

var shared docker.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// build compiles a program of this module as a static binary.
func build(t *testing.T, pkg, out string) {
	t.Helper()
	// With the settings of `make test`, for which everything is compiled already.
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, said)
	}
}

// makeImage imports an image FROM scratch: these programs in /bin, and a folder for n8n's settings file.
func makeImage(t *testing.T, e *docker.Engine, name string, programs ...string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"bin", "home", "tmp"} {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o777}) // to memory
	}
	for _, program := range programs {
		content, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		_ = w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: "bin/" + filepath.Base(program), Mode: 0o755,
			Size: int64(len(content)),
		})
		_, _ = w.Write(content)
	}
	_ = w.Close()
	out, err := e.Client.ImageImport(t.Context(), client.ImageImportSource{Source: &b, SourceName: "-"}, name,
		client.ImageImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil || out.Close() != nil {
		t.Fatal(err)
	}
}

// node is a container of the test: its command, its environment, and the file /home/.n8n/config.
type node struct {
	image, settings string
	command, env    []string
	user            string
}

func (n node) run(t *testing.T, e *docker.Engine, name string) {
	t.Helper()
	created, err := e.Client.ContainerCreate(t.Context(),
		client.ContainerCreateOptions{Name: name, Config: &container.Config{
			Image: n.image, Cmd: n.command, User: n.user, Labels: map[string]string{"fleet": "n8n", "node": name},
			Env: append([]string{"PATH=/bin", "HOME=/home", "N8N_VERSION=2.41.1"}, n.env...),
		}, HostConfig: &container.HostConfig{NetworkMode: "none"}})
	if err != nil {
		t.Fatal(err)
	}
	if n.settings != "" {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: ".n8n", Mode: 0o755})
		_ = w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: ".n8n/config", Mode: 0o600,
			Size: int64(len(n.settings)),
		})
		_, _ = w.Write([]byte(n.settings))
		_ = w.Close()
		if _, err := e.Client.CopyToContainer(t.Context(), created.ID,
			client.CopyToContainerOptions{DestinationPath: "/home", Content: &b}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Client.ContainerStart(t.Context(), created.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatalf("starting %s: %v: %s", name, err, e.Log())
	}
}

// sallyport runs the built program on this machine, where docker finds the engine, and returns the report.
func sallyport(t *testing.T, e *docker.Engine, program string, args ...string) (r nodes.Report, exit int, all string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program,
		append([]string{"key", "verify", "--json", "--timeout", "2m"}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exited := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, &stdout)
		}
	}
	return r, cmd.ProcessState.ExitCode(), stdout.String() + stderr.String()
}

// TestDocker asks containers of a real engine: images FROM scratch with the static program, and n8n's stand-in.
func TestDocker(t *testing.T) {
	e := shared.Engine(t)
	_, err := exec.LookPath("docker")
	testkit.RequireTool(t, "the docker command", err == nil, "tools/docker/install installs it (as root)")
	dir := t.TempDir()
	program, standIn := filepath.Join(dir, "sallyport"), filepath.Join(dir, "n8n")
	build(t, "sallyport/cmd/sallyport", program)
	build(t, "./testdata/n8n", standIn)
	makeImage(t, e, "n8n-with-sallyport:1", program, standIn)
	makeImage(t, e, "n8n-alone:1", standIn)
	const with = "n8n-with-sallyport:1"
	for name, n := range map[string]node{
		"main":   {image: with, command: []string{"n8n", "start"}, env: []string{"N8N_ENCRYPTION_KEY=" + good, "TEST_RIGHT_KEY=" + good}, settings: settings(good)},
		"worker": {image: with, command: []string{"sallyport", "run", "--supervise", "--", "n8n", "worker"}, env: []string{"N8N_ENCRYPTION_KEY=ref+file:///home/key", "TEST_RIGHT_KEY=" + good}},
		"bare":   {image: with, command: []string{"n8n", "worker"}, env: []string{"TEST_RIGHT_KEY=x"}},
		"hook":   {image: with, command: []string{"n8n", "webhook"}, settings: settings(other)},
		"stale":  {image: with, command: []string{"n8n", "worker"}, env: []string{"N8N_ENCRYPTION_KEY=" + good}, settings: settings(other)},
		"path":   {image: with, command: []string{"n8n", "worker"}, env: []string{"N8N_ENCRYPTION_KEY=/run/secrets/n8n_enc_key"}},
		"naked":  {image: "n8n-alone:1", command: []string{"n8n", "worker"}, env: []string{"N8N_ENCRYPTION_KEY=" + good}},
		"user":   {image: with, command: []string{"n8n", "worker"}, env: []string{"N8N_ENCRYPTION_KEY=" + good}, user: "1000:1000"},
	} {
		if name == "worker" { // the key is in the store that the reference names alone
			makeImage(t, e, "n8n-with-key:1", program, standIn, keyIn(t, dir))
			n.image, n.env[0] = "n8n-with-key:1", "N8N_ENCRYPTION_KEY=ref+file:///bin/key"
		}
		n.run(t, e, name)
	}
	keyFile := keyIn(t, dir)

	r, exit, all := sallyport(t, e, program, "--docker-label", "fleet=n8n", "--key-file", keyFile)
	got := make(map[string]string)
	for _, row := range r.Nodes {
		got[row.Name] = strings.Join([]string{string(row.Role), row.Version, row.From, string(row.Match)}, " ")
		for _, f := range row.Findings {
			got[row.Name] += " " + string(f.Kind)
		}
		if row.Error != "" {
			got[row.Name] = row.Error + " / " + row.Hint
		}
	}
	naked := got["naked"]
	delete(got, "naked")
	const config = "/home/.n8n/config"
	want := map[string]string{
		"main":   "main 2.41.1 N8N_ENCRYPTION_KEY yes",
		"worker": "worker 2.41.1 N8N_ENCRYPTION_KEY yes", // as sallyport run has resolved it
		"bare":   "worker 2.41.1  no no_key",
		"hook":   "webhook 2.41.1 " + config + " no own_key",
		"stale":  "worker 2.41.1 N8N_ENCRYPTION_KEY yes stale_settings",
		"path":   "worker 2.41.1 N8N_ENCRYPTION_KEY no other_key bad_key",
		"user":   "worker 2.41.1 N8N_ENCRYPTION_KEY yes",
	}
	if diff := cmp.Diff(want, got); diff != "" || exit != 12 {
		t.Errorf("exit %d, nodes (-want +got): %s", exit, diff)
	}
	if !strings.Contains(naked, "there is no sallyport in it") || !strings.Contains(naked, "docker cp") {
		t.Errorf("without sallyport: %s", naked)
	}
	noKeyIn(t, all)

	t.Run("by name, with the binary copied in", func(t *testing.T) { copiedIn(t, e, program, keyFile) })
	t.Run("a workflow", func(t *testing.T) { workflows(t, e, program, keyFile) })
	t.Run("stopped", func(t *testing.T) { stopped(t, e, program) })
}

func keyIn(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte(good+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func noKeyIn(t *testing.T, text string) {
	t.Helper()
	for _, key := range []string{good, other, "n8n_enc_key"} {
		if strings.Contains(text, key) {
			t.Errorf("%s stands in %s", key, text)
		}
	}
}

// copiedIn does what the hint says for a container without sallyport.
func copiedIn(t *testing.T, e *docker.Engine, program, keyFile string) {
	cp := exec.CommandContext(t.Context(), "docker", "--host", e.Host, "cp", program, "naked:/tmp/sallyport")
	if said, err := cp.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	r, exit, all := sallyport(t, e, program, "--node", "naked=docker:naked", "--node", "main=exec:docker exec main",
		"--remote-binary", "/tmp/sallyport", "--key-file", keyFile)
	if exit != 1 || r.Nodes[0].Match != nodes.Yes || r.Nodes[1].Error == "" {
		t.Errorf("exit %d: %s", exit, all)
	}
	r, exit, all = sallyport(t, e, program, "--node", "naked=docker:naked", "--remote-binary", "/tmp/sallyport",
		"--key-file", keyFile)
	if exit != 0 || r.Nodes[0].Role != "worker" {
		t.Errorf("exit %d: %s", exit, all)
	}
}

// workflows runs one in the containers: with the key that n8n has there, not with that of the container.
func workflows(t *testing.T, e *docker.Engine, program, keyFile string) {
	r, exit, all := sallyport(t, e, program, "--node", "main=docker:main", "--node", "worker=docker:worker", "--node",
		"bare=docker:bare", "--execute", "canary", "--key-file", keyFile)
	if exit != 12 || !r.Nodes[0].Execution.OK || !r.Nodes[1].Execution.OK || r.Nodes[2].Execution.OK ||
		r.Nodes[2].Execution.Problem != "n8n execute ended with 1" {
		t.Errorf("exit %d: %s", exit, all)
	}
	noKeyIn(t, all)
}

func stopped(t *testing.T, e *docker.Engine, program string) {
	if _, err := e.Client.ContainerKill(t.Context(), "hook", client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
	waited := e.Client.ContainerWait(t.Context(),
		"hook", client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-waited.Result:
	case err := <-waited.Error:
		t.Fatal(err)
	}
	r, exit, all := sallyport(t, e, program, "--node", "hook=docker:hook", "--node", "nobody=docker:nobody", "--node",
		"main=docker:main")
	if exit != 1 || r.Nodes[2].Match != nodes.Yes || !strings.Contains(r.Nodes[0].Error, "it does not run") ||
		!strings.Contains(r.Nodes[0].Hint, "docker logs --tail 20 hook") ||
		!strings.Contains(r.Nodes[1].Error, "it does not run") {
		t.Errorf("exit %d: %s", exit, all)
	}
}
