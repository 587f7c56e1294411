package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/testkit"
	"sallyport/internal/testkit/docker"
)

// TestRotationInASwarm: the commands of docs/stores/swarm.md give a service the next version of a secret, and nobody in
// its container but its user can read it.
func TestRotationInASwarm(t *testing.T) {
	_, err := exec.LookPath("docker")
	testkit.RequireTool(t, "docker", err == nil, "tools/docker/install installs it (as root)")
	engine := docker.Start(t)
	home := t.TempDir()
	write(t, filepath.Join(home, "sallyport.yaml"),
		"stores: {manager: {kind: swarm, host: \""+engine.Host+"\"}}\n"+
			strings.Replace(fleetOf(t, "docs/stores/swarm.md"), "unix:///var/run/docker.sock", engine.Host, 1), 0o600)
	write(t, filepath.Join(home, "new"), pageNewKey, 0o600)
	shell := func(script string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
		cmd.Dir = home
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "DOCKER_HOST=" + engine.Host}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s ends with %v:\n%s", script, err, out)
		}
	}

	shell("sallyport init; printf first | sallyport secret set openai_key --store manager")
	first, err := engine.Client.SecretInspect(t.Context(), "openai_key_v1", client.SecretInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mounted := docker.Mount(first.Secret.ID, "openai_key_v1", "openai_key")
	mounted.File.UID = "1000"
	engine.Run(t, docker.Service{Name: "n8n_worker", Replicas: 1, Secrets: []*api.SecretReference{mounted}})
	for _, b := range blocksOf(t, "docs/stores/swarm.md") {
		if b.lang == "sh" {
			shell(b.text)
		}
	}
	for command, want := range map[string]string{"stat -c %a,%u": "400,1000", "cat": pageNewKey} {
		words := append(strings.Fields(command), "/run/secrets/openai_key")
		words[0] = "/usr/bin/" + words[0]
		if got := strings.TrimSpace(strings.Join(engine.Exec(t, "n8n_worker", nil, words...), " ")); got != want {
			t.Errorf("%s says %q, want %q", command, got, want)
		}
	}
}

// fleetOf is the fleet that a page shows.
func fleetOf(t *testing.T, page string) string {
	t.Helper()
	for _, b := range blocksOf(t, page) {
		if b.lang == "yaml" && strings.HasPrefix(b.text, "fleets:") {
			return b.text
		}
	}
	t.Fatalf("%s shows no fleet", page)
	return ""
}
