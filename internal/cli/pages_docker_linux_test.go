package cli_test

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/testkit"
	"sallyport/internal/testkit/docker"
)

// gatePage is the section of docs/operations.md about the gate in a container. The image is what
// deploy/docker/Dockerfile makes, but its stage that builds: no registry is here.
var gatePage = page{
	path:  "docs/operations.md",
	has:   map[string]string{"key.txt": pageKey},
	first: `docker import -c 'ENV PATH=/usr/local/bin' -c 'WORKDIR /var/lib/sallyport' -c 'USER 65532:65532' -c 'ENTRYPOINT ["/usr/local/bin/sallyport"]' image.tar sallyport`,
	uses:  []use{{has: "tls: {ca: builtin, hosts: [gate]}", saveAs: "gate/sallyport.yaml"}},
}

// gateWorks is what the page promises, looked at.
const gateWorks = `
until docker logs gate 2>&1 | grep 'serving.*gateway=https://'; do docker inspect -f '{{.State.Running}}' gate | grep -q true; sleep 0.1; done
docker exec gate sallyport token list
docker exec gate sallyport audit verify
docker stop gate
docker inspect -f 'ended with {{.State.ExitCode}}' gate
`

// TestGateInAContainer runs that section in a real engine.
func TestGateInAContainer(t *testing.T) {
	_, err := exec.LookPath("docker")
	testkit.RequireTool(t, "docker", err == nil, "tools/docker/install installs it (as root)")
	engine := docker.Start(t)
	home := t.TempDir()
	gatePage.settle(t, home)
	write(t, filepath.Join(home, "image.tar"), image(t), 0o600)
	var blocks []block
	for _, b := range blocksOf(t, gatePage.path) {
		if (b.lang == "sh" && strings.Contains(b.text, "docker ")) || gatePage.useOf(b).saveAs != "" {
			blocks = append(blocks, b)
		}
	}
	if len(blocks) != 3 {
		t.Fatalf("the section has %d blocks", len(blocks))
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", gatePage.script(blocks)+gateWorks)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "DOCKER_HOST=" + engine.Host}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("followed to the letter, it ends with %v:\n%s", err, out)
	}
	for _, text := range []string{"spt_", "intact", "ended with 0"} {
		if !strings.Contains(string(out), text) {
			t.Errorf("the output lacks %q:\n%s", text, out)
		}
	}
}

// image is the file system of the image.
func image(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sallyport")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary,
		"sallyport/cmd/sallyport")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, header := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Typeflag: tar.TypeDir, Name: "var/lib/sallyport/", Mode: 0o700, Uid: 65532, Gid: 65532},
		{Typeflag: tar.TypeReg, Name: "usr/local/bin/sallyport", Mode: 0o755, Size: int64(len(program))},
	} {
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
