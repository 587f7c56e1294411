package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sallyport/e2e/lab"
)

// A model is a chat model node of n8n whose credential has a field for the API's address.
type model struct {
	name, node, credential, key, address string // n8n's node, credential type, and the names of its two fields
	version                              float64
	parameters                           map[string]any
	path                                 string // below the service, where the node's client adds its own
	slot                                 string // the credential of the service
}

var models = []model{
	{
		"OpenAI", "lmChatOpenAi", "openAiApi", "apiKey", "url", 1.2,
		map[string]any{
			"model":   map[string]any{"__rl": true, "mode": "list", "value": "gpt-4o-mini"},
			"options": map[string]any{"maxRetries": 1},
		},
		"/v1", "{kind: bearer, secret: %s}",
	},
	{
		"Anthropic", "lmChatAnthropic", "anthropicApi", "apiKey", "url", 1.3,
		map[string]any{
			"model":   map[string]any{"__rl": true, "mode": "list", "value": "claude-sonnet-4-20250514"},
			"options": map[string]any{},
		},
		"", "{kind: header, header: X-Api-Key, secret: %s}",
	},
	{
		"Gemini", "lmChatGoogleGemini", "googlePalmApi", "apiKey", "host", 1,
		map[string]any{"modelName": "models/gemini-2.5-flash", "options": map[string]any{}},
		"", "{kind: header, header: X-Goog-Api-Key, secret: %s}",
	},
}

// TestAINodes: whatever keeps a chat model of n8n from its answer, the person in front of it reads what it was and whom
// to ask.
func TestAINodes(t *testing.T) {
	s := setUpForModels(t)
	for _, m := range models {
		t.Run(m.name, func(t *testing.T) {
			if execution := s.ask(t, m, s.tokens[0], m.service("")); execution.Status != "success" {
				t.Fatalf("with the right token the run ended with %q: %+v", execution.Status, execution.Error)
			}
			for _, tt := range []struct {
				name, token, service, want string
				down                       bool
			}{
				{"a token that is none", "spt_0123456789_nonsense", "", "proxy token", false},
				{"a revoked token", s.tokens[1], "", "revoked", false},
				{"a token without this service", s.tokens[2], "", "scope", false},
				{"a service that nobody has set up", s.tokens[0], "nowhere", "there is no service", false},
				{"a secret that nobody has set", s.tokens[0], m.service("-unset"), "Sallyport has no usable credential", false},
				{"too many requests", s.tokens[0], m.service("-limited"), "rate", false},
				{"a method that no rule allows", s.tokens[0], m.service("-ruled"), "allow rule", false},
				{"an API that is down", s.tokens[0], "", "Sallyport did not", true},
			} {
				service := tt.service
				if service == "" {
					service = m.service("")
				}
				if tt.down {
					s.api.Down()
				}
				execution := s.ask(t, m, tt.token, service)
				if tt.down {
					must(t, "bringing the API back", s.api.Up())
				}
				if execution.Error == nil {
					t.Errorf("%s: the run ended with %q and no error", tt.name, execution.Status)
					continue
				}
				shown := strings.Join(append([]string{execution.Error.Message, execution.Error.Description},
					execution.Error.Messages...), "\n")
				t.Logf("%s: n8n shows %q", tt.name, shown)
				if !strings.Contains(shown, tt.want) {
					t.Errorf("%s: n8n shows %q, want %q in it", tt.name, shown, tt.want)
				}
			}
		})
	}
}

// service is the name of the model's service, or of a variant of it.
func (m *model) service(variant string) string { return strings.ToLower(m.name) + variant }

// setUpForModels has a token that is good, one that was revoked, and one for another service, in this order.
func setUpForModels(t *testing.T) *scene {
	t.Helper()
	return raise(t, (*scene).modelServices, (*scene).issueForModels)
}

func (s *scene) issueForModels(ctx context.Context) error {
	var names []string
	for _, m := range models {
		names = append(names, m.service(""), m.service("-unset"), m.service("-limited"), m.service("-ruled"))
	}
	all := strings.Join(names, ",")
	for _, issue := range [][2]string{{"good", all}, {"revoked", all}, {"elsewhere", "other"}} {
		if err := s.issue(ctx, issue[0], "--services", issue[1]); err != nil {
			return err
		}
	}
	_, err := s.gate.Run(ctx, "", "token", "revoke", "revoked")
	return err
}

// modelServices is the same API once for each model, and as often again as there is something that can be wrong with
// it.
func (s *scene) modelServices() string {
	services := fmt.Sprintf("services:\n  other: {upstream: %q, allow_private: [127.0.0.1/32], credential: {kind: "+
		"bearer, secret: ref+builtin://api}}\n", s.api.URL())
	for _, m := range models {
		for variant, more := range map[string]string{
			"": "", "-unset": "",
			"-limited": ", limits: {rate: 1/h, burst: 1}", "-ruled": `, allow: ["GET /**"]`,
		} {
			reference := "ref+builtin://api"
			if variant == "-unset" {
				reference = "ref+builtin://nobody-set-this"
			}
			services += fmt.Sprintf("  %s: {upstream: %q, ca_file: ./api-ca.pem, allow_private: [127.0.0.1/32]%s, "+
				"credential: %s}\n",
				m.service(variant), s.api.URL(), more, fmt.Sprintf(m.slot, reference))
		}
	}
	return services
}

// ask runs a workflow that asks the model one question. Of a service with a rate the one request that is free is spent
// before.
func (s *scene) ask(t *testing.T, m model, token, service string) *lab.Execution {
	t.Helper()
	credential, err := s.n8n.NewCredential(t.Context(), m.name, m.credential,
		map[string]any{m.key: token, m.address: s.gate.URL + "/s/" + service + m.path})
	must(t, "making a credential", err)
	root := lab.Node{
		Name: "Chain", Type: "@n8n/n8n-nodes-langchain.chainLlm", TypeVersion: 1.7,
		Parameters: map[string]any{"promptType": "define", "text": "hello"},
	}
	node := lab.Node{
		Name: m.name, Type: "@n8n/n8n-nodes-langchain." + m.node, TypeVersion: m.version,
		Parameters: m.parameters,
	}.With(credential)
	workflow, err := s.n8n.NewModelChain(t.Context(), m.name, root, node)
	must(t, "making the workflow", err)
	execution, err := workflow.Run(t.Context(), nil)
	must(t, "running the workflow", err)
	if strings.HasSuffix(service, "-limited") {
		execution, err = workflow.Run(t.Context(), nil)
		must(t, "running the workflow again", err)
	}
	return execution
}
