package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/e2e/gate"
	"sallyport/e2e/lab"
	"sallyport/e2e/standin"
)

// TestTokensExpire: a workflow of 300 calls, over an API whose token ends ten times on the way, as its author would
// write it who has never heard of tokens: no node fails, every answer is the one to its own call, and the token was
// obtained again exactly ten times.
func TestTokensExpire(t *testing.T) {
	const calls, good, expiries = 300, 28, 10 // 10 × 28 < 300 ≤ 11 × 28
	secret := lab.NewCanary("app-secret")
	api := standin.StartExpiring("cli_a1b2c3", string(secret), good)
	t.Cleanup(api.Close)

	s := &scene{key: secret}
	binary, err := gate.Build(t.Context(), "..", t.TempDir())
	must(t, "building", err)
	s.gate, err = gate.New(t.Context(), binary, t.TempDir())
	must(t, "setting the gate up", err)
	must(t, "starting n8n", s.startN8N(t))
	must(t, "starting the gate", s.startGateForLark(t, api))

	call := s.call("Send", "POST", "lark/v1/messages", map[string]any{
		"sendBody": true, "specifyBody": "json", "jsonBody": "={{ JSON.stringify($json) }}",
	})
	loop, err := s.n8n.NewLoop(t.Context(), "300 messages", 5, call)
	must(t, "making the loop", err)
	rows := make([]map[string]any, calls)
	for i := range rows {
		rows[i] = map[string]any{"row": i}
	}
	execution, err := loop.Run(t.Context(), map[string]any{"rows": rows})
	must(t, "running the loop", err)
	if execution.Status != "success" {
		t.Errorf("the loop ended with %q: %+v", execution.Status, execution.Error)
	}
	checkMessages(t, execution.Items("Send"), calls)

	counts := api.Counts()
	t.Logf("the API says: %+v", counts)
	if counts.Logins != 1+expiries || counts.Answered != calls || counts.Strange != 0 {
		t.Errorf("the API says %+v, want %d logins and %d answered calls", counts, 1+expiries, calls)
	}
	if counts.Refused[200] == 0 || counts.Refused[401] == 0 {
		t.Errorf("the API has refused %v: it did not say in both ways that a token is over", counts.Refused)
	}
	s.checkTokensLeftNothing(t, execution)
}

// startGateForLark configures the one service as docs/credentials.md does, and puts the token into n8n.
func (s *scene) startGateForLark(t *testing.T, api *standin.Expiring) error {
	if err := os.WriteFile(filepath.Join(s.gate.Folder, "api-ca.pem"), api.CA(), 0o600); err != nil {
		return err
	}
	err := s.gate.Configure(fmt.Sprintf(`services:
  lark:
    upstream: %q
    ca_file: ./api-ca.pem
    allow_private: [127.0.0.1/32]
    credential:
      kind: exchange
      request: {url: /auth/login, json: {app_id: cli_a1b2c3, app_secret: ref+builtin://lark}}
      token: /tenant_access_token
      lifetime: /expire
      expired_when: {status: [401], body: {pointer: /code, in: [%d]}}
`, api.URL(), standin.ExpiredCode))
	if err != nil {
		return err
	}
	if _, err := s.gate.Run(t.Context(), string(s.key), "secret", "set", "lark"); err != nil {
		return err
	}
	token, err := s.gate.Run(t.Context(), "", "token", "issue", "n8n", "--services", "lark")
	if err != nil {
		return err
	}
	value := map[string]any{"name": tokenHeader, "value": strings.TrimSpace(token)}
	if s.credential, err = s.n8n.NewCredential(t.Context(), "Sallyport for Lark", "httpHeaderAuth", value); err != nil {
		return err
	}
	t.Cleanup(func() {
		s.gate.Stop()
		if t.Failed() {
			keep(t, "sallyport.log", s.gate.Log())
		}
	})
	return s.gate.Serve(t.Context())
}

// checkMessages: each call has its own answer, and none that speaks of tokens.
func checkMessages(t *testing.T, items []json.RawMessage, want int) {
	t.Helper()
	seen := map[int]int{}
	for _, item := range items {
		var answer struct {
			Code int
			Data struct{ Row *int }
		}
		must(t, "reading an item", json.Unmarshal(item, &answer))
		if answer.Code != 0 || answer.Data.Row == nil {
			t.Errorf("a node got %s", item)
			continue
		}
		seen[*answer.Data.Row]++
	}
	if len(items) != want || len(seen) != want {
		t.Errorf("%d answers to %d different calls, want %d", len(items), len(seen), want)
	}
}

// checkTokensLeftNothing: neither the secret nor a token made of it is where a person reads.
func (s *scene) checkTokensLeftNothing(t *testing.T, execution *lab.Execution) {
	t.Helper()
	record, err := s.gate.AuditLog()
	must(t, "reading the audit log", err)
	part := string(s.key)[len(s.key)/2:] // which every token has in it
	for place, text := range map[string]string{
		"n8n": fmt.Sprintf("%s", rawBytes(execution.Items("Send"))), "the audit log": string(record), "the gate's log": string(s.gate.Log()), "n8n's log": string(s.n8n.Log()),
	} {
		if strings.Contains(text, part) {
			t.Errorf("%s has a token or the secret in it", place)
		}
		if form, found := s.key.In([]byte(text)); found {
			t.Errorf("%s has the secret in it (%s)", place, form)
		}
	}
	if twice := strings.Count(string(record), "sent once more"); twice < 10 {
		t.Errorf("the audit log has %d second sendings", twice)
	}
}
