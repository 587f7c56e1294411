// Package e2e_test runs Sallyport as its users do: the real binary, a real n8n, an API behind TLS.
package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/e2e/lab"
	"sallyport/e2e/standin"
)

// fileSize is the size of the file that goes down and up through the gate.
const fileSize = 20 << 20

// TestN8N is one story: a person sets n8n up, uses it, rotates, revokes. The chapters build on each other, and the last
// one searches everything that n8n and the gate left behind.
func TestN8N(t *testing.T) {
	s := setUp(t)
	for _, chapter := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a rotation writes the token into n8n and locks it to the gate", s.push},
		{"every kind of call goes through", s.everyCall},
		{"the same API under every kind of credential", s.everyCredential},
		{"nodes with a base URL field need no change", s.nativeNodes},
		{"a redirect never takes anything along", s.redirects},
		{"the record says who called", s.record},
		{"n8n tells whose fault it is", s.blame},
		{"n8n's words are those of the page", s.words},
		{"a rotation that n8n refuses leaves the old token valid", s.refusedPush},
		{"a credential named by its name needs a second scope", s.pushByName},
		{"a rotation during a loop of 500 calls breaks none", s.rotateDuringLoop},
		{"a revoked token stops the next call", s.revoke},
		{"the credential is nowhere", s.nothingLeft},
	} {
		if !t.Run(chapter.name, chapter.run) {
			t.Log("the following chapters build on this one and were not run")
			return
		}
	}
}

func (s *scene) push(t *testing.T) {
	out, err := s.gate.Run(t.Context(), "", "token", "rotate", "n8n", "--push", "n8n")
	must(t, "rotating", err)
	if strings.Contains(out, "spt_") {
		t.Errorf("a rotation that pushes printed the token: %s", out)
	}
	data, err := s.n8n.CredentialData(t.Context(), s.credential.ID)
	must(t, "reading the credential", err)
	if data["name"] != tokenHeader || data["allowedHttpRequestDomains"] != "domains" ||
		data["allowedDomains"] != "127.0.0.1" {
		t.Errorf("the credential is %v, want it to keep its header and be locked to 127.0.0.1", data)
	}
	// The lock is n8n's to keep: the same credential towards any other host never leaves.
	elsewhere := lab.HTTPRequest("Elsewhere", "GET", strings.Replace(s.gate.URL, "127.0.0.1", "localhost", 1)+
		"/s/api/v1/items", s.credential, nil)
	_, execution := s.run(t.Context(), t, "elsewhere", elsewhere)
	if execution.Error == nil || !strings.Contains(execution.Error.Message, "Domain not allowed") {
		t.Errorf("n8n sent the token to another host: %+v", execution)
	}
}

func (s *scene) everyCall(t *testing.T) {
	before := len(s.api.Seen())
	_, execution := s.run(t.Context(), t, "every call",
		s.call("Query", "GET", "api/v1/items",
			map[string]any{"sendQuery": true, "queryParameters": parameters("q", "a b&c=d/ü")}),
		s.call("JSON", "POST", "api/v1/echo", map[string]any{
			"sendBody": true, "specifyBody": "json", "jsonBody": `={{ JSON.stringify({count: $json.items.length, text: "ü"}) }}`,
		}),
		s.call("Download", "GET", fmt.Sprintf("api/v1/files/%d", fileSize),
			map[string]any{"options": responseFormat("file")}),
		s.call("Upload", "POST", "api/v1/files", map[string]any{
			"sendBody": true, "contentType": "multipart-form-data",
			"bodyParameters": map[string]any{"parameters": []map[string]string{{"parameterType": "formBinaryData", "name": "file", "inputDataFieldName": "data"}}},
		}),
		s.call("Pages", "GET", "api/v1/pages", map[string]any{"options": pagination()}),
		lab.Limit("Once"),
		s.call("Events", "GET", "api/v1/events", map[string]any{"options": responseFormat("text")}),
		s.call("Reflected", "GET", "api/v1/headers", map[string]any{"options": map[string]any{
			"response": map[string]any{"response": map[string]any{"fullResponse": true}},
		}}),
	)
	if execution.Status != "success" {
		t.Fatalf("the workflow ended with %q: %+v", execution.Status, execution.Error)
	}
	s.checkOutputs(t, execution)
	s.checkArrivals(t, s.api.Seen()[before:])
}

