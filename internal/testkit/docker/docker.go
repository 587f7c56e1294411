//go:build linux

// Package docker runs a real Docker engine for tests: on a unix socket in a temporary folder, with a swarm of one node,
// in process, network and mount namespaces of its own. Nothing of this machine is changed (no bridge, no firewall rule,
// no forwarding), nothing can be reached from it but the socket, and the end of the engine is the end of everything it
// ran. It is for _test.go files only.
//
// tools/docker/install installs the engine. Where it is not, or the tests don't run as root, they are skipped, and in
// CI they fail.
package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/internal/testkit"
)

// Start starts an engine for one test.
func Start(t testing.TB) *Engine {
	t.Helper()
	require(t)
	dir, err := os.MkdirTemp("", "sallyport-docker-") //nolint:usetesting // the name of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	e, err := launch(dir)
	if err != nil {
		t.Fatalf("starting Docker: %v", err)
	}
	t.Cleanup(e.stop)
	return e
}

// Shared is one engine for all tests of a package, started when the first asks for it: see [testkit.Shared].
type Shared struct{ testkit.Shared[*Engine] }

// Engine returns the engine. Tests keep apart by the names that they give.
func (s *Shared) Engine(t testing.TB) *Engine {
	t.Helper()
	require(t)
	return s.Get(t, "Docker", launch, (*Engine).stop)
}

func require(t testing.TB) {
	t.Helper()
	found := os.Geteuid() == 0
	for _, program := range []string{"dockerd", "iptables", "ip"} {
		found = found && lookPath(program) != ""
	}
	testkit.RequireTool(t, "the Docker engine, for root,", found, "tools/docker/install installs it (as root)")
}

// path is PATH with the folders of system programs, which a plain user's leaves out.
func path() string { return os.Getenv("PATH") + ":/usr/sbin:/sbin" }

// lookPath is exec.LookPath in path.
func lookPath(program string) string {
	for _, dir := range filepath.SplitList(path()) {
		if file, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return file
		}
	}
	return ""
}
