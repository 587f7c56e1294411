// Package kube runs a real Kubernetes API server for tests, with the etcd that it needs, on loopback. There are no nodes and no
// controllers: what is written stays as it is. It is for _test.go files only.
//
// tools/kube/install builds the API server. Where it was not built, the test is skipped, and in CI it fails.
package kube

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

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

// Shared is one API server for all tests of a package, started when the first asks for it. The zero value is ready:
//
//	var shared kube.Shared
//
//	func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }
type Shared struct {
	once   sync.Once
	dir    string
	server *Server
	err    error
}

// Main runs the tests and stops the server, whatever has become of them.
func (s *Shared) Main(m *testing.M) int {
	defer func() {
		if s.server != nil {
			s.server.stop()
		}
		if s.dir != "" {
			_ = os.RemoveAll(s.dir)
		}
	}()
	return m.Run()
}

// Server returns the server. Tests keep apart by namespaces of their own.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	bin := require(t)
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "sallyport-kube-"); s.err == nil { //nolint:usetesting // it outlives the test that asks first
			s.server, s.err = launch(bin, s.dir)
		}
	})
	if s.err != nil {
		t.Fatalf("starting Kubernetes: %v", s.err)
	}
	return s.server
}

// require returns the folder that tools/kube/install has printed, or skips the test.
func require(t testing.TB) string {
	t.Helper()
	bin := find()
	testkit.RequireTool(t, "the Kubernetes API server", bin != "", "`make servers` gets it (about 8 minutes)")
	return bin
}

// find returns the folder that SALLYPORT_KUBE_DIR names, else the newest that tools/kube/install has made, or "".
func find() string {
	candidates := []string{os.Getenv("SALLYPORT_KUBE_DIR")}
	if candidates[0] == "" {
		tools := os.Getenv("SALLYPORT_TOOLS")
		if home, err := os.UserHomeDir(); tools == "" && err == nil {
			tools = filepath.Join(home, ".cache", "sallyport-tools")
		}
		candidates, _ = filepath.Glob(filepath.Join(tools, "kube-*"))
		slices.SortFunc(candidates, func(a, b string) int { return modified(b).Compare(modified(a)) })
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "kube-apiserver")); dir != "" && err == nil { //nolint:gosec // whoever runs the tests chooses
			return dir
		}
	}
	return ""
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
