package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// Object is an object of Kubernetes as JSON has it.
type Object = map[string]any

// Call asks as the administrator and returns the answer. Any status but success fails the test. body is marshalled, or
// nil.
func (s *Server) Call(t testing.TB, method, path string, body any) Object {
	t.Helper()
	answer, err := s.Ask(method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Ask is Call for goroutines of a test.
func (s *Server) Ask(method, path string, body any) (Object, error) {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequest(method, s.URL+path, &payload) //nolint:noctx // the client has a time limit
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.AdminToken)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		return nil, errors.Join(err, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b))
	}
	var answer Object
	return answer, json.Unmarshal(b, &answer)
}

// Secrets is the address of a namespace's Secrets, for Call.
func Secrets(namespace string) string { return "/api/v1/namespaces/" + namespace + "/secrets" }

// Namespace makes a namespace and returns its name.
func (s *Server) Namespace(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test-%d", s.names.Add(1))
	s.Call(t, http.MethodPost, "/api/v1/namespaces", Object{"metadata": Object{"name": name}})
	return name
}

// Secret makes a Secret with keys of text. Anything in more is put beside metadata and data, or over them.
func (s *Server) Secret(t testing.TB, namespace, name string, data map[string]string, more ...Object) Object {
	t.Helper()
	body := Object{"metadata": Object{"name": name}, "stringData": data}
	for _, m := range more {
		maps.Copy(body, m)
	}
	return s.Call(t, http.MethodPost, Secrets(namespace), body)
}

// Rule is a rule of a role about secrets.
type Rule struct {
	Verbs []string
	Names []string // resourceNames; none is every Secret
}

// Account makes a service account with the rules in a namespace, and returns a token of it.
func (s *Server) Account(t testing.TB, namespace, name string, rules ...Rule) string {
	t.Helper()
	s.Call(t, http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts",
		Object{"metadata": Object{"name": name}})
	list := []Object{}
	for _, r := range rules {
		rule := Object{"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": r.Verbs}
		if r.Names != nil {
			rule["resourceNames"] = r.Names
		}
		list = append(list, rule)
	}
	rbac := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace
	s.Call(t, http.MethodPost, rbac+"/roles", Object{"metadata": Object{"name": name}, "rules": list})
	s.Call(t, http.MethodPost, rbac+"/rolebindings", Object{
		"metadata": Object{"name": name},
		"roleRef":  Object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
		"subjects": []Object{{"kind": "ServiceAccount", "name": name, "namespace": namespace}},
	})
	s.allow(t, namespace, name, rules)
	return s.Token(t, namespace, name)
}

// Reviewer makes a service account that may ask the API server whose a token is, as Vault does, and returns a token of
// it.
func (s *Server) Reviewer(t testing.TB, namespace, name string) string {
	t.Helper()
	s.Call(t, http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts",
		Object{"metadata": Object{"name": name}})
	s.Call(t, http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", Object{
		"metadata": Object{"name": namespace + "-" + name},
		"roleRef": Object{
			"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
			"name": "system:auth-delegator",
		},
		"subjects": []Object{{"kind": "ServiceAccount", "name": name, "namespace": namespace}},
	})
	s.awaitRight(t, namespace, name,
		Object{"group": "authentication.k8s.io", "resource": "tokenreviews", "verb": "create"})
	return s.Token(t, namespace, name)
}

// allow returns when the API server keeps to the rules, which stand in one role.
func (s *Server) allow(t testing.TB, namespace, account string, rules []Rule) {
	t.Helper()
	if len(rules) == 0 {
		return
	}
	attributes := Object{"namespace": namespace, "resource": "secrets", "verb": rules[0].Verbs[0]}
	if len(rules[0].Names) > 0 {
		attributes["name"] = rules[0].Names[0]
	}
	s.awaitRight(t, namespace, account, attributes)
}

// awaitRight returns when a service account may do what the attributes say: the API server learns of roles by watching
// itself.
func (s *Server) awaitRight(t testing.TB, namespace, account string, attributes Object) {
	t.Helper()
	review := Object{"spec": Object{
		"user":               "system:serviceaccount:" + namespace + ":" + account,
		"resourceAttributes": attributes,
	}}
	err := s.api.await(func() bool {
		answer, _ := s.Ask(http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
		status, _ := answer["status"].(Object)
		return status["allowed"] == true
	})
	if err != nil {
		t.Fatalf("granting rights to %q: %v", account, err)
	}
}

// Token asks for a token of a service account, for ten minutes, for the audiences or else for the API server.
func (s *Server) Token(t testing.TB, namespace, account string, audiences ...string) string {
	t.Helper()
	spec := Object{"expirationSeconds": 600}
	if len(audiences) > 0 {
		spec["audiences"] = audiences
	}
	answer := s.Call(t, http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account+"/token",
		Object{"spec": spec})
	status, _ := answer["status"].(Object)
	token, _ := status["token"].(string)
	if token == "" {
		t.Fatal("the API server made no token")
	}
	return token
}

// Kubeconfig writes a kubeconfig with the context "test" for a token and a namespace, "" for none, and returns its
// path.
func (s *Server) Kubeconfig(t testing.TB, token, namespace string) string {
	t.Helper()
	config := Object{
		"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": []Object{{"name": "test", "cluster": Object{"server": s.URL, "certificate-authority": s.CAFile}}},
		"users":    []Object{{"name": "test", "user": Object{"token": token}}},
		"contexts": []Object{
			{"name": "test", "context": Object{"cluster": "test", "user": "test", "namespace": namespace}},
		},
	}
	b, err := json.Marshal(config) // which is YAML as well
	if err != nil {
		t.Fatal(err)
	}
	return write(t, t.TempDir(), "kubeconfig", b)
}

// Pod writes what Kubernetes mounts into a pod of a namespace, sets the variables that it sets there, and returns the
// folder. The token is in the file "token".
func (s *Server) Pod(t testing.TB, token, namespace string) string {
	t.Helper()
	ca, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "ca.crt", ca)
	write(t, dir, "token", []byte(token))
	write(t, dir, "namespace", []byte(namespace))
	t.Setenv("KUBERNETES_SERVICE_HOST", s.Host)
	t.Setenv("KUBERNETES_SERVICE_PORT", s.Port)
	return dir
}

func write(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil { //nolint:gosec // a test's own folder
		t.Fatal(err)
	}
	return path
}
