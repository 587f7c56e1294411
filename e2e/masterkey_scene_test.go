package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"sallyport/e2e/lab"
	"sallyport/e2e/standin"
)

// A rekeyScene is n8n on SQLite with all that its master key protects, and the operator who changes the key.
type rekeyScene struct {
	*operator
	install, home string // n8n's
	settings      []string
	api           *standin.Server
	apiKey        lab.Canary // in n8n's credential
	box           *postbox

	n8n      *lab.N8N
	workflow *lab.Workflow // calls the API with the credential
	personal string        // an API key of n8n's
	mfa      lab.MFA
	telegram lab.Credential
	token    lab.Credential
	exported map[string]map[string]any // every credential in the clear, by id
	waiting  [2]string                 // links: one with a token of its execution, one that is signed
}

// setUpRekey makes what n8n needs. It runs beside other tests: it owns its folders, and picks free ports.
func setUpRekey(t *testing.T, install string, settings ...string) *rekeyScene {
	t.Helper()
	s := &rekeyScene{
		operator: newOperator(t), install: install, home: t.TempDir(), apiKey: lab.NewCanary("sk"),
		box: openPostbox(t),
	}
	var err error
	s.api, err = standin.Start(string(s.apiKey))
	must(t, "starting the API", err)
	t.Cleanup(s.api.Down)
	ca := filepath.Join(t.TempDir(), "api-ca.pem")
	must(t, "writing the API's CA", os.WriteFile(ca, s.api.CA(), 0o600))
	s.settings = append([]string{"NODE_EXTRA_CA_CERTS=" + ca, "N8N_ENCRYPTION_KEY=" + string(s.secrets["old"])},
		settings...)
	return s
}

// findN8N skips the test where n8n cannot be obtained, loudly, and never in CI.
func findN8N(t *testing.T) (install string) {
	t.Helper()
	install, err := lab.FindN8N(t.Context(), "../tools/n8n/install")
	if errors.Is(err, lab.ErrNoN8N) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED against n8n: %v", err)
	}
	must(t, "looking for n8n", err)
	return install
}

func (s *rekeyScene) setup(folder string, settings ...string) lab.Setup {
	return lab.Setup{Install: s.install, Folder: folder, Settings: slices.Concat(s.settings, settings)}
}

func (s *rekeyScene) database() string     { return filepath.Join(s.home, ".n8n", "database.sqlite") }
func (s *rekeyScene) settingsFile() string { return filepath.Join(s.home, ".n8n", "config") }

// on is the flags of n8n's database with others.
func (s *rekeyScene) on(more ...string) []string {
	return append([]string{"--database", "sqlite://" + s.database()}, more...)
}

func (s *rekeyScene) begin(t *testing.T) {
	t.Helper()
	var err error
	s.n8n, err = s.setup(s.home).Start(t.Context())
	must(t, "starting n8n", err)
	t.Cleanup(func() {
		if t.Failed() {
			keep(t, "n8n.log", s.n8n.Log())
		}
		s.n8n.Stop()
	})
}

// fill does what a person does in the editor.
func (s *rekeyScene) fill(t *testing.T) {
	t.Helper()
	made, err := s.n8n.Enter(t.Context(), append(lab.Entries(),
		lab.Entry{
			Name: "API", Kind: "httpHeaderAuth",
			Data: map[string]any{"name": "X-Api-Key", "value": string(s.apiKey)},
		},
		lab.Entry{Name: "Telegram", Kind: "telegramApi", Data: map[string]any{
			"accessToken": "recorded-bot",
			"baseUrl":     s.box.URL,
		}},
	))
	must(t, "entering credentials", err)
	s.token, s.telegram = made[len(made)-2], made[len(made)-1]
	s.personal, err = s.n8n.NewAPIKey(t.Context(), "personal", "workflow:list")
	must(t, "making an API key", err)
	s.workflow, err = s.n8n.NewWorkflow(t.Context(), "uses a credential",
		lab.HTTPRequest("Call", http.MethodGet, s.api.URL()+"/v1/items", s.token, nil))
	must(t, "making a workflow", err)
	s.mfa, err = s.n8n.EnableMFA(t.Context())
	must(t, "enabling MFA", err)
}

// wait leaves two executions waiting. Both have sent the link that resumes them: one has a token in it, which n8n keeps
// with the execution, the other, of an approval, is signed.
func (s *rekeyScene) wait(t *testing.T, name string) {
	t.Helper()
	tell := lab.HTTPRequest("Tell", http.MethodGet, s.box.URL, s.token, map[string]any{
		"sendQuery": true, "queryParameters": parameters("link", "={{ $execution.resumeUrl }}"),
	})
	ask := lab.Node{
		Name: "Ask", Type: "n8n-nodes-base.telegram", TypeVersion: 1.2, WebhookID: name + "-ask",
		Parameters: map[string]any{
			"resource": "message", "operation": "sendAndWait", "chatId": "1", "message": "May I?", "responseType": "approval",
			"approvalOptions": map[string]any{"values": map[string]any{"approvalType": "single"}}, "options": map[string]any{},
		},
	}.With(s.telegram)
	for i, steps := range [][]lab.Node{{tell, lab.Wait()}, {ask}} {
		_, err := s.n8n.RunUntilWaiting(t.Context(), name, map[string]string{"order": "A-1"}, steps...)
		must(t, "running until it waits", err)
		s.waiting[i] = s.box.next(t)
	}
}

// export has n8n's command line tell all credentials in the clear.
func (s *rekeyScene) export(t *testing.T) map[string]map[string]any {
	t.Helper()
	list, err := s.n8n.Decrypted(t.Context(), "--all")
	must(t, "exporting credentials", err)
	all := map[string]map[string]any{}
	for _, c := range list {
		all[c.ID] = c.Data
	}
	return all
}

// sameCredentials holds what n8n decrypts against what it did before.
func (s *rekeyScene) sameCredentials(t *testing.T) {
	t.Helper()
	if got := s.export(t); len(got) == 0 || !reflect.DeepEqual(got, s.exported) {
		t.Errorf("n8n decrypts %d credentials to something else than the %d before", len(got), len(s.exported))
	}
}

// works runs the workflow, which takes the credential.
func (s *rekeyScene) works(t *testing.T) {
	t.Helper()
	execution, err := s.workflow.Run(t.Context(), nil)
	must(t, "running the workflow", err)
	if execution.Status != "success" || len(execution.Items("Call")) != 1 {
		t.Errorf("the workflow ended with %q: %+v", execution.Status, execution.Error)
	}
}

// accepts wants n8n to answer with a status to the API key, and to who had signed in before.
func (s *rekeyScene) accepts(t *testing.T, apiKey, session int) {
	t.Helper()
	for _, want := range []struct {
		what, path, key string
		status          int
	}{
		{"the API key", "/api/v1/workflows", s.personal, apiKey},
		{"the session", "/rest/login", "", session},
	} {
		got, err := s.n8n.Status(t.Context(), want.path, want.key)
		must(t, "asking n8n", err)
		if got != want.status {
			t.Errorf("n8n answers %d to %s, want %d", got, want.what, want.status)
		}
	}
}

// resumes follows the links of the executions that wait, and wants n8n to answer so.
func (s *rekeyScene) resumes(t *testing.T, token, signed int) {
	t.Helper()
	for i, want := range [2]int{token, signed} {
		got, err := s.n8n.Status(t.Context(), s.waiting[i], "")
		must(t, "resuming", err)
		if got != want {
			t.Errorf("n8n answers %d to link %d of a waiting execution, want %d", got, i, want)
		}
	}
}
