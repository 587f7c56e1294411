package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/e2e/gate"
	"sallyport/e2e/lab"
	"sallyport/e2e/standin"
)

// tokenHeader carries the proxy token from n8n to the gate.
const tokenHeader = "X-Sallyport-Token"

// A scene is everything that is real: the API, the gate, n8n, and in n8n the one credential that holds the proxy token.
type scene struct {
	key        lab.Canary // what the API wants, and n8n must never see
	api        *standin.Server
	gate       *gate.Gate
	n8n        *lab.N8N
	credential lab.Credential
	tokens     []string // every proxy token the test has seen; n8n keeps them sealed, the gate as hashes
	apiKey     string   // Sallyport's key for n8n
}

// setUp brings the scene up to the point where an operator has everything but the token in n8n.
func setUp(t *testing.T) *scene {
	t.Helper()
	return raise(t, func(s *scene) string { return s.configuration(s.credential.ID) }, (*scene).prepareN8N)
}

// raise starts the API, n8n and, by the configuration, the gate. The configuration is asked for when the API and n8n
// are there; prepare is called with the configuration and the API's key in place, before the gate serves.
func raise(t *testing.T, configuration func(*scene) string, prepare func(*scene, context.Context) error) *scene {
	t.Helper()
	s := &scene{key: lab.NewCanary("sk")}
	must(t, "starting the API", s.startAPI(t))
	binary, err := gate.Build(t.Context(), "..", t.TempDir())
	must(t, "building", err)
	s.gate, err = gate.New(t.Context(), binary, t.TempDir())
	must(t, "setting the gate up", err)
	must(t, "starting n8n", s.startN8N(t))
	must(t, "configuring", os.WriteFile(filepath.Join(s.gate.Folder, "api-ca.pem"), s.api.CA(), 0o600))
	must(t, "configuring", s.gate.Configure(configuration(s)))
	_, err = s.gate.Run(t.Context(), string(s.key), "secret", "set", "api")
	must(t, "setting the API's key", err)
	must(t, "preparing", prepare(s, t.Context()))
	t.Cleanup(func() {
		s.gate.Stop()
		if t.Failed() {
			keep(t, "sallyport.log", s.gate.Log())
		}
	})
	must(t, "starting the gate", s.gate.Serve(t.Context()))
	return s
}

func must(t *testing.T, doing string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}

func (s *scene) startAPI(t *testing.T) (err error) {
	if s.api, err = standin.Start(string(s.key)); err != nil {
		return err
	}
	t.Cleanup(s.api.Down)
	return nil
}

// startN8N skips the test where n8n cannot be obtained, loudly, and never in CI.
func (s *scene) startN8N(t *testing.T) error {
	install, err := lab.FindN8N(t.Context(), "../tools/n8n/install")
	if errors.Is(err, lab.ErrNoN8N) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED against n8n: %v", err)
	}
	if err != nil {
		return err
	}
	// As in production: n8n's own guard is on, so the gate's private address has to be let through; and the gate's CA
	// is known.
	settings := []string{
		"N8N_SSRF_PROTECTION_ENABLED=true", "N8N_SSRF_ALLOWED_IP_RANGES=127.0.0.1/32",
		"NODE_EXTRA_CA_CERTS=" + s.gate.CA,
	}
	s.n8n, err = lab.Setup{Install: install, Folder: t.TempDir(), Settings: settings}.Start(t.Context())
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		if t.Failed() {
			keep(t, "n8n.log", s.n8n.Log())
		}
		s.n8n.Stop()
	})
	s.credential, err = s.n8n.NewCredential(t.Context(), "Sallyport gate", "httpHeaderAuth",
		map[string]any{"name": tokenHeader, "value": "not-yet"})
	return err
}

// prepareN8N does what docs/n8n-setup.md says, with the least that Sallyport needs of n8n: a key of one scope.
func (s *scene) prepareN8N(ctx context.Context) (err error) {
	if s.apiKey, err = s.n8n.NewAPIKey(ctx, "sallyport", "credential:update"); err != nil {
		return err
	}
	if _, err = s.gate.Run(ctx, s.apiKey, "secret", "set", "n8n-api-key"); err != nil {
		return err
	}
	return s.issue(ctx, "n8n")
}

// issue adds a token to those of the scene: issue(ctx, NAME, FLAG…).
func (s *scene) issue(ctx context.Context, args ...string) error {
	out, err := s.gate.Run(ctx, "", append([]string{"token", "issue"}, args...)...)
	s.tokens = append(s.tokens, strings.TrimSpace(out))
	return err
}

// services are the names of the same API under each kind of credential, and one whose secret nobody has set.
var services = []string{"api", "api-header", "api-query", "unset"}

// configuration is sallyport.yaml, with n8n's credential named by its id or by its name.
func (s *scene) configuration(credential string) string {
	service := fmt.Sprintf("{upstream: %q, ca_file: ./api-ca.pem, allow_private: [127.0.0.1/32], credential: ",
		s.api.URL())
	return "services:\n" +
		"  api: " + service + "{kind: bearer, secret: ref+builtin://api}}\n" +
		"  api-header: " + service + "{kind: header, header: X-Api-Key, secret: ref+builtin://api}}\n" +
		"  api-query: " + service + "{kind: query, param: api_key, secret: ref+builtin://api}}\n" +
		"  unset: " + service + "{kind: bearer, secret: ref+builtin://nobody-set-this}}\n" +
		"tokens:\n" +
		"  n8n:\n" +
		"    services: [" + strings.Join(services, ", ") + "]\n" +
		"    rotate: {every: 24h, overlap: 1h, push: {n8n: {url: " + s.n8n.URL +
		", api_key: ref+builtin://n8n-api-key, credential: " +
		credential + ", gate: " + s.gate.URL + "}}}\n"
}

// call is an HTTP Request step through the gate, with the attribution headers of docs/n8n-setup.md.
func (s *scene) call(name, method, servicePath string, more map[string]any) lab.Node {
	parameters := map[string]any{
		"sendHeaders": true,
		"headerParameters": parameters(
			"X-Sallyport-Workflow", "={{ $workflow.id }}",
			"X-Sallyport-Execution", "={{ $execution.id }}",
			"X-Sallyport-Node", "={{ $nodeId }}",
		),
	}
	maps.Copy(parameters, more)
	return lab.HTTPRequest(name, method, s.gate.URL+"/s/"+servicePath, s.credential, parameters)
}

// parameters is n8n's form of a list of name and value.
func parameters(namesAndValues ...string) map[string]any {
	var list []map[string]string
	for i := 0; i < len(namesAndValues); i += 2 {
		list = append(list, map[string]string{"name": namesAndValues[i], "value": namesAndValues[i+1]})
	}
	return map[string]any{"parameters": list}
}

// run publishes a workflow of the steps and runs it once.
func (s *scene) run(ctx context.Context, t *testing.T, name string, steps ...lab.Node) (*lab.Workflow, *lab.Execution) {
	t.Helper()
	workflow, err := s.n8n.NewWorkflow(ctx, name, steps...)
	must(t, "making the workflow", err)
	execution, err := workflow.Run(ctx, nil)
	must(t, "running the workflow", err)
	return workflow, execution
}

// keep shows the end of a failed run's log, and leaves all of it where `go test -artifacts` puts such things.
func keep(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name), content, 0o600); err != nil {
		t.Error(err)
	}
	t.Logf("the end of %s:\n%s", name, content[max(0, len(content)-2000):])
}
