package kube

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a loaded machine may take to start a program.
const patience = 3 * time.Minute

// Server is an API server that is ready.
type Server struct {
	Host       string // 127.0.0.1
	Port       string
	URL        string // https://127.0.0.1:…
	CAFile     string // whom to trust for it
	AdminToken string // may do everything

	bin, dir  string
	etcdURL   string
	peerURL   string
	etcd, api *program
	http      *http.Client
	names     atomic.Int64
}

// launch starts both programs, with what they write in dir.
func launch(bin, dir string) (s *Server, err error) {
	s = &Server{bin: bin, dir: dir, Host: "127.0.0.1", CAFile: filepath.Join(dir, "certs", "apiserver.crt")}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	s.Port = ports[0]
	s.URL = "https://" + net.JoinHostPort(s.Host, s.Port)
	s.etcdURL, s.peerURL = "http://127.0.0.1:"+ports[1], "http://127.0.0.1:"+ports[2]
	if err := s.writeCredentials(); err != nil {
		return nil, err
	}
	if err := s.runEtcd(); err != nil {
		return nil, err
	}
	return s, s.runAPI()
}

// freePorts finds ports that nobody listens on now.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // all are kept until the last is found, so that they differ
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// writeCredentials makes the key that signs service accounts' tokens, and the token of the administrator.
func (s *Server) writeCredentials() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails, says its documentation
	s.AdminToken = hex.EncodeToString(random)
	return errors.Join(
		os.WriteFile(s.path("sa.key"),
			pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600),
		os.WriteFile(s.path("sa.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600),
		os.WriteFile(s.path("tokens.csv"), []byte(s.AdminToken+`,admin,1,"system:masters"`+"\n"), 0o600),
	)
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) runEtcd() (err error) {
	s.etcd, err = s.start("etcd", "--data-dir", s.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", s.etcdURL, "--advertise-client-urls", s.etcdURL,
		"--listen-peer-urls", s.peerURL, "--initial-advertise-peer-urls", s.peerURL, "--initial-cluster",
		"default="+s.peerURL)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	return s.etcd.await(func() bool { return healthy(client, s.etcdURL+"/health", "") })
}

func (s *Server) runAPI() (err error) {
	s.api, err = s.start("kube-apiserver", "--etcd-servers", s.etcdURL, "--bind-address", s.Host, "--secure-port",
		s.Port, "--cert-dir", s.path("certs"),
		"--service-account-key-file", s.path("sa.pub"), "--service-account-signing-key-file", s.path("sa.key"),
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/16",
		"--authorization-mode", "RBAC", "--token-auth-file", s.path("tokens.csv"),
		"--disable-admission-plugins", "ServiceAccount",
		"--endpoint-reconciler-type", "none", "--profiling=false", "--shutdown-delay-duration", "0s")
	if err != nil {
		return err
	}
	return s.api.await(func() bool { return s.connect() == nil && healthy(s.http, s.URL+"/readyz", s.AdminToken) })
}

// connect makes a client, once the API server has signed its certificate.
func (s *Server) connect() error {
	if s.http != nil {
		return nil
	}
	b, err := os.ReadFile(s.CAFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return errors.New("no certificate yet")
	}
	s.http = &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool},
			ForceAttemptHTTP2: true,
		},
	}
	return nil
}

func healthy(client *http.Client, url, token string) bool {
	req, err := http.NewRequest(http.MethodGet, url, nil) //nolint:noctx // the client has a time limit
	if err != nil {
		return false
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Stop ends the API server at once, watches and all. What was written stays.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.api.stop()
	s.http.CloseIdleConnections()
}

// Restart starts a stopped API server at the same address.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.runAPI(); err != nil {
		t.Fatalf("starting the API server again: %v", err)
	}
}

func (s *Server) stop() {
	s.api.stop()
	s.etcd.stop()
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
}

// program is a process that runs.
type program struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

func (s *Server) start(name string, args ...string) (*program, error) {
	p := &program{log: s.path(name + ".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(filepath.Join(s.bin, name), args...) //nolint:gosec,noctx // a program that was looked up; it outlives the test that starts it
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Dir = s.dir
	p.cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	if err := errors.Join(p.cmd.Start(), log.Close()); err != nil {
		return nil, err
	}
	go func() { // ends with the process, which stop waits for
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// await asks until it is so, the process has ended, or patience has.
func (p *program) await(isSo func() bool) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended: %s", filepath.Base(p.cmd.Path), p.tail())
		case <-deadline.C:
			return fmt.Errorf("%s was not ready within %s: %s", filepath.Base(p.cmd.Path), patience, p.tail())
		case <-tick.C:
		}
	}
	return nil
}

func (p *program) tail() string {
	b, _ := os.ReadFile(p.log)
	return strings.TrimSpace(string(b[max(0, len(b)-4096):]))
}

func (p *program) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}
