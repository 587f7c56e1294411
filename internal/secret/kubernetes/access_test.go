package kubernetes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/testkit/kube"
)

// TestDenied takes one verb at a time out of the role, and wants the rule in the hint that puts it back.
func TestDenied(t *testing.T) {
	server := shared.Server(t)
	for _, c := range []struct {
		verb string
		do   func(t *testing.T, store *kubernetes.Store) error
		rule string
	}{
		{"get", func(t *testing.T, s *kubernetes.Store) error {
			_, _, err := s.Get(t.Context(), "/db/key", "")
			return err
		}, `resourceNames: ["db"], verbs: [get]`},
		{"create", func(t *testing.T, s *kubernetes.Store) error {
			_, err := s.Put(t.Context(), "/fresh/key", secret.NewValue([]byte(canary)))
			return err
		}, `resources: [secrets], verbs: [create]`},
		{"update", func(t *testing.T, s *kubernetes.Store) error {
			_, err := s.Put(t.Context(), "/db/key", secret.NewValue([]byte(canary)))
			return err
		}, `resourceNames: ["db"], verbs: [update]`},
		{"delete", func(t *testing.T, s *kubernetes.Store) error {
			return s.Delete(t.Context(), "db")
		}, `resourceNames: ["db"], verbs: [delete]`},
		{"list", func(t *testing.T, s *kubernetes.Store) error {
			_, err := s.List(t.Context(), "")
			return err
		}, `resources: [secrets], verbs: [list]`},
		{"watch", func(t *testing.T, s *kubernetes.Store) error {
			return s.Watch(t.Context(), []string{"db"}, func(string) {})
		}, `resourceNames: ["db"], verbs: [watch]`},
	} {
		t.Run(c.verb, func(t *testing.T) {
			ns := server.Namespace(t)
			server.Secret(t, ns, "db", map[string]string{"key": "value"})
			var others []string
			for _, verb := range everything.Verbs {
				if verb != c.verb {
					others = append(others, verb)
				}
			}
			err := c.do(t, open(t, server, ns, kube.Rule{Verbs: others}))
			wantErr(t, "without "+c.verb, err, secret.ErrDenied, c.verb, c.rule, `namespace "`+ns+`"`)
		})
	}
}

// TestNamedSecretsOnly: a role with resourceNames is enough to read, write and watch them, one by one.
func TestNamedSecretsOnly(t *testing.T) {
	server := shared.Server(t)
	ns := server.Namespace(t)
	server.Secret(t, ns, "mine", map[string]string{"key": "value"})
	server.Secret(t, ns, "others", map[string]string{"key": canary})
	store := open(t, server, ns, kube.Rule{Verbs: []string{"get", "list", "watch", "update"}, Names: []string{"mine"}})

	if got := read(t, store, "/mine/key"); got != "value" {
		t.Errorf("got %q", got)
	}
	write(t, store, "/mine/key", "new")
	_, _, err := store.Get(t.Context(), "others", "")
	wantErr(t, "another's", err, secret.ErrDenied, "others", `resourceNames: ["others"]`)
	results := store.GetBatch(t.Context(), []secret.Key{{Path: "/mine/key"}, {Path: "/others/key"}})
	if got := string(results[0].Value.Reveal()); results[0].Err != nil || got != "new" {
		t.Errorf("in a batch: %q, %v", got, results[0].Err)
	}
	wantErr(t, "another's in a batch", results[1].Err, secret.ErrDenied, "/others/key")

	w := watching(t, store, "/mine/key")
	w.want("/mine/key")
	write(t, store, "/mine/key", "newer")
	w.want("/mine/key")
	err = store.Watch(t.Context(), []string{"/mine/key", "others"}, func(string) {})
	wantErr(t, "watching another's", err, secret.ErrDenied, "list", `resourceNames: ["others"]`)
}