func responseFormat(format string) map[string]any {
	return map[string]any{"response": map[string]any{"response": map[string]any{"responseFormat": format}}}
}

func pagination() map[string]any {
	return map[string]any{"pagination": map[string]any{"pagination": map[string]any{
		"paginationMode":         "updateAParameterInEachRequest",
		"parameters":             map[string]any{"parameters": []map[string]string{{"type": "qs", "name": "page", "value": "={{ $pageCount + 1 }}"}}},
		"paginationCompleteWhen": "other",
		"completeExpression":     "={{ !$response.body.next }}",
	}}}
}

// checkOutputs holds what the workflow's nodes got against what the API gives.
func (s *scene) checkOutputs(t *testing.T, execution *lab.Execution) {
	t.Helper()
	for _, want := range []struct {
		node, text string
		items      int
	}{
		{"Query", `"q":["a b&c=d/ü"]`, 1},
		{"JSON", `"received":{"count":2,"text":"ü"}`, 1},
		{"Download", ``, 1},
		{"Upload", fmt.Sprintf(`"bytes":%d,"sha256":"%s"`, fileSize, standin.FileSum(fileSize)), 1},
		{"Pages", fmt.Sprintf(`"page":%d`, standin.Pages), standin.Pages},
		{"Events", fmt.Sprintf(`id: %d\ndata: {\"tick\":%d}\n\n`, standin.Events-1, standin.Events-1), 1},
		{"Reflected", `"statusCode":200`, 1},
	} {
		items := execution.Items(want.node)
		text := string(bytes.Join(rawBytes(items), []byte("\n")))
		if len(items) != want.items || !strings.Contains(text, want.text) {
			t.Errorf("node %q got %d items, want %d with %s in them:\n%.2000s", want.node, len(items),
				want.items, want.text, text)
		}
		if form, found := s.key.In([]byte(text)); found {
			t.Errorf("node %q got the API's key (%s):\n%.2000s", want.node, form, text)
		}
	}
}

func rawBytes(items []json.RawMessage) [][]byte {
	var out [][]byte
	for _, item := range items {
		out = append(out, item)
	}
	return out
}

// checkArrivals: every call carried the real key, and nothing that is between n8n and the gate alone.
func (s *scene) checkArrivals(t *testing.T, calls []standin.Request) {
	t.Helper()
	if want := 6 + standin.Pages; len(calls) != want {
		t.Errorf("%d calls arrived, want %d", len(calls), want)
	}
	for _, call := range calls {
		if got := call.Header.Get("Authorization"); got != "Bearer "+string(s.key) {
			t.Errorf("%s %s arrived without the key", call.Method, call.Target)
		}
		for name, values := range call.Header {
			if strings.HasPrefix(name, "X-Sallyport") || strings.HasPrefix(name, "Proxy-") ||
				strings.Contains(strings.Join(values, " "), "spt_") {
				t.Errorf("%s %s arrived with %s: %q", call.Method, call.Target, name, values)
			}
		}
	}
}

func (s *scene) everyCredential(t *testing.T) {
	_, execution := s.run(t.Context(), t, "every credential",
		s.call("Header", "GET", "api-header/v1/items", nil),
		s.call("Query", "GET", "api-query/v1/items",
			map[string]any{"sendQuery": true, "queryParameters": parameters("q", "x")}),
		s.call("Reflected", "GET", "api-query/v1/headers", nil),
	)
	if execution.Status != "success" {
		t.Fatalf("the workflow ended with %q: %+v", execution.Status, execution.Error)
	}
	if text := execution.Items("Query")[0]; !bytes.Contains(text, []byte(`"q":["x"]`)) {
		t.Errorf("the query did not arrive beside the key: %s", text)
	}
	for _, node := range []string{"Query", "Reflected"} {
		if form, found := s.key.In(execution.Items(node)[0]); found {
			t.Errorf("node %q got the API's key (%s)", node, form)
		}
	}
}

