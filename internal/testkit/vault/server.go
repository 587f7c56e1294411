package vault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a loaded machine may take to start Vault.
const patience = 2 * time.Minute

// Server is a Vault that is initialized and unsealed.
type Server struct {
	Address   string         // http://127.0.0.1:…
	RootToken string         // may do everything
	CAPool    *x509.CertPool // nil without TLS

	bin, dir  string
	unsealKey string
	http      *http.Client
	process   *exec.Cmd
	done      chan struct{} // closed when process has ended
}

// launch starts a Vault in dir for the first time.
func launch(bin, dir string, pool *x509.CertPool) (*Server, error) {
	s := &Server{bin: bin, dir: dir, CAPool: pool, http: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}},
	}}
	if err := s.configure(); err != nil {
		return nil, err
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	if err := s.initialize(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// configure picks ports and writes the configuration. Of the storages that outlive the process the minimal build has
// raft; a value of 1 MiB needs entries that are longer than raft's default.
func (s *Server) configure() error {
	address, errAPI := freePort()
	cluster, errCluster := freePort()
	if err := errors.Join(errAPI, errCluster, os.MkdirAll(s.path("data"), 0o700)); err != nil {
		return err
	}
	s.Address = "http://" + address
	security := "tls_disable = true"
	if s.CAPool != nil {
		s.Address = "https://" + address
		security = fmt.Sprintf("tls_cert_file = %q\n  tls_key_file = %q", s.path(certFile), s.path(keyFile))
	}
	config := fmt.Sprintf(`
disable_mlock    = true
log_level        = "warn"
api_addr         = %q
plugin_directory = %q
cluster_addr     = %q
storage "raft" {
  path           = %q
  node_id        = "one"
  max_entry_size = 8388608
  performance_multiplier = 1
}
listener "tcp" {
  address         = %q
  cluster_address = %q
  %s
}
`, s.Address, filepath.Join(s.bin, "plugins"), "http://"+cluster, s.path("data"), address, cluster, security)
	return os.WriteFile(s.path("vault.hcl"), []byte(config), 0o600)
}

// freePort is an address on loopback that nobody listened at a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// run starts the process and waits until it answers.
func (s *Server) run() error {
	log, err := os.OpenFile(s.path("vault.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s.process = exec.Command(filepath.Join(s.bin, "vault"), "server", "-config", s.path("vault.hcl")) //nolint:gosec,noctx // a program that was looked up; it outlives the test that starts it
	s.process.Stdout, s.process.Stderr = log, log
	s.process.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	err = errors.Join(s.process.Start(), log.Close())
	if err != nil {
		return err
	}
	s.done = make(chan struct{})
	go func() { // ends with the process, which stop waits for
		defer close(s.done)
		_ = s.process.Wait()
	}()
	if err := s.await(func() bool {
		_, err := s.call(http.MethodGet, "sys/seal-status", nil)
		return err == nil
	}); err != nil {
		s.stop()
		return fmt.Errorf("%w: %s", err, s.Log())
	}
	return nil
}

// await asks until it is so, the process has ended, or patience has.
func (s *Server) await(isSo func() bool) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-s.done:
			return errors.New("vault has ended")
		case <-deadline.C:
			return fmt.Errorf("vault was not ready within %s", patience)
		case <-tick.C:
		}
	}
	return nil
}

func (s *Server) initialize() error {
	answer, err := s.call(http.MethodPost, "sys/init", map[string]int{"secret_shares": 1, "secret_threshold": 1})
	if err != nil {
		return err
	}
	keys, _ := answer["keys_base64"].([]any)
	s.RootToken, _ = answer["root_token"].(string)
	if len(keys) != 1 || s.RootToken == "" {
		return errors.New("vault was initialized without a key or a token")
	}
	s.unsealKey, _ = keys[0].(string)
	return s.unseal()
}

// unseal returns when Vault serves.
func (s *Server) unseal() error {
	if _, err := s.call(http.MethodPost, "sys/unseal", map[string]string{"key": s.unsealKey}); err != nil {
		return err
	}
	return s.await(func() bool { _, err := s.call(http.MethodGet, "sys/health", nil); return err == nil })
}

// Log is what the server has written.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.path("vault.log"))
	return strings.TrimSpace(string(b))
}

// stop ends the process at once.
func (s *Server) stop() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	<-s.done
	s.http.CloseIdleConnections()
}

// Stop ends the process at once; what was written stays.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.stop()
}

// Restart starts a stopped server at the same address and unseals it.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("starting Vault again: %v", err)
	}
	s.Unseal(t)
}

// Seal makes the server refuse everything until Unseal.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	s.Call(t, http.MethodPost, "sys/seal", nil)
}

// Unseal undoes Seal.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	if err := s.unseal(); err != nil {
		t.Fatalf("unsealing Vault: %v", err)
	}
}
