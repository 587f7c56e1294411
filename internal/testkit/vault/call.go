package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/testkit"
)

// Call asks as root, with the path after /v1/ and a body to marshal or nil, and returns the answer's JSON. Any status
// but success fails the test.
func (s *Server) Call(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	answer, err := s.call(method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Data is Call, and returns what is under "data".
func (s *Server) Data(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	data, _ := s.Call(t, method, path, body)["data"].(map[string]any)
	return data
}

func (s *Server) call(method, path string, body any) (map[string]any, error) {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequest(method, s.Address+"/v1/"+path, &payload) //nolint:noctx // the client has a time limit
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Token", s.RootToken)
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		return nil, errors.Join(err, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b))
	}
	var answer map[string]any
	if len(b) > 0 {
		err = json.Unmarshal(b, &answer)
	}
	return answer, err
}

// Mount mounts a new, empty secrets engine at path until the test ends, in the place of one that is there; options may
// be nil. KV needs {"version": "1"} or "2".
func (s *Server) Mount(t testing.TB, path, kind string, options map[string]string) {
	t.Helper()
	_, _ = s.call(http.MethodDelete, "sys/mounts/"+path, nil)
	s.Call(t, http.MethodPost, "sys/mounts/"+path, map[string]any{"type": kind, "options": options})
	if options["version"] == "2" { // Vault goes on with setting it up after it has answered
		if err := s.await(func() bool {
			_, err := s.call(http.MethodGet, path+"/config", nil)
			return err == nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _, _ = s.call(http.MethodDelete, "sys/mounts/"+path, nil) })
}

// Auth enables an auth method of a kind at path until the test ends.
func (s *Server) Auth(t testing.TB, path, kind string) {
	t.Helper()
	s.Call(t, http.MethodPost, "sys/auth/"+path, map[string]string{"type": kind})
	t.Cleanup(func() { _, _ = s.call(http.MethodDelete, "sys/auth/"+path, nil) })
}

// KubernetesAuth enables Kubernetes authentication at path, by the plugin that tools/vault/install has built.
func (s *Server) KubernetesAuth(t testing.TB, path string) {
	t.Helper()
	const plugin = "vault-plugin-auth-kubernetes"
	b, err := os.ReadFile(filepath.Join(s.bin, "plugins", plugin))
	testkit.RequireTool(t, plugin, err == nil, "`make servers` gets it (about 5 minutes)")
	sum := sha256.Sum256(b)
	s.Call(t, http.MethodPost, "sys/plugins/catalog/auth/"+plugin,
		map[string]string{"sha256": hex.EncodeToString(sum[:]), "command": plugin})
	s.Auth(t, path, plugin)
}

// Policy writes a policy.
func (s *Server) Policy(t testing.TB, name, rules string) {
	t.Helper()
	s.Call(t, http.MethodPut, "sys/policies/acl/"+name, map[string]string{"policy": rules})
}

// Token makes a token without a parent; what may hold any parameters of auth/token/create, such as policies and ttl.
func (s *Server) Token(t testing.TB, what map[string]any) string {
	t.Helper()
	auth, _ := s.Call(t, http.MethodPost, "auth/token/create-orphan", what)["auth"].(map[string]any)
	token, _ := auth["client_token"].(string)
	if token == "" {
		t.Fatal("vault made no token")
	}
	return token
}