// nativeNodes: what carries its own credential type sends the token where the API's key would go.
func (s *scene) nativeNodes(t *testing.T) {
	token, err := s.gate.Run(t.Context(), "", "token", "issue", "native", "--services", "api")
	must(t, "issuing a token", err)
	token = strings.TrimSpace(token)
	s.tokens = append(s.tokens, token)
	base := s.gate.URL + "/s/api"
	openAI, err := s.n8n.NewCredential(t.Context(), "OpenAI by the gate", "openAiApi",
		map[string]any{"apiKey": token, "url": base + "/v1"})
	must(t, "making a credential", err)
	gitHub, err := s.n8n.NewCredential(t.Context(), "GitHub by the gate", "githubApi",
		map[string]any{"accessToken": token, "server": base, "user": "u"})
	must(t, "making a credential", err)

	_, execution := s.run(t.Context(), t, "native nodes",
		lab.Node{Name: "OpenAI", Type: "@n8n/n8n-nodes-langchain.openAi", TypeVersion: 1.8, Parameters: map[string]any{
			"resource": "text", "operation": "message", "modelId": byID("gpt-4o-mini"), "options": map[string]any{},
			"messages": map[string]any{"values": []map[string]string{{"content": "hello"}}},
		}}.With(openAI),
		lab.Node{Name: "GitHub", Type: "n8n-nodes-base.github", TypeVersion: 1.1, Parameters: map[string]any{
			"resource": "repository", "operation": "get", "owner": byID("o"), "repository": byID("r"),
		}}.With(gitHub),
	)
	if execution.Status != "success" {
		t.Fatalf("the workflow ended with %q: %+v", execution.Status, execution.Error)
	}
	for node, want := range map[string]string{"OpenAI": "stand-in: hello", "GitHub": `"full_name":"o/r"`} {
		if text := bytes.Join(rawBytes(execution.Items(node)), nil); !bytes.Contains(text, []byte(want)) {
			t.Errorf("node %q got %s, want %s in it", node, text, want)
		}
	}
}

// byID is n8n's form of a picked resource.
func byID(value string) map[string]any {
	return map[string]any{"__rl": true, "mode": "id", "value": value}
}

// redirects: inside the service n8n follows by the gate; one that leaves it is refused, and who it led to sees nothing.
func (s *scene) redirects(t *testing.T) {
	stranger, err := standin.Start("another key")
	must(t, "starting another API", err)
	defer stranger.Down()

	to := func(target string) map[string]any {
		return map[string]any{"sendQuery": true, "queryParameters": parameters("to", target)}
	}
	for _, target := range []string{"/v1/items", s.api.URL() + "/v1/items"} {
		_, execution := s.run(t.Context(), t, "redirect inside", s.call("Call", "GET", "api/v1/redirect", to(target)))
		if execution.Status != "success" || len(execution.Items("Call")) != 1 {
			t.Errorf("a redirect to %s ended with %q: %+v", target, execution.Status, execution.Error)
		}
	}
	_, execution := s.run(t.Context(), t, "redirect outside",
		s.call("Call", "GET", "api/v1/redirect", to(stranger.URL()+"/v1/items")))
	if execution.Error == nil || execution.Error.HTTPCode != "502" {
		t.Errorf("a redirect out of the service ended with %q: %+v, want a 502", execution.Status, execution.Error)
	}
	if seen := stranger.Seen(); len(seen) > 0 {
		t.Errorf("the other API was called: %v", seen)
	}
}

func (s *scene) record(t *testing.T) {
	workflow, execution := s.run(t.Context(), t, "on record", s.call("Get", "GET", "api/v1/items", nil))
	log, err := s.gate.AuditLog()
	must(t, "reading the audit log", err)
	var uses []string
	for line := range bytes.Lines(log) {
		var record struct{ Event, Workflow, Execution, Node, Service, Method, Path string }
		must(t, "reading an audit record", json.Unmarshal(line, &record))
		if record.Workflow == workflow.ID && record.Execution == execution.ID && record.Node != "" &&
			record.Service == "api" {
			uses = append(uses, record.Event)
		}
	}
	if want := []string{"authorised", "completed"}; !slices.Equal(uses, want) {
		t.Errorf("the audit log has %q of this execution, want %q", uses, want)
	}
	if _, err := s.gate.Run(t.Context(), "", "audit", "verify"); err != nil {
		t.Error(err)
	}
	list, err := s.gate.Run(t.Context(), "", "token", "list")
	must(t, "listing tokens", err)
	if !strings.Contains(list, workflow.ID) {
		t.Errorf("token list does not name workflow %s, which used the token last:\n%s", workflow.ID, list)
	}
}

