// Package vault runs a real HashiCorp Vault for tests: on loopback, with its storage in a temporary folder, so that it
// can be sealed, stopped and started again and still holds what it held. It is for _test.go files only.
//
// tools/vault/install builds the server. Where it was not built, the test is skipped, and in CI it fails.
package vault

import (
	"crypto/x509"
	"testing"

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

// Shared is one Vault for all tests of a package, started when the first asks for it: see [testkit.Shared].
type Shared struct{ testkit.Shared[*Server] }

// Server returns the server. Tests keep apart by mounting engines and methods of their own.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	bin := require(t)
	return s.Get(t, "Vault", func(dir string) (*Server, error) { return launch(bin, dir, nil) }, (*Server).stop)
}

// require returns the folder that tools/vault/install has printed, or skips the test.
func require(t testing.TB) string {
	t.Helper()
	bin := testkit.Installed("vault", "", "vault")
	testkit.RequireTool(t, "Vault", bin != "", "`make servers` gets it (about 5 minutes)")
	return bin
}
