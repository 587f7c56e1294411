package testkit

import (
	"os"
	"sync"
	"testing"
)

// Shared is one server for all tests of a package, started when the first asks for it. The zero value is ready. A kit
// of a server wraps it, and a package that uses the kit has
//
//	var shared vault.Shared
//
//	func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }
type Shared[S any] struct {
	once   sync.Once
	dir    string
	server S
	stop   func() // nil: nothing was started
	err    error
}

// Main runs the tests and stops the server, whatever has become of them. It returns the exit code.
func (s *Shared[S]) Main(m interface{ Run() int }) int {
	defer func() {
		if s.stop != nil {
			s.stop()
		}
		if s.dir != "" {
			_ = os.RemoveAll(s.dir)
		}
	}()
	return m.Run()
}

// Get returns the server, which launch has started in a temporary folder and stop stops. Where it did not start, every
// test that asks for it fails. name is what it is: "Vault".
func (s *Shared[S]) Get(t testing.TB, name string, launch func(dir string) (S, error), stop func(S)) S {
	t.Helper()
	s.once.Do(func() {
		s.dir, s.err = os.MkdirTemp("", "sallyport-shared-") //nolint:usetesting // it outlives the test that asks first
		if s.err != nil {
			return
		}
		if s.server, s.err = launch(s.dir); s.err == nil {
			s.stop = func() { stop(s.server) }
		}
	})
	if s.err != nil {
		t.Fatalf("starting %s: %v", name, s.err)
	}
	return s.server
}
