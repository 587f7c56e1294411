package check_test

import (
	"maps"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/kubeapi"
	"sallyport/internal/testkit/kube"
)

// pod makes a pod with one container, which is n8n.
func pod(t *testing.T, server *kube.Server, namespace, name string, container kube.Object, volumes ...kube.Object) {
	t.Helper()
	whole := kube.Object{"name": "n8n", "image": "docker.n8n.io/n8nio/n8n:2.41.1"}
	maps.Copy(whole, container)
	spec := kube.Object{"containers": []kube.Object{whole}, "automountServiceAccountToken": false}
	if volumes != nil {
		spec["volumes"] = volumes
	}
	server.Call(t, "POST", "/api/v1/namespaces/"+namespace+"/pods", kube.Object{
		"apiVersion": "v1", "kind": "Pod", "metadata": kube.Object{"name": name}, "spec": spec,
	})
}

func variable(name string, rest kube.Object) kube.Object {
	v := kube.Object{"name": name}
	maps.Copy(v, rest)
	return v
}

func from(kind, name, key string) kube.Object {
	return kube.Object{"valueFrom": kube.Object{kind: kube.Object{"name": name, "key": key}}}
}

// TestKeyRuntimeKubernetes looks at pods of a real API server.
func TestKeyRuntimeKubernetes(t *testing.T) {
	server := kubes.Server(t)
	namespace := server.Namespace(t)
	server.Call(t, "POST", "/api/v1/namespaces/"+namespace+"/serviceaccounts", kube.Object{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": kube.Object{"name": "default"},
	})
	server.Call(t, "POST", "/api/v1/namespaces/"+namespace+"/configmaps", kube.Object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": kube.Object{"name": "n8n"},
		"data": kube.Object{"N8N_ENCRYPTION_KEY": canary},
	})
	const key, file = "N8N_ENCRYPTION_KEY", "N8N_ENCRYPTION_KEY_FILE"
	env := func(list ...kube.Object) kube.Object { return kube.Object{"env": list} }
	mounted := func(container kube.Object) kube.Object {
		container["volumeMounts"] = []kube.Object{{"name": "v", "mountPath": "/secrets"}}
		return container
	}
	pod(t, server, namespace, "clear", env(variable(key, kube.Object{"value": canary})))
	pod(t, server, namespace, "path", env(variable(key, kube.Object{"value": "/run/secrets/key"})))
	pod(t, server, namespace, "secret", env(variable(key, from("secretKeyRef", "n8n-key", "key"))))
	pod(t, server, namespace, "configmap", env(variable(key, from("configMapKeyRef", "n8n", "key"))))
	pod(t, server, namespace, "whole-configmap", kube.Object{
		"envFrom": []kube.Object{{"configMapRef": kube.Object{"name": "n8n"}}},
	})
	pod(t, server, namespace, "whole-secret", kube.Object{
		"envFrom": []kube.Object{{"secretRef": kube.Object{"name": "n8n"}}},
	})
	pod(t, server, namespace, "none", kube.Object{})
	pod(t, server, namespace, "file", mounted(env(variable(file, kube.Object{"value": "/secrets/key"}))),
		kube.Object{"name": "v", "secret": kube.Object{"secretName": "n8n-key"}})
	pod(t, server, namespace, "file-of-host", mounted(env(variable(file, kube.Object{"value": "/secrets/key"}))),
		kube.Object{"name": "v", "hostPath": kube.Object{"path": "/etc/n8n"}})
	pod(t, server, namespace, "file-on-volume", mounted(env(variable(file, kube.Object{"value": "/secrets/key"}))),
		kube.Object{"name": "v", "persistentVolumeClaim": kube.Object{"claimName": "n8n-data"}})
	pod(t, server, namespace, "file-nowhere", mounted(env(variable(file, kube.Object{"value": "/secretsandmore/key"}))),
		kube.Object{"name": "v", "secret": kube.Object{"secretName": "n8n-key"}})

	on := &site.Site{
		Kube: &kubeapi.Options{Kubeconfig: server.Kubeconfig(t, server.AdminToken, namespace)}, Namespace: namespace,
	}
	r := one(t, "key-runtime", on)
	golden(t, "key-runtime", r, namespace, "NAMESPACE")
	states := make(map[string]doctor.Status)
	for _, s := range r.Seen {
		states[s.Subject] = s.Status
	}
	for name, want := range map[string]doctor.Status{
		"clear": doctor.Failed, "path": doctor.Failed, "secret": doctor.OK, "configmap": doctor.Failed,
		"whole-configmap": doctor.Failed, "whole-secret": doctor.Unseen, "none": doctor.Failed, "file": doctor.OK,
		"file-of-host": doctor.Warning, "file-on-volume": doctor.Failed, "file-nowhere": doctor.Failed,
	} {
		if got := states["pod "+namespace+"/"+name+" (n8n)"]; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}

	on.Kube.Kubeconfig = server.Kubeconfig(t, server.Account(t, namespace, "nobody"), namespace)
	if r := one(t, "key-runtime", on); r.Status != doctor.Unseen {
		t.Errorf("an account without rights: %+v", r.Seen)
	}
}
