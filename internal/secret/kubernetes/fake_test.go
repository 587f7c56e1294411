package kubernetes_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/testkit/kube"
)

// against is a store whose API server is the handler. Its token is the canary.
func against(t *testing.T, timeout time.Duration, handler http.HandlerFunc) *kubernetes.Store {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return at(t, timeout, kube.Object{"server": server.URL, "certificate-authority-data": ca})
}

func at(t *testing.T, timeout time.Duration, cluster kube.Object) *kubernetes.Store {
	t.Helper()
	b, err := json.Marshal(kube.Object{
		"apiVersion": "v1", "kind": "Config", "current-context": "a",
		"contexts": []kube.Object{{"name": "a", "context": kube.Object{"cluster": "c", "user": "u", "namespace": "ns"}}},
		"clusters": []kube.Object{{"name": "c", "cluster": cluster}},
		"users":    []kube.Object{{"name": "u", "user": kube.Object{"token": canary}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := kubernetes.New(kubernetes.Options{Kubeconfig: file, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// quiet fails the test when something was written to standard error, where client-go's logger writes.
func quiet(t *testing.T) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = file
	t.Cleanup(func() {
		os.Stderr = before
		if b, err := os.ReadFile(file.Name()); err != nil || len(b) > 0 {
			t.Errorf("standard error: %q, %v", b, err)
		}
		_ = file.Close()
	})
}

// status is an answer as Kubernetes gives it; its text quotes what it was sent.
func status(code int, reason string) string {
	return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"reason":%q,"message":%q}`,
		code, reason, canary)
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		body string
		want error
		text string
	}{
		"not found":              {404, status(404, "NotFound"), secret.ErrNotFound, ""},
		"unauthorized":           {401, status(401, "Unauthorized"), secret.ErrDenied, "401"},
		"forbidden":              {403, status(403, "Forbidden"), secret.ErrDenied, `to get secret "db" in namespace "ns"`},
		"forbidden by a proxy":   {403, canary, secret.ErrDenied, "403"},
		"too many":               {429, status(429, "TooManyRequests"), secret.ErrUnavailable, "429"},
		"an error":               {500, status(500, "InternalError"), secret.ErrUnavailable, "500"},
		"an error without form":  {503, "<html>" + canary, secret.ErrUnavailable, "503"},
		"another's not found":    {404, "<html>" + canary, secret.ErrUnavailable, "404"},
		"a teapot":               {418, canary, secret.ErrUnavailable, "418"},
		"no JSON":                {200, canary, secret.ErrUnavailable, "not understood"},
		"a cut answer":           {200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"db","resourceVersion":"1"},"data":{"key":"` + canary, secret.ErrUnavailable, "not understood"},
		"no base64":              {200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"db","resourceVersion":"1"},"data":{"key":"` + canary + `%"}}`, secret.ErrUnavailable, "not understood"},
		"another kind":           {200, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"db","resourceVersion":"1"},"data":{"key":"` + canary + `"}}`, secret.ErrUnavailable, "not understood"},
		"another Secret":         {200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"other","resourceVersion":"1"},"data":{"key":"dA=="}}`, secret.ErrUnavailable, "not understood"},
		"nothing":                {200, "", secret.ErrUnavailable, "not understood"},
		"an object of no kind":   {200, "{}", secret.ErrUnavailable, "not understood"},
		"a warning and a Secret": {200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"db","resourceVersion":"1","creationTimestamp":"2026-01-02T03:04:05Z"},"data":{"key":"dA=="}}`, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			quiet(t)
			store := against(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Warning", `299 - "`+canary+`"`)
				w.WriteHeader(c.code)
				_, _ = io.WriteString(w, c.body)
			})
			value, _, err := store.Get(t.Context(), "/db/key", "")
			if c.want == nil {
				if err != nil || string(value.Reveal()) != "t" {
					t.Errorf("got %q, %v", value.Reveal(), err)
				}
				return
			}
			wantErr(t, "reading", err, c.want, c.text)
			if strings.Contains(fault.HintOf(err), canary) {
				t.Errorf("the hint %q has a secret", fault.HintOf(err))
			}
			results := store.GetBatch(t.Context(), []secret.Key{{Path: "/db/key"}, {Path: "/db/other"}})
			wantErr(t, "in a batch", results[0].Err, c.want, "/db/key")
		})
	}
}

// TestNoRedirects: the token goes nowhere but where it was meant to go.
func TestNoRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request with %q came to another address", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	asked := false
	store := against(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Authorization") == "Bearer "+canary
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	_, _, err := store.Get(t.Context(), "db", "")
	wantErr(t, "a redirect", err, secret.ErrUnavailable, "307")
	if !asked {
		t.Error("the API server was not asked with the token")
	}
}

