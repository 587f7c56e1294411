package check_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/testkit/kube"
)

const usesStripe = `
services:
  stripe: {upstream: https://api.stripe.com, credential: {kind: bearer, secret: "ref+corp://%s"}}
`

// TestStoreRightsVault asks a real Vault as identities of different policies.
func TestStoreRightsVault(t *testing.T) {
	server := vaults.Server(t)
	server.Mount(t, "doctor", "kv", map[string]string{"version": "2"})
	server.Call(t, "POST", "doctor/data/n8n/stripe", map[string]any{"data": map[string]string{"key": canary}})
	as := func(t *testing.T, token string) *site.Site {
		file := written(t, t.TempDir(), "token", token, 0o600)
		return configured(t, fmt.Sprintf("stores:\n  corp: {kind: vault, address: %q, auth: {token_file: %q}}\n",
			server.Address, file)+fmt.Sprintf(usesStripe, "doctor/n8n/stripe#key"))
	}
	policy := func(t *testing.T, name, rules string) *site.Site {
		server.Policy(t, name, rules)
		return as(t, server.Token(t, map[string]any{"policies": []string{name}, "display_name": name}))
	}
	t.Run("least", func(t *testing.T) {
		r := one(t, "store-rights", policy(t, "least", `path "doctor/data/n8n/stripe" { capabilities = ["read"] }`))
		if r.Status != doctor.OK {
			t.Errorf("got %+v", r.Seen)
		}
	})
	t.Run("folder", func(t *testing.T) { // the guide's own policy
		r := one(t, "store-rights", policy(t, "folder", `path "doctor/data/n8n/*" { capabilities = ["read"] }`))
		has(t, r, doctor.Warning, "may read anything in doctor/n8n/")
		if r.Status != doctor.Warning {
			t.Errorf("got %+v", r.Seen)
		}
	})
	t.Run("wide", func(t *testing.T) {
		r := one(t, "store-rights", policy(t, "wide", `path "doctor/*" { capabilities = ["read", "update", "delete"] }
path "sys/policies/acl/*" { capabilities = ["create", "update"] }`))
		golden(t, "store-rights", r, server.Address, "ADDRESS")
		has(t, r, doctor.Failed, "may read anything in doctor/")
		has(t, r, doctor.Failed, "may write policies")
	})
	t.Run("root", func(t *testing.T) {
		r := one(t, "store-rights", as(t, server.RootToken))
		has(t, r, doctor.Failed, "as root")
	})
	t.Run("nothing", func(t *testing.T) {
		r := one(t, "store-rights", policy(t, "elsewhere", `path "other/*" { capabilities = ["read"] }`))
		has(t, r, doctor.Failed, "may not read doctor/n8n/stripe")
	})
	t.Run("a bad token", func(t *testing.T) {
		if r := one(t, "store-rights", as(t, "hvs.no-such-token")); r.Status != doctor.Unseen {
			t.Errorf("got %+v", r.Seen)
		}
	})
}

// TestStoreRightsKubernetes asks a real API server as accounts of different roles.
func TestStoreRightsKubernetes(t *testing.T) {
	server := kubes.Server(t)
	namespace := server.Namespace(t)
	server.Secret(t, namespace, "stripe", map[string]string{"key": canary})
	as := func(t *testing.T, token string) *site.Site {
		return configured(t, fmt.Sprintf("stores:\n  corp: {kind: kubernetes, kubeconfig: %q}\n",
			server.Kubeconfig(t, token, namespace))+fmt.Sprintf(usesStripe, "/stripe/key"))
	}
	t.Run("least", func(t *testing.T) {
		r := one(t, "store-rights", as(t, server.Account(t, namespace, "least",
			kube.Rule{Verbs: []string{"get", "list", "watch"}, Names: []string{"stripe"}})))
		if r.Status != doctor.OK {
			t.Errorf("got %+v", r.Seen)
		}
	})
	t.Run("every Secret", func(t *testing.T) {
		r := one(t, "store-rights", as(t, server.Account(t, namespace, "wide",
			kube.Rule{Verbs: []string{"get", "list", "watch", "update"}})))
		has(t, r, doctor.Failed, "may read any Secret in namespace "+namespace)
		has(t, r, doctor.Failed, "may list all Secrets with their values")
		has(t, r, doctor.Warning, "may change "+namespace+"/stripe")
		hasNot(t, r, "may delete")
		hasNot(t, r, "every namespace")
	})
	t.Run("administrator", func(t *testing.T) {
		r := one(t, "store-rights", as(t, server.AdminToken))
		has(t, r, doctor.Failed, "as a cluster-admin")
		has(t, r, doctor.Failed, "may start pods")
		has(t, r, doctor.Failed, "every namespace")
	})
	t.Run("none", func(t *testing.T) {
		r := one(t, "store-rights", as(t, server.Account(t, namespace, "none")))
		has(t, r, doctor.Failed, "may not read "+namespace+"/stripe")
	})
	t.Run("nobody", func(t *testing.T) {
		r := one(t, "store-rights", as(t, "no-token"))
		if r.Status != doctor.Unseen || strings.Contains(r.Seen[0].Evidence, "no-token") {
			t.Errorf("got %+v", r.Seen)
		}
	})
}

// TestStoreRightsElsewhere: stores that cannot be asked are said to be so.
func TestStoreRightsElsewhere(t *testing.T) {
	dead := configured(t, "stores:\n  corp: {kind: vault, address: http://127.0.0.1:1, auth: {token_file: "+
		"/dev/null}}\n"+
		fmt.Sprintf(usesStripe, "doctor/n8n/stripe#key"))
	if r := one(t, "store-rights", dead); r.Status != doctor.Unseen {
		t.Errorf("got %+v", r.Seen)
	}
	mute := configured(t, "stores:\n  corp: {kind: exec, command: [\"true\"]}\n"+fmt.Sprintf(usesStripe, "stripe"))
	if r := one(t, "store-rights", mute); r.Status != doctor.Unseen {
		t.Errorf("got %+v", r.Seen)
	}
	own := configured(t, "services:\n  stripe: {upstream: https://api.stripe.com, secret: ref+builtin://stripe}\n")
	if r := one(t, "store-rights", own); r.Status != doctor.OK {
		t.Errorf("got %+v", r.Seen)
	}
}
