// Package prometheus runs a real Prometheus for tests.
package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport/internal/testkit"
)

// Server is a Prometheus that ends with its test.
type Server struct {
	URL string

	log lines
}

// Sample is one series of an answer with its value.
type Sample struct {
	Labels map[string]string
	Value  string
}

// FreeAddress is an address of loopback on which nothing listened a moment ago.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it is given away
	return l.Addr().String()
}

// Start runs a Prometheus with a configuration and with rules, which are in rules.yml beside it. It returns when the
// server is ready.
func Start(t testing.TB, config string, rules []byte) *Server {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	testkit.RequireTool(t, "Prometheus", err == nil, "apt-get install prometheus")
	dir, address := t.TempDir(), FreeAddress(t)
	for name, text := range map[string][]byte{"prometheus.yml": []byte(config), "rules.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{URL: "http://" + address}
	//nolint:gosec // a program that was looked up
	server := exec.CommandContext(t.Context(), program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address,
		"--query.lookback-delta=3s", "--log.level=warn")
	server.Stdout, server.Stderr, server.Dir = &s.log, &s.log, dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	s.Until(t, "Prometheus is ready", func() bool {
		_, status := s.get(t, "/-/ready")
		return status == http.StatusOK
	})
	return s
}

// Query is the answer to an expression, now.
func (s *Server) Query(t testing.TB, expr string) []Sample {
	t.Helper()
	body, status := s.get(t, "/api/v1/query?query="+url.QueryEscape(expr))
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		t.Fatalf("asking Prometheus for %q: status %d, %v: %s", expr, status, err, body)
	}
	list := make([]Sample, 0, len(answer.Data.Result))
	for _, r := range answer.Data.Result {
		list = append(list, Sample{r.Metric, fmt.Sprint(r.Value[1])})
	}
	return list
}

// Until asks again and again until the answer is wanted.
func (s *Server) Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it did not happen that %s; Prometheus said:\n%s", what, &s.log)
		}
	}
}

// get is 0 while the server does not answer.
func (s *Server) get(t testing.TB, path string) (body []byte, status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return nil, 0
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return nil, 0
	}
	return b.Bytes(), resp.StatusCode
}

// lines are what a server writes.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