// TestNoProxy: a proxy of the environment, which may be Sallyport itself, is not used.
func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("NO_PROXY", "")
	server := shared.Server(t)
	ns := server.Namespace(t)
	server.Secret(t, ns, "db", map[string]string{"key": "value"})
	if got := read(t, openAs(t, server, ns, server.AdminToken), "/db/key"); got != "value" {
		t.Errorf("got %q", got)
	}
}

func TestDown(t *testing.T) {
	quiet(t)
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.URL
	server.Close()
	store := at(t, time.Minute, kube.Object{"server": address})
	_, _, err := store.Get(t.Context(), "db", "")
	wantErr(t, "nobody there", err, secret.ErrUnavailable, "refused", "does the API server run")
	if fault.ExitOf(err) != fault.ExitStore {
		t.Errorf("exit code %d", fault.ExitOf(err))
	}
	keys := make([]secret.Key, 50)
	for i := range keys {
		keys[i].Path = fmt.Sprintf("s%d", i)
	}
	for i, res := range store.GetBatch(t.Context(), keys) {
		wantErr(t, "in a batch", res.Err, secret.ErrUnavailable, keys[i].Path)
	}
}

// TestSlow: a call ends at its time limit, and the caller's own end is told as such.
func TestSlow(t *testing.T) {
	quiet(t)
	release := make(chan struct{})
	slow := func(http.ResponseWriter, *http.Request) { <-release }
	store := against(t, 50*time.Millisecond, slow)
	t.Cleanup(func() { close(release) }) // before the server closes, which waits for its handlers
	_, _, err := store.Get(t.Context(), "db", "")
	wantErr(t, "a slow answer", err, secret.ErrUnavailable, "in time")
	_, err = store.List(t.Context(), "")
	wantErr(t, "a slow list", err, secret.ErrUnavailable, "in time")
}

// TestProgram: the kubeconfig of a cloud names a program that gets the token.
func TestProgram(t *testing.T) {
	server := shared.Server(t)
	ns := server.Namespace(t)
	server.Secret(t, ns, "db", map[string]string{"key": "value"})
	dir := t.TempDir()
	credential := filepath.Join(dir, "credential.json")
	text := `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"` +
		server.AdminToken + `"}}`
	if err := os.WriteFile(credential, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(server.Kubeconfig(t, "TOKEN", ns))
	if err != nil {
		t.Fatal(err)
	}
	program := `"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"cat","args":["` + credential +
		`"],"interactiveMode":"Never"}`
	file := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, []byte(strings.Replace(string(config), `"token":"TOKEN"`, program, 1)),
		0o600); err != nil {
		t.Fatal(err)
	}
	store, err := kubernetes.New(kubernetes.Options{Kubeconfig: file})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, store, "/db/key"); got != "value" {
		t.Errorf("got %q", got)
	}
}

// TestListThatCannotBeContinued: the API server forgets a list after some minutes.
func TestListThatCannotBeContinued(t *testing.T) {
	const names = 25
	full := func(kind string, from, to int, next string) string {
		var items []string
		for i := from; i < to; i++ {
			items = append(items,
				fmt.Sprintf(
					`{"metadata":{"name":"s%02d","namespace":"ns","resourceVersion":"7"},"data":{"key":"dA=="}}`, i))
		}
		return fmt.Sprintf(`{%s,"metadata":{"resourceVersion":"9","continue":%q},"items":[%s]}`, kind, next,
			strings.Join(items, ","))
	}
	store := against(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		kind := `"kind":"SecretList","apiVersion":"v1"`
		if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList") {
			kind = `"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1"`
		}
		w.Header().Set("Content-Type", "application/json")
		name, one := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/ns/secrets/")
		switch query := r.URL.Query(); {
		case one:
			_, _ = fmt.Fprintf(w,
				`{"kind":"Secret","apiVersion":"v1","metadata":{"name":%q,"resourceVersion":"7"},"data":{"key":"dA=="}}`, name)
		case query.Get("continue") != "":
			w.WriteHeader(http.StatusGone)
			_, _ = io.WriteString(w, status(http.StatusGone, "Expired"))
		case query.Get("limit") != "":
			_, _ = io.WriteString(w, full(kind, 0, 10, "more"))
		default:
			_, _ = io.WriteString(w, full(kind, 0, names, ""))
		}
	})
	entries, err := store.List(t.Context(), "")
	if err != nil || len(entries) != names {
		t.Errorf("%d entries, %v; want %d", len(entries), err, names)
	}
	keys := make([]secret.Key, names)
	for i := range keys {
		keys[i].Path = fmt.Sprintf("/s%02d/key", i)
	}
	for i, res := range store.GetBatch(t.Context(), keys) {
		if res.Err != nil || string(res.Value.Reveal()) != "t" {
			t.Errorf("%s: %v", keys[i].Path, res.Err)
		}
	}
}