// blame: what the person in front of n8n reads is enough to know whom to ask.
func (s *scene) blame(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		down       bool
		code       string
		want       string // in what n8n shows
		not        string
	}{
		{"the API's own 401", "api/v1/forbidden-plan", false, "401", "stand-in: your plan does not include this", "Sallyport"},
		{"the API's own 500", "api/v1/broken", false, "500", "stand-in: out of order", "Sallyport"},
		{"the API is down", "api/v1/items", true, "502", "the API", ""},
		{"the secret is not there", "unset/v1/items", false, "503", "Sallyport", ""},
		{"a service nobody has set up", "nowhere/v1/items", false, "404", "Sallyport", ""},
	} {
		if tt.down {
			s.api.Down()
		}
		_, execution := s.run(t.Context(), t, tt.name, s.call("Call", "GET", tt.path, nil))
		if tt.down {
			must(t, "bringing the API back", s.api.Up())
		}
		if execution.Error == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		shown := execution.Error.Message + "\n" + execution.Error.Description
		if execution.Error.HTTPCode != tt.code || !strings.Contains(shown, tt.want) ||
			(tt.not != "" && strings.Contains(shown, tt.not)) {
			t.Errorf("%s: n8n shows %q (%s), want %q (%s)", tt.name, shown, execution.Error.HTTPCode, tt.want, tt.code)
		}
		t.Logf("%s: n8n shows %q", tt.name, shown)
	}
}

// refusedPush: the key that Sallyport holds for n8n has gone bad.
func (s *scene) refusedPush(t *testing.T) {
	set := func(value string) {
		_, err := s.gate.Run(t.Context(), value, "secret", "set", "n8n-api-key")
		must(t, "setting the key for n8n", err)
	}
	bad := "a-key-that-n8n-does-not-know"
	set(bad)
	_, err := s.gate.Run(t.Context(), "", "token", "rotate", "n8n", "--push", "n8n")
	if err == nil || !strings.Contains(err.Error(), "old token stays") || !strings.Contains(err.Error(), "hint:") ||
		strings.Contains(err.Error(), bad) {
		t.Errorf("the rotation said %v, want that the old token stays, a hint, and not the key", err)
	}
	set(s.apiKey)
	_, execution := s.run(t.Context(), t, "after a refused push", s.call("Call", "GET", "api/v1/items", nil))
	if execution.Status != "success" {
		t.Errorf("the workflow ended with %q: %+v", execution.Status, execution.Error)
	}
}

func (s *scene) pushByName(t *testing.T) {
	must(t, "configuring", s.gate.Configure(s.configuration(s.credential.Name)))
	_, err := s.gate.Run(t.Context(), "", "token", "rotate", "n8n", "--push", "n8n")
	if err == nil || !strings.Contains(err.Error(), "credential:list") ||
		!strings.Contains(err.Error(), "old token stays") {
		t.Errorf("with the scope credential:update alone the rotation said %v, want that it takes credential:list too",
			err)
	}
	key, err := s.n8n.NewAPIKey(t.Context(), "sallyport by name", "credential:update", "credential:list")
	must(t, "making an API key", err)
	_, err = s.gate.Run(t.Context(), key, "secret", "set", "n8n-api-key")
	must(t, "setting the key for n8n", err)
	_, err = s.gate.Run(t.Context(), "", "token", "rotate", "n8n", "--push", "n8n")
	must(t, "rotating", err)
}

