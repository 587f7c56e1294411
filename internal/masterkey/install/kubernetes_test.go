package install_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/internal/masterkey/install"
	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/testkit/kube"
)

func TestKubernetes(t *testing.T) {
	server := kube.Start(t)
	namespace := server.Namespace(t)
	token := server.Account(t, namespace, "sallyport", kube.Rule{Verbs: []string{"get", "list", "create", "update"}})
	p := openKubernetes(t, server, token, namespace)
	life(t, p, func(n string) string { return "n8n-encryption-key-v" + n })
	want(t, run(t, p, "key-of-a-third-kind-00"), "n8n-encryption-key-v3", install.Created, true)

	// A Secret of that name that is someone else's keeps what it has.
	server.Secret(t, namespace, "n8n-encryption-key-v4", map[string]string{"token": "theirs"})
	r := run(t, p, "key-of-a-fourth-kind-0")
	want(t, r, "n8n-encryption-key-v5", install.Created, true)
	theirs, _ := server.Call(t, http.MethodGet, kube.Secrets(namespace)+"/n8n-encryption-key-v4",
		nil)["data"].(kube.Object)
	if len(theirs) != 1 {
		t.Errorf("it has %d keys", len(theirs))
	}
	for _, part := range []string{
		"name: n8n-encryption-key-v5\n        key: N8N_ENCRYPTION_KEY\n",
		"secretName: n8n-encryption-key-v5,",
	} {
		if !strings.Contains(r.Snippet, part) {
			t.Errorf("no %q in %s", part, r.Snippet)
		}
	}

	// Who may not list looks for the names one by one.
	narrow := openKubernetes(t, server,
		server.Account(t, namespace, "narrow", kube.Rule{Verbs: []string{"get", "create"}}), namespace)
	want(t, run(t, narrow, canary), "n8n-encryption-key-v1", install.Present, true)
	want(t, plan(t, narrow, ""), "n8n-encryption-key-v6", install.Planned, false)
}

func openKubernetes(t *testing.T, server *kube.Server, token, namespace string) install.Target {
	t.Helper()
	store, err := kubernetes.New(kubernetes.Options{
		Kubeconfig: server.Kubeconfig(t, token, namespace),
		Timeout:    time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	p, err := install.NewKubernetes(store, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
