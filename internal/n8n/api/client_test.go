package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/api"
	"sallyport/internal/secret"
)

const (
	id    = "8nG6pCfcP3SjhJhi"
	token = "spt_canary_token_value"
	key   = "n8n_api_canary_key"
)

// summary is what n8n 2.41.1 answers to a PATCH, recorded.
const summary = `{"id":"` + id +
	`","name":"Sallyport","type":"httpHeaderAuth","isManaged":false,"isGlobal":false,"isResolvable":false,"resolvableAllowFallback":false,"resolverId":null,"createdAt":"2026-11-21T18:42:09.684Z","updatedAt":"2026-11-21T18:42:09.711Z"}`

// A call is one request as it arrived at the stand-in for n8n.
type call struct{ Method, Target, Key, Body string }

// n8n answers with the scripted answers, in order, and keeps what arrived.
type n8n struct {
	answers []string // "STATUS BODY"
	calls   []call
	header  http.Header
}

func (n *n8n) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.calls = append(n.calls, call{r.Method, r.RequestURI, r.Header.Get("X-N8N-API-KEY"), string(body)})
	if len(n.answers) == 0 {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	var status int
	fmt.Sscanf(n.answers[0], "%d", &status)
	_, text, _ := strings.Cut(n.answers[0], " ")
	n.answers = n.answers[1:]
	maps.Copy(w.Header(), n.header)
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func newClient(t *testing.T, n *n8n, change func(*api.Config)) *api.Client {
	t.Helper()
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	config := api.Config{URL: server.URL, APIKey: secret.NewValue([]byte(key)), Credential: id}
	if change != nil {
		change(&config)
	}
	client, err := api.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestPush(t *testing.T) {
	const (
		path   = "/api/v1/credentials/" + id
		locked = `{"isPartialData":true,"data":{"value":"` + token +
			`","allowedHttpRequestDomains":"domains","allowedDomains":"gate.internal"}}`
		unlocked = `{"isPartialData":true,"data":{"value":"` + token + `"}}`
		list     = "/api/v1/credentials?limit=250"
		row      = `{"id":"` + id + `","name":"Sallyport","type":"httpHeaderAuth"}`
	)
	byName := func(c *api.Config) { c.Credential = "Sallyport" }
	for name, tt := range map[string]struct {
		change  func(*api.Config)
		lockTo  string
		answers []string
		want    api.Result
		calls   []call
	}{
		"locks in the same call": {
			lockTo: "gate.internal", answers: []string{"200 " + summary},
			want:  api.Result{CredentialID: id, Locked: api.Locked, Method: api.MethodAPI},
			calls: []call{{"PATCH", path, key, locked}},
		},
		"drops the port, which n8n does not compare": {
			lockTo: "gate.internal:8470", answers: []string{"200 " + summary},
			want:  api.Result{CredentialID: id, Locked: api.Locked, Method: api.MethodAPI},
			calls: []call{{"PATCH", path, key, locked}},
		},
		"does not know the lock it did not set": {
			answers: []string{"200 " + summary},
			want:    api.Result{CredentialID: id, Locked: api.Unknown, Method: api.MethodAPI},
			calls:   []call{{"PATCH", path, key, unlocked}},
		},
		"writes the value where n8n cannot lock, and says so": {
			lockTo: "gate.internal",
			answers: []string{
				`400 {"message":"request.body.data is not allowed to have the additional property \"allowedHttpRequestDomains\""}`, "200 " + summary,
			},
			want:  api.Result{CredentialID: id, Locked: api.Unlocked, Method: api.MethodAPI},
			calls: []call{{"PATCH", path, key, locked}, {"PATCH", path, key, unlocked}},
		},
		"looks up a name": {
			change: byName, lockTo: "gate.internal",
			answers: []string{`200 {"data":[{"id":"x","name":"Sallyport","type":"httpBasicAuth"},` + row +
				`],"nextCursor":null}`, "200 " + summary},
			want:  api.Result{CredentialID: id, Locked: api.Locked, Method: api.MethodAPI},
			calls: []call{{"GET", list, key, ""}, {"PATCH", path, key, locked}},
		},
		"looks up a name on the second page": {
			change: byName,
			answers: []string{
				`200 {"data":[],"nextCursor":"c1"}`,
				`200 {"data":[` + row + `],"nextCursor":null}`, "200 " + summary,
			},
			want: api.Result{CredentialID: id, Locked: api.Unknown, Method: api.MethodAPI},
			calls: []call{
				{"GET", list, key, ""},
				{"GET", "/api/v1/credentials?cursor=c1&limit=250", key, ""},
				{"PATCH", path, key, unlocked},
			},
		},
		"keeps a path prefix": {
			change: func(c *api.Config) { c.URL += "/n8n/" }, answers: []string{"200 " + summary},
			want:  api.Result{CredentialID: id, Locked: api.Unknown, Method: api.MethodAPI},
			calls: []call{{"PATCH", "/n8n" + path, key, unlocked}},
		},
		"finds a name that looks like an id": {
			change: func(c *api.Config) { c.Credential = "SallyportGateway" },
			answers: []string{
				`404 {"message":"Credential not found"}`,
				`200 {"data":[{"id":"` + id + `","name":"SallyportGateway","type":"httpHeaderAuth"}]}`, "200 " + summary,
			},
			want: api.Result{CredentialID: id, Locked: api.Unknown, Method: api.MethodAPI},
			calls: []call{
				{"PATCH", "/api/v1/credentials/SallyportGateway", key, unlocked},
				{"GET", list, key, ""},
				{"PATCH", path, key, unlocked},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &n8n{answers: tt.answers}
			got, err := newClient(t, server, tt.change).Push(t.Context(), secret.NewValue([]byte(token)), tt.lockTo)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.calls, server.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPushLocksIPv6TheWayN8NCompares(t *testing.T) {
	server := &n8n{answers: []string{"200 " + summary}}
	if _, err := newClient(t, server, nil).Push(t.Context(), secret.NewValue([]byte(token)), "[::1]:8470"); err != nil {
		t.Fatal(err)
	}
	if want := `"allowedDomains":"[::1]"`; !strings.Contains(server.calls[0].Body, want) {
		t.Errorf("body %s lacks %s", server.calls[0].Body, want)
	}
}

// Every refusal names its cause and a remedy, and holds neither the value nor the key, even when n8n quotes both.
func TestPushRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		credential string
		answers    []string
		header     http.Header
		want, hint string
	}{
		"wrong key":       {"", []string{`401 {"message":"Unauthorized"}`}, nil, "n8n answered 401", "the API key is wrong"},
		"missing scope":   {"", []string{`403 {"message":"Forbidden"}`}, nil, "n8n answered 403", "lacks the scope credential:update"},
		"unknown id":      {"", []string{`404 {"message":"Credential not found"}`, `403 {"message":"Forbidden"}`}, nil, "n8n answered 404", "no such credential"},
		"old n8n":         {"", []string{`405 {"message":"PATCH method not allowed"}`}, nil, "n8n answered 405", "set `cli`"},
		"short name":      {"", []string{`400 {"message":"Credential name must be 3 to 128 characters long."}`}, nil, "shorter than 3", "at least 3"},
		"n8n quotes all":  {"", []string{`400 {"message":"bad ` + token + ` ` + key + `"}`}, nil, "n8n answered 400", ""},
		"broken n8n":      {"", []string{`500 {"message":"` + token + `"}`}, nil, "n8n answered 500", "own log"},
		"sign-in page":    {"", []string{`200 <html>` + token}, nil, "not JSON", "check `url`"},
		"redirect":        {"", []string{`302 `}, http.Header{"Location": {"http://127.0.0.1:1/elsewhere?" + token}}, "n8n answered 302", "not followed"},
		"other type":      {"", []string{`200 {"id":"` + id + `","type":"httpQueryAuth"}`}, nil, `"httpQueryAuth"`, "its own value back"},
		"name, no scope":  {"Sally port", []string{`403 {"message":"Forbidden"}`}, nil, "looking up the name", "credential:list"},
		"name, nobody's":  {"Sally port", []string{`200 {"data":[]}`}, nil, "no Header Auth credential of that name", "use the id"},
		"name, two":       {"A b", []string{`200 {"data":[{"id":"1","name":"A b","type":"httpHeaderAuth"},{"id":"2","name":"A b","type":"httpHeaderAuth"}]}`}, nil, "has 2 ", "use the id"},
		"path in a name":  {"../../rest/login", []string{`200 {"data":[]}`}, nil, "no Header Auth credential of that name", ""},
		"wrong type, 400": {"", []string{`400 {"message":"request.body.data is not allowed to have the additional property \"value\""}`}, nil, "does not know one of the fields", "Header Auth"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &n8n{answers: tt.answers, header: tt.header}
			client := newClient(t, server, func(c *api.Config) {
				if tt.credential != "" {
					c.Credential = tt.credential
				}
			})
			_, err := client.Push(t.Context(), secret.NewValue([]byte(token)), "")
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("error %q, hint %q; want %q and %q in them", err, fault.HintOf(err), tt.want, tt.hint)
			}
			noCanary(t, err)
			if want := !strings.Contains("broken n8n, sign-in page, other type", name); refused(err) != want {
				t.Errorf("refused: %v, want %v", refused(err), want)
			}
			if len(server.answers) > 0 {
				t.Errorf("n8n was not called to the end: %d answers left", len(server.answers))
			}
		})
	}
}

// refused tells whether n8n certainly still has the old value.
func refused(err error) bool {
	var r interface{ Refused() bool }
	return errors.As(err, &r) && r.Refused()
}

func noCanary(t *testing.T, err error) {
	t.Helper()
	for _, canary := range []string{token, key} {
		if strings.Contains(fmt.Sprintf("%+v %s", err, fault.HintOf(err)), canary) {
			t.Errorf("a secret is in the error: %q", err)
		}
	}
}

func TestPushUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	client, err := api.New(api.Config{URL: server.URL, APIKey: secret.NewValue([]byte(key)), Credential: id})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Push(t.Context(), secret.NewValue([]byte(token)), "")
	if err == nil || !strings.Contains(fault.HintOf(err), "reachable") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
	if !refused(err) {
		t.Error("nothing was sent, and the error does not say so")
	}
	noCanary(t, err)
}

// A connection that breaks after the request was sent leaves open what n8n did.
func TestPushConnectionBreaks(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	client, err := api.New(api.Config{URL: server.URL, APIKey: secret.NewValue([]byte(key)), Credential: id})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = client.Push(t.Context(), secret.NewValue([]byte(token)), ""); err == nil || refused(err) {
		t.Errorf("got %v, refused %v; want an error that leaves it open", err, refused(err))
	}
}

func TestNewRefuses(t *testing.T) {
	good := api.Config{URL: "http://n8n:5678", APIKey: secret.NewValue([]byte(key)), Credential: id}
	for name, change := range map[string]func(*api.Config){
		"no scheme":        func(c *api.Config) { c.URL = "n8n:5678" },
		"other scheme":     func(c *api.Config) { c.URL = "file:///etc" },
		"user in the URL":  func(c *api.Config) { c.URL = "http://u:" + token + "@n8n" },
		"query in the URL": func(c *api.Config) { c.URL = "http://n8n/?a=" + token },
		"control in a URL": func(c *api.Config) { c.URL = "http://n8n/\n" + token },
		"no credential":    func(c *api.Config) { c.Credential = "" },
		"no URL":           func(c *api.Config) { c.URL = "" },
		"no key":           func(c *api.Config) { c.APIKey = secret.Value{} },
		"line end in key":  func(c *api.Config) { c.APIKey = secret.NewValue([]byte(key + "\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			change(&config)
			_, err := api.New(config)
			if err == nil || fault.HintOf(err) == "" {
				t.Fatalf("got %v, hint %q; want an error with a hint", err, fault.HintOf(err))
			}
			noCanary(t, err)
		})
	}
}

// commandLine plays n8n's command line: it prints an export amid log lines, and keeps what an import reads.
func commandLine(t *testing.T, export string) (cli []string, imported string) {
	t.Helper()
	dir := t.TempDir()
	imported = filepath.Join(dir, "imported.json")
	if err := os.WriteFile(filepath.Join(dir, "export.txt"), []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncase \"$1\" in\nexport:credentials) cat '" + dir +
		"/export.txt' ;;\nimport:credentials) cat >'" + imported + "' ;;\nesac\n"
	path := filepath.Join(dir, "n8n")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path}, imported
}

// exportedBy1x is what n8n 1.123.81 wrote to its standard output, recorded.
const exportedBy1x = `[license SDK] starting
{"level":"warn","message":"Permissions 0644 for n8n settings file are too wide.","metadata":{"file":"instance-settings.js"}}
[{"updatedAt":"2026-11-21T18:45:49.025Z","createdAt":"2026-11-21T18:45:49.029Z","id":"` + id +
	`","name":"Sallyport","data":{"name":"X-Other-Header","value":"spt_old"},"type":"httpHeaderAuth","isManaged":false,"isGlobal":false}]{"level":"info","message":"Successfully exported 1 credentials.","metadata":{"file":"credentials.js"}}
`

func TestPushOverCommandLine(t *testing.T) {
	for _, credential := range []string{id, "Sallyport"} {
		cli, imported := commandLine(t, exportedBy1x)
		server := &n8n{answers: []string{`405 {"message":"not allowed"}`}}
		client := newClient(t, server, func(c *api.Config) { c.CLI, c.Credential = cli, credential })
		got, err := client.Push(t.Context(), secret.NewValue([]byte(token)), "gate.internal")
		if err != nil {
			t.Fatal(err)
		}
		if want := (api.Result{CredentialID: id, Locked: api.Unknown, Method: api.MethodCLI}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		want := []any{map[string]any{"id": id, "name": "Sallyport", "type": "httpHeaderAuth", "data": map[string]any{
			"name": "X-Other-Header", "value": token, "allowedHttpRequestDomains": "domains", "allowedDomains": "gate.internal",
		}}}
		if diff := cmp.Diff(want, readJSON(t, imported)); diff != "" {
			t.Errorf("imported (-want +got):\n%s", diff)
		}
	}
}

func TestPushOverCommandLineAlone(t *testing.T) {
	cli, imported := commandLine(t, exportedBy1x)
	client, err := api.New(api.Config{Credential: id, CLI: cli})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Push(t.Context(), secret.NewValue([]byte(token)), ""); err != nil {
		t.Fatal(err)
	}
	want := []any{map[string]any{
		"id": id, "name": "Sallyport", "type": "httpHeaderAuth",
		"data": map[string]any{"name": "X-Other-Header", "value": token},
	}}
	if diff := cmp.Diff(want, readJSON(t, imported)); diff != "" {
		t.Errorf("imported (-want +got):\n%s", diff)
	}
}

func readJSON(t *testing.T, path string) (v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestPushOverCommandLineRefused(t *testing.T) {
	for name, export := range map[string]string{
		"nothing exported": `{"level":"error","message":"No credentials found with specified filters"} [x]`,
		"other type":       `[{"id":"` + id + `","name":"Sallyport","type":"httpBasicAuth","data":{"password":"` + token + `"}}]`,
		"data not clear":   `[{"id":"` + id + `","name":"Sallyport","type":"httpHeaderAuth","data":"U2FsdGVkX1"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			cli, imported := commandLine(t, export)
			client := newClient(t, &n8n{answers: []string{`405 {}`}}, func(c *api.Config) { c.CLI = cli })
			_, err := client.Push(t.Context(), secret.NewValue([]byte(token)), "")
			if err == nil {
				t.Fatal("no error")
			}
			noCanary(t, err)
			if !refused(err) {
				t.Error("nothing was sent, and the error does not say so")
			}
			if _, err := os.Stat(imported); err == nil {
				t.Error("it imported all the same")
			}
		})
	}
}

func TestPushWithoutCommandLineProgram(t *testing.T) {
	client := newClient(t, &n8n{}, func(c *api.Config) {
		c.APIKey, c.CLI = secret.Value{}, []string{filepath.Join(t.TempDir(), "absent")}
	})
	_, err := client.Push(t.Context(), secret.NewValue([]byte(token)), "")
	if err == nil || !strings.Contains(fault.HintOf(err), "by hand") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
	noCanary(t, err)
}