func (s *scene) rotateDuringLoop(t *testing.T) {
	const calls, rotateAt = 500, 150
	loop, err := s.n8n.NewLoop(t.Context(), "loop", 5, s.call("Call", "GET", "api/v1/items", nil))
	must(t, "making the loop", err)
	rows := make([]int, calls)
	reached, release := s.api.Hold("/v1/items", rotateAt)
	before := len(s.api.Seen())

	var execution *lab.Execution
	var runErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		execution, runErr = loop.Run(t.Context(), map[string]any{"rows": rows})
	}()
	select {
	case <-reached:
	case <-done:
		t.Fatalf("the loop ended before call %d: %v %+v", rotateAt, runErr, execution)
	}
	_, err = s.gate.Run(t.Context(), "", "token", "rotate", "n8n", "--push", "n8n")
	close(release)
	<-done
	must(t, "rotating", err)
	must(t, "running the loop", runErr)
	if execution.Status != "success" {
		t.Errorf("the loop ended with %q: %+v", execution.Status, execution.Error)
	}
	if got := len(execution.Items("Call")); got != calls {
		t.Errorf("%d calls came back, want %d", got, calls)
	}
	if got := len(s.api.Seen()) - before; got < calls {
		t.Errorf("%d calls arrived at the API, want %d", got, calls)
	}
	s.checkBothGenerations(t, loop.ID)
}

// checkBothGenerations makes sure that the loop really ran across the rotation: else it proves nothing.
func (s *scene) checkBothGenerations(t *testing.T, workflow string) {
	t.Helper()
	log, err := s.gate.AuditLog()
	must(t, "reading the audit log", err)
	generations := map[int]int{}
	for line := range bytes.Lines(log) {
		var record struct {
			Event, Workflow string
			Generation      int
		}
		must(t, "reading an audit record", json.Unmarshal(line, &record))
		if record.Workflow == workflow && record.Event == "completed" {
			generations[record.Generation]++
		}
	}
	if len(generations) != 2 {
		t.Errorf("calls by generation of the token: %v, want two generations", generations)
	}
	t.Logf("calls by generation of the token: %v", generations)
}

func (s *scene) revoke(t *testing.T) {
	_, err := s.gate.Run(t.Context(), "", "token", "revoke", "n8n")
	must(t, "revoking", err)
	before := len(s.api.Seen())
	_, execution := s.run(t.Context(), t, "after the end", s.call("Call", "GET", "api/v1/items", nil))
	if execution.Error == nil || execution.Error.HTTPCode != "407" ||
		!strings.Contains(execution.Error.Description, "token") {
		t.Fatalf("n8n shows %+v, want a 407 that speaks of the token", execution.Error)
	}
	t.Logf("n8n shows %q", execution.Error.Message+"\n"+execution.Error.Description)
	if got := len(s.api.Seen()); got != before {
		t.Errorf("%d calls reached the API after the token was revoked", got-before)
	}
}

// nothingLeft searches all that n8n wrote, hands out and printed, and all that the gate wrote and printed.
func (s *scene) nothingLeft(t *testing.T) {
	held, err := s.n8n.Value(t.Context(), s.credential)
	must(t, "reading the token that n8n holds", err)
	if !strings.HasPrefix(held, "spt_") {
		t.Errorf("n8n does not hold a proxy token: %d bytes", len(held))
	}
	found, err := s.n8n.Leftovers(t.Context())
	must(t, "collecting what n8n left", err)
	for _, name := range []string{".n8n/database.sqlite", "export:workflow", "log"} {
		if len(found[name]) == 0 {
			t.Errorf("n8n left no %q: the search would prove nothing (has %v)", name, slices.Sorted(maps.Keys(found)))
		}
	}
	// Execution data is in the database in the clear: what the search looks for would be found there.
	if !bytes.Contains(found[".n8n/database.sqlite"], []byte("your plan does not include this")) &&
		!bytes.Contains(found[".n8n/database.sqlite-wal"], []byte("your plan does not include this")) {
		t.Error("the API's answers are not to be found in n8n's database: the search would prove nothing")
	}
	s.gate.Stop()
	found["the gate's log"] = s.gate.Log()
	must(t, "collecting what the gate left", readAll(s.gate.Folder, found))
	for name, content := range found {
		if form, leaked := s.key.In(content); leaked {
			t.Errorf("the API's key is in %s (%s)", name, form)
		}
		for _, token := range append(s.tokens, held) {
			if bytes.Contains(content, []byte(token)) {
				t.Errorf("a proxy token is in %s", name)
			}
		}
	}
}

func readAll(folder string, found map[string][]byte) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return errors.Join(err)
		}
		found[path], err = os.ReadFile(path)
		return err
	})
}
