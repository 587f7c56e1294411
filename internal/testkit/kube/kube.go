// Package kube runs a real Kubernetes API server for tests, with the etcd that it needs, on loopback. There are no
// nodes and no controllers: what is written stays as it is. It is for _test.go files only.
//
// tools/kube/install builds the API server. Where it was not built, the test is skipped, and in CI it fails.
package kube

import (
	"testing"

	"sallyport/internal/testkit"
)

// Start starts an API server for one test, which may stop it.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := launch(require(t), t.TempDir())
	if err != nil {
		t.Fatalf("starting Kubernetes: %v", err)
	}
	t.Cleanup(s.stop)
	return s
}

// Shared is one API server for all tests of a package, started when the first asks for it: see [testkit.Shared].
type Shared struct{ testkit.Shared[*Server] }

// Server returns the server. Tests keep apart by namespaces of their own.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	bin := require(t)
	return s.Get(t, "Kubernetes", func(dir string) (*Server, error) { return launch(bin, dir) }, (*Server).stop)
}

// require returns the folder that tools/kube/install has printed, or skips the test.
func require(t testing.TB) string {
	t.Helper()
	bin := testkit.Installed("kube", "", "kube-apiserver")
	testkit.RequireTool(t, "the Kubernetes API server", bin != "", "`make servers` gets it (about 8 minutes)")
	return bin
}
