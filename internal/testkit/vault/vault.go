// Package vault runs a real HashiCorp Vault for tests: on loopback, with its storage in a temporary folder, so that it can be
// sealed, stopped and started again and still holds what it held. It is for _test.go files only.
//
// tools/vault/install builds the server. Where it was not built, the test is skipped, and in CI it fails.
package vault

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/internal/testkit"
)

// Start starts a Vault that serves plain HTTP until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	return start(t, t.TempDir(), nil)
}

// StartTLS starts a Vault with a certificate of its own for 127.0.0.1; it asks clients for theirs and demands none.
func StartTLS(t testing.TB) *Server {
	t.Helper()
	dir := t.TempDir()
	pool, err := writeCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, dir, pool)
}

func start(t testing.TB, dir string, pool *x509.CertPool) *Server {
	t.Helper()
	s, err := launch(require(t), dir, pool)
	if err != nil {
		t.Fatalf("starting Vault: %v", err)
	}
	t.Cleanup(s.stop)
	return s
}

// Shared is one Vault for all tests of a package, started when the first asks for it. The zero value is ready:
//
//	var shared vault.Shared
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

// Server returns the server. Tests keep apart by mounting engines and methods of their own.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	bin := require(t)
	s.once.Do(func() {
		s.dir, s.err = os.MkdirTemp("", "sallyport-vault-") //nolint:usetesting // it outlives the test that comes first
		if s.err == nil {
			s.server, s.err = launch(bin, s.dir, nil)
		}
	})
	if s.err != nil {
		t.Fatalf("starting Vault: %v", s.err)
	}
	return s.server
}

// require returns the folder that tools/vault/install has printed, or skips the test.
func require(t testing.TB) string {
	t.Helper()
	bin := find()
	testkit.RequireTool(t, "Vault", bin != "", "`make servers` gets it (about 5 minutes)")
	return bin
}

// find returns the folder that SALLYPORT_VAULT_DIR names, else the newest that tools/vault/install has made, or "".
func find() string {
	candidates := []string{os.Getenv("SALLYPORT_VAULT_DIR")}
	if candidates[0] == "" {
		tools := os.Getenv("SALLYPORT_TOOLS")
		if home, err := os.UserHomeDir(); tools == "" && err == nil {
			tools = filepath.Join(home, ".cache", "sallyport-tools")
		}
		candidates, _ = filepath.Glob(filepath.Join(tools, "vault-*"))
		slices.SortFunc(candidates, func(a, b string) int { return modified(b).Compare(modified(a)) })
	}
	for _, dir := range candidates {
		if _, err := exec.LookPath(filepath.Join(dir, "vault")); dir != "" && err == nil {
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