// TestPod runs the store as a pod does, and rotates the pod's token beneath it.
func TestPod(t *testing.T) {
	server := shared.Server(t)
	ns := server.Namespace(t)
	server.Secret(t, ns, "db", map[string]string{"key": "value"})
	stranger := server.Account(t, ns, "stranger")
	allowed := server.Account(t, ns, "allowed", kube.Rule{Verbs: []string{"get"}, Names: []string{"db"}})
	dir := server.Pod(t, stranger, ns)
	store, err := kubernetes.New(kubernetes.Options{PodDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	rotate := func(token string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = store.Get(t.Context(), "db", "")
	wantErr(t, "as one without rights", err, secret.ErrDenied, "db")
	rotate(allowed)
	if got := read(t, store, "/db/key"); got != "value" {
		t.Errorf("after the token was rotated: %q", got)
	}
	rotate(server.Token(t, ns, "allowed", "vault"))
	_, _, err = store.Get(t.Context(), "db", "")
	wantErr(t, "with a token for another audience", err, secret.ErrDenied, "401", "token")
	rotate("two words")
	_, _, err = store.Get(t.Context(), "db", "")
	wantErr(t, "with a file that holds no token", err, secret.ErrUnavailable, "does not hold a token")
	rotate(server.Token(t, ns, "allowed"))
	if got := read(t, store, "/db/key"); got != "value" {
		t.Errorf("after it was repaired: %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	_, _, err = store.Get(t.Context(), "db", "")
	wantErr(t, "without a token", err, secret.ErrUnavailable, "reading the token", "automountServiceAccountToken")
}

func TestNamespaces(t *testing.T) {
	server := shared.Server(t)
	a, b := server.Namespace(t), server.Namespace(t)
	server.Secret(t, a, "db", map[string]string{"key": "in a"})
	server.Secret(t, b, "db", map[string]string{"key": "in b"})
	for name, c := range map[string]struct {
		options kubernetes.Options
		want    string
	}{
		"the context's": {kubernetes.Options{Kubeconfig: server.Kubeconfig(t, server.AdminToken, a), Context: "test"}, "in a"},
		"the store's":   {kubernetes.Options{Kubeconfig: server.Kubeconfig(t, server.AdminToken, a), Namespace: b}, "in b"},
		"the pod's":     {kubernetes.Options{PodDir: server.Pod(t, server.AdminToken, b)}, "in b"},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := kubernetes.New(c.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, store, "/db/key"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBECONFIG", filepath.Join("testdata", "nobody-asked-for-this"))
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	complete := `{"apiVersion":"v1","kind":"Config","current-context":"a","contexts":[{"name":"a","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}]}`
	for name, c := range map[string]struct {
		options kubernetes.Options
		want    string
	}{
		"no pod":               {kubernetes.Options{}, "KUBERNETES_SERVICE_HOST"},
		"a context alone":      {kubernetes.Options{Context: "a"}, "no kubeconfig"},
		"no file":              {kubernetes.Options{Kubeconfig: filepath.Join(dir, "nothing")}, "no such file"},
		"not a kubeconfig":     {kubernetes.Options{Kubeconfig: file("garbage", "{"+canary)}, "cannot be understood"},
		"an empty kubeconfig":  {kubernetes.Options{Kubeconfig: file("empty", "")}, `no context ""`},
		"no such context":      {kubernetes.Options{Kubeconfig: file("one", complete), Context: "b"}, `no context "b"`},
		"no cluster":           {kubernetes.Options{Kubeconfig: file("partly", strings.Replace(complete, `"name":"c"`, `"name":"d"`, 1))}, "not complete"},
		"an address":           {kubernetes.Options{Kubeconfig: file("address", strings.Replace(complete, "https://127", "https://"+canary+"%:127", 1))}, "address"},
		"no certificate":       {kubernetes.Options{Kubeconfig: file("ca", strings.Replace(complete, `"server"`, `"certificate-authority-data":"`+canary+`","server"`, 1))}, ""},
		"not a namespace name": {kubernetes.Options{Kubeconfig: file("two", complete), Namespace: "N8N"}, `namespace "N8N"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := kubernetes.New(c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), canary) ||
				strings.Contains(fault.HintOf(err), canary) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	if _, err := kubernetes.New(kubernetes.Options{Kubeconfig: file("good", complete)}); err != nil {
		t.Errorf("a complete kubeconfig: %v", err)
	}
}
