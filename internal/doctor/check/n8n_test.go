package check_test

import (
	"testing"
	"time"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/kubeapi"
	"sallyport/internal/testkit/kube"
)

func TestN8NVersion(t *testing.T) {
	of := func(version string) doctor.Result {
		return one(t, "n8n-version", &site.Site{
			N8NVersion: version, Now: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC),
		})
	}
	for version, id := range map[string]string{
		"1.120.3": "CVE-2026-21858", "1.122.9": "CVE-2026-1470", "1.123.16": "CVE-2026-1470", "2.4.4": "CVE-2026-1470",
		"2.5.0": "CVE-2026-1470", "2.19.9": "CVE-2026-56348", "2.21.7": "CVE-2026-49444", "2.22.3": "CVE-2026-49444",
		"1.123.47": "CVE-2026-49444", "2.26.1": "GHSA-h3jj-5f3v-3685", "v2.10.0": "CVE-2026-42226",
	} {
		has(t, of(version), doctor.Failed, id)
	}
	for version, id := range map[string]string{
		"1.123.17": "CVE-2026-1470", "2.5.1": "CVE-2026-1470", "2.20.0": "CVE-2026-56348", "2.21.8": "CVE-2026-49444",
		"2.22.4": "CVE-2026-49444", "2.23.0": "CVE-2026-49444", "1.121.0": "CVE-2026-21858", "2.0.0": "CVE-2025-68668",
	} {
		hasNot(t, of(version), id)
	}
	for _, version := range []string{"2.41.1", "2.26.2", "3.0.0", "2.41.3-rc.1"} {
		if r := of(version); r.Status != doctor.OK {
			t.Errorf("%s: %+v", version, r.Seen)
		}
	}
	for _, nonsense := range []string{"latest", "2", "2.41", "2.41.x", "-1.2.3", "2..1", "1.2.3.4"} {
		if r := of(nonsense); r.Status != doctor.Unseen {
			t.Errorf("%q: %+v", nonsense, r.Seen)
		}
	}
	golden(t, "n8n-version", of("2.21.7"))
	old := one(t, "n8n-version", &site.Site{
		N8NVersion: "2.41.1", Now: time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC),
	})
	has(t, old, doctor.Warning, "the table of advisories is of")
}

// TestN8NSettings looks at pods of a real API server.
func TestN8NSettings(t *testing.T) {
	server := kubes.Server(t)
	namespace := server.Namespace(t)
	server.Call(t, "POST", "/api/v1/namespaces/"+namespace+"/serviceaccounts", kube.Object{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": kube.Object{"name": "default"},
	})
	env := func(pairs ...string) kube.Object {
		var list []kube.Object
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, variable(pairs[i], kube.Object{"value": pairs[i+1]}))
		}
		return kube.Object{"env": list}
	}
	up := []string{"N8N_SSRF_PROTECTION_ENABLED", "true", "N8N_COMMUNITY_PACKAGES_ENABLED", "false"}
	pod(t, server, namespace, "well", env(up...))
	pod(t, server, namespace, "usual", kube.Object{})
	old := env(up...)
	old["image"] = "n8nio/n8n:1.123.81"
	pod(t, server, namespace, "old", old)
	pod(t, server, namespace, "open", env("N8N_BLOCK_ENV_ACCESS_IN_NODE", "false", "N8N_OUTBOUND_PROXY_MODE",
		"main-only",
		"CREDENTIALS_OVERWRITE_DATA", "{}", "NODE_FUNCTION_ALLOW_BUILTIN", "*",
		"HTTPS_PROXY", "http://n8n:"+canary+"@proxy:1"))
	dark := kube.Object{"envFrom": []kube.Object{{"secretRef": kube.Object{"name": "n8n"}}}}
	pod(t, server, namespace, "dark", dark)

	on := &site.Site{
		Kube: &kubeapi.Options{Kubeconfig: server.Kubeconfig(t, server.AdminToken, namespace)}, Namespace: namespace,
		Now: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC),
	}
	r := one(t, "n8n-settings", on)
	worst := make(map[string]doctor.Status)
	for _, s := range r.Seen {
		if _, told := worst[s.Subject]; !told {
			worst[s.Subject] = s.Status // the worst come first
		}
	}
	for name, want := range map[string]doctor.Status{
		"well": doctor.OK, "usual": doctor.Warning, "old": doctor.Failed, "open": doctor.Failed, "dark": doctor.Unseen,
	} {
		if got := worst["pod "+namespace+"/"+name+" (n8n)"]; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	golden(t, "n8n-settings", r, namespace, "NAMESPACE")

	r = one(t, "n8n-version", on)
	has(t, r, doctor.OK, "n8n 2.41.1 has none")
	has(t, r, doctor.Failed, "n8n 1.123.81 has CVE-2025-68668")
}
