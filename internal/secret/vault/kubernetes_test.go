package vault_test

import (
	"net/http"
	"os"
	"testing"

	"sallyport/internal/secret"
	"sallyport/internal/secret/vault"
	"sallyport/internal/testkit/kube"
)

// TestKubernetesAuthOfARealCluster logs in to a real Vault with tokens that a real API server has issued, and reviews
// for it.
func TestKubernetesAuthOfARealCluster(t *testing.T) {
	server, cluster := shared.Server(t), kube.Start(t)
	path := scene(t, server, "cluster")
	server.KubernetesAuth(t, "cluster")
	ca, err := os.ReadFile(cluster.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	namespace := cluster.Namespace(t)
	server.Call(t, http.MethodPost, "auth/cluster/config", map[string]any{
		"kubernetes_host": cluster.URL, "kubernetes_ca_cert": string(ca), "token_reviewer_jwt": cluster.Reviewer(t, namespace, "vault"), "disable_local_ca_jwt": true,
	})
	server.Call(t, http.MethodPost, "auth/cluster/role/app", map[string]any{
		"bound_service_account_names": "sallyport", "bound_service_account_namespaces": namespace, "audience": "vault", "token_policies": "cluster",
	})
	cluster.Account(t, namespace, "sallyport")
	cluster.Account(t, namespace, "stranger")
	file := writeFile(t, "")
	store := open(t,
		vault.Options{Address: server.Address, Kubernetes: &vault.Kubernetes{
			Role: "app", JWTFile: file,
			Mount: "cluster",
		}})
	for name, token := range map[string]string{
		"another account's":       cluster.Token(t, namespace, "stranger", "vault"),
		"one for the API server":  cluster.Token(t, namespace, "sallyport"),
		"one that nobody issued":  "ey.no.token",
		"the administrator's own": cluster.AdminToken,
	} {
		deliver(t, file, token)
		_, _, err := store.Get(t.Context(), path, "")
		wantErr(t, name, err, secret.ErrDenied, "vault read auth/cluster/role/app")
	}
	deliver(t, file, cluster.Token(t, namespace, "sallyport", "vault"))
	wantValue(t, store, path) // the same store: the file is read at each login
}

func deliver(t *testing.T, file, token string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
