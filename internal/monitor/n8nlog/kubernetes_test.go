package n8nlog_test

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// cluster is what an API server without kubelets cannot give: pods that come and go, and their logs.
type cluster struct {
	mu    sync.Mutex
	pods  []string
	lines map[string][]string // by pod, each with its time
	calls int                 // for logs
}

// say has a pod write lines now: the second has the time of the first, and the third an earlier one.
func (c *cluster) say(pod string, ids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().UTC()
	for i, id := range ids {
		line := now.Add(-time.Duration(i/2)).Format(time.RFC3339Nano) + " " + fmt.Sprintf(missing, id)
		c.lines[pod] = append(c.lines[pod], line)
	}
}

func (c *cluster) run(pods ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods = pods
}

// ServeHTTP lists pods, and gives a log from sinceTime on, whose seconds are rounded as Kubernetes rounds them; the
// connection ends then.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := r.URL.Query()
	if r.Header.Get("Authorization") != "Bearer canary" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if pod, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/prod/pods/"); ok {
		c.calls++
		since, err := time.Parse(time.RFC3339, q.Get("sinceTime"))
		if err != nil || q.Get("follow") != "true" || q.Get("container") != "n8n" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, line := range c.lines[strings.TrimSuffix(pod, "/log")] {
			stamp, _, _ := strings.Cut(line, " ")
			if at, _ := time.Parse(time.RFC3339Nano, stamp); !at.Before(since) {
				_, _ = fmt.Fprint(w, line)
			}
		}
		return
	}
	if r.URL.Path != "/api/v1/namespaces/prod/pods" || q.Get("labelSelector") != "app=n8n" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	items := []string{`{"metadata": {"name": "starting"}, "status": {"phase": "Pending"}}`}
	for _, pod := range c.pods {
		items = append(items, fmt.Sprintf(`{"metadata": {"name": %q}, "status": {"phase": "Running"}}`, pod))
	}
	_, _ = fmt.Fprintf(w, `{"kind": "PodList", "items": [%s]}`, strings.Join(items, ","))
}

// TestKubernetes: the pods of a selector are nodes of their own, found as they come, let go as they go; a connection
// that ends is made again, and no line is taken twice.
func TestKubernetes(t *testing.T) {
	c := &cluster{lines: map[string][]string{}}
	api := httptest.NewTLSServer(c)
	t.Cleanup(api.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	config := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(config, []byte(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": "`+api.URL+`",
			"certificate-authority-data": "`+base64.StdEncoding.EncodeToString(ca)+`"}}], 
		"users": [{"name": "u", "user": {"token": "canary"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run("main-0", "evil%2f")
	w := start(t, nil, false, "kubernetes:prod/app=n8n?container=n8n&kubeconfig="+url.QueryEscape(config))
	w.await(`sallyport_n8n_log_readable{node="main-0"}`, "1")
	c.say("main-0", "a")
	w.ids(1)
	c.say("main-0", "b")
	w.ids(2)
	c.run("worker-1")
	w.await(`sallyport_n8n_log_readable{node="worker-1"}`, "1")
	w.await(`sallyport_n8n_log_readable{node="main-0"}`, "") // a pod that is gone is no node that is away
	c.say("worker-1", "c", "d", "e")
	if got := w.ids(5); got != "a b c d e" {
		t.Errorf("events are about %q", got)
	}
	api.Close()
	w.await(`sallyport_n8n_log_readable{node="prod/app=n8n"}`, "0")
}
