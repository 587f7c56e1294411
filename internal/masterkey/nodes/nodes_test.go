package nodes_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
)

const (
	nonce    = "0123456789abcdef"
	good     = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6"
	other    = "Z9y8X7w6V5u4T3s2R1q0P9o8N7m6L5k4"
	wrongToo = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6"
)

// situation is a node's environment: its variables, and the key in its settings file.
type situation struct {
	role, env, settings string // env: NAME=VALUE, one
	mode                os.FileMode
}

// says is what `sallyport key verify --local` says there.
func (s situation) says(t *testing.T) masterkey.Local {
	t.Helper()
	home := t.TempDir()
	if s.settings != "" {
		path := filepath.Join(home, ".n8n", "config")
		err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(s.settings), 0o600),
			os.Chmod(path, max(s.mode, 0o600)))
		if err != nil {
			t.Fatal(err)
		}
	}
	l := masterkey.Inspect(func(name string) (string, bool) {
		if name == "HOME" {
			return home, true
		}
		set, value, _ := strings.Cut(s.env, "=")
		return value, name == set
	}, nonce)
	content, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := nodes.Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	parsed.Role = environmentRole(s.role)
	return parsed
}

func settings(key string) string { return fmt.Sprintf(`{"encryptionKey": %q}`, key) }

func ways(t *testing.T, spec string) nodes.Asker {
	t.Helper()
	node, err := nodes.ParseNode(spec, nodes.Agents{})
	if err != nil {
		t.Fatal(err)
	}
	return node.Asker
}

func answersOf(t *testing.T, all []situation) (answers []nodes.Answer) {
	t.Helper()
	for i, s := range all {
		answers = append(answers,
			nodes.Answer{Node: nodes.Node{Name: fmt.Sprintf("n%d", i), Asker: ways(t, "x=docker:x")}, Local: s.says(t)})
	}
	return answers
}

// the key that the nodes should have, and what the database says of it.
func reference(key string, result nodes.Result) *nodes.Reference {
	l := masterkey.Inspect(func(name string) (string, bool) {
		return map[string]string{"N8N_ENCRYPTION_KEY": key, "HOME": "/nonexistent"}[name], name != "N8N_USER_FOLDER"
	}, nonce)
	used, _ := l.Used()
	ref := &nodes.Reference{From: "key.txt", Fingerprint: used.Fingerprint, Low: used.Low}
	if result != "" {
		ref.Database = &nodes.Database{Name: "db", Result: result, Readable: 3}
	}
	return ref
}

func TestCompare(t *testing.T) {
	const variable = "N8N_ENCRYPTION_KEY="
	right := situation{role: "main", env: variable + good}
	for title, c := range map[string]struct {
		nodes []situation
		ref   *nodes.Reference
		exit  fault.Exit
		want  []string // per node: its match, its group, the kinds of its findings
		fault string
	}{
		"all alike":                        {nodes: []situation{right, {role: "worker", env: variable + `"` + good + `"`}}, want: []string{"yes", "yes"}},
		"all as the reference":             {nodes: []situation{right, right}, ref: reference(good, ""), want: []string{"yes", "yes"}},
		"all as the database needs":        {nodes: []situation{right, right}, ref: reference(good, nodes.Match), want: []string{"yes", "yes"}},
		"a database with nothing in it":    {nodes: []situation{right}, ref: reference(good, nodes.Unproven), want: []string{"yes"}},
		"all alike and all wrong":          {nodes: []situation{right, right}, ref: reference(other, nodes.Match), exit: 12, want: []string{"no other_key", "no other_key"}, fault: "not right: n0, n1"},
		"a minority, without a database":   {nodes: []situation{right, {env: variable + other}, right}, exit: 12, want: []string{"unknown A", "unknown B", "unknown A"}, fault: "2 different keys"},
		"the same, with one":               {nodes: []situation{right, {env: variable + other}, right}, ref: reference(other, nodes.Match), exit: 12, want: []string{"no other_key", "yes", "no other_key"}, fault: "not right: n0, n2"},
		"the tried key is wrong":           {nodes: []situation{right, {env: variable + other}}, ref: reference(good, nodes.Mismatch), exit: 12, want: []string{"no other_key", "unknown"}, fault: "does not open"},
		"a change stopped half-way":        {nodes: []situation{right}, ref: reference(good, nodes.Mixed), exit: 12, want: []string{"yes"}, fault: "opens 3 values"},
		"a worker without a key":           {nodes: []situation{right, {role: "worker"}}, exit: 12, want: []string{"yes", "no no_key"}, fault: "n1"},
		"a webhook node that made its own": {nodes: []situation{right, {role: "webhook", settings: settings(other)}}, ref: reference(good, nodes.Match), exit: 12, want: []string{"yes", "no own_key"}, fault: "n1"},
		"the same, without a database":     {nodes: []situation{right, {role: "webhook", settings: settings(other)}}, exit: 12, want: []string{"unknown A", "unknown B own_key"}, fault: "2 different"},
		"a stale settings file":            {nodes: []situation{right, {role: "worker", env: variable + good, settings: settings(other)}}, exit: 12, want: []string{"yes", "yes stale_settings"}, fault: "n1"},
		"a broken settings file":           {nodes: []situation{{env: variable + good, settings: "{"}}, exit: 12, want: []string{"yes stale_settings"}, fault: "n0"},
		"both of it wrong":                 {nodes: []situation{{env: variable + other, settings: settings(good)}}, ref: reference(good, nodes.Match), exit: 12, want: []string{"no stale_settings"}, fault: "n0"},
		"one of two is wrong, which says":  {nodes: []situation{{env: variable + other, settings: settings(wrongToo)}}, ref: reference(good, nodes.Match), exit: 12, want: []string{"no stale_settings other_key"}, fault: "n0"},
		"from the volume alone":            {nodes: []situation{right, {role: "main", settings: settings(good)}}, want: []string{"yes", "yes from_volume"}},
		"the settings file of n8n 1.x":     {nodes: []situation{{env: variable + good, settings: settings(good), mode: 0o644}}, want: []string{"yes open_settings"}},
		"a key file that is not there":     {nodes: []situation{{env: "N8N_ENCRYPTION_KEY_FILE=/nonexistent/key"}}, exit: 12, want: []string{"no no_key"}, fault: "n0"},
		"a path everywhere":                {nodes: []situation{{env: variable + "/run/secrets/key"}, {env: variable + "/run/secrets/key"}}, exit: 3, want: []string{"yes bad_key", "yes bad_key"}, fault: "to be looked at: n0, n1"},
		"an example":                       {nodes: []situation{{env: variable + "changeme"}}, exit: 3, want: []string{"yes bad_key"}, fault: "n0"},
		"a reference":                      {nodes: []situation{{env: variable + "ref+corp://n8n#key"}}, exit: 3, want: []string{"yes bad_key"}, fault: "n0"},
		"a short key":                      {nodes: []situation{{env: variable + "k3y-Abc-9"}}, exit: 3, want: []string{"yes weak_key"}, fault: "n0"},
		"a path on one node":               {nodes: []situation{right, {env: variable + "/run/secrets/key"}}, ref: reference(good, nodes.Match), exit: 12, want: []string{"yes", "no other_key bad_key"}, fault: "not right: n1"},
		// "ş" is U+015F: n8n uses 0x5F of it, "_", in CBC.
		"alike in CBC alone":      {nodes: []situation{{env: variable + good + "ş"}, {env: variable + good + "_"}}, exit: 12, want: []string{"unknown A low_bytes", "unknown B low_bytes"}, fault: "2 different"},
		"alike in CBC, reference": {nodes: []situation{{env: variable + good + "ş"}}, ref: reference(good+"_", nodes.Match), exit: 12, want: []string{"no other_key low_bytes"}, fault: "n0"},
	} {
		t.Run(title, func(t *testing.T) {
			r := nodes.Compare(nonce, answersOf(t, c.nodes), c.ref)
			var got []string
			for _, row := range r.Nodes {
				line := strings.TrimSpace(string(row.Match) + " " + row.Group)
				for _, f := range row.Findings {
					line += " " + string(f.Kind)
					if f.What == "" || f.Todo == "" {
						t.Errorf("%s: %s has %+v", row.Name, f.Kind, f)
					}
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || r.Exit != c.exit {
				t.Errorf("exit %d, want %d; nodes (-want +got): %s", r.Exit, c.exit, diff)
			}
			err := r.Fault()
			if (err == nil) != (c.exit == 0) || fault.ExitOf(err) != c.exit || err != nil &&
				(!strings.Contains(err.Error(), c.fault) || fault.HintOf(err) == "") {
				t.Errorf("got %v (hint %q), want %q", err, fault.HintOf(err), c.fault)
			}
			shows := fmt.Sprintf("%+v %v %s", r, err, fault.HintOf(err))
			for _, key := range []string{good, other, "changeme", "k3y-Abc-9", "ref+corp"} {
				if strings.Contains(shows, key) {
					t.Errorf("%s stands in the report", key)
				}
			}
		})
	}
}

// TestUnasked: a node that cannot be asked is told of beside the others, and a mismatch counts more.
func TestUnasked(t *testing.T) {
	answers := answersOf(t, []situation{{env: "N8N_ENCRYPTION_KEY=" + good}, {env: "N8N_ENCRYPTION_KEY=" + good}})
	answers[1].Err = fault.WithHint(errors.New("it does not run"), "start it")
	r := nodes.Compare(nonce, answers, nil)
	if err := r.Fault(); r.Exit != fault.ExitError || !strings.Contains(err.Error(), "nothing is known of: n1") ||
		r.Nodes[1].Hint != "start it" || r.Nodes[0].Match != nodes.Yes {
		t.Errorf("got %v, %+v", err, r)
	}
	if r := nodes.Compare(nonce, answers, reference(other, nodes.Match)); r.Exit != fault.ExitKeyMismatch {
		t.Errorf("with a mismatch: exit %d", r.Exit)
	}
}

// TestFailedExecution: the key is right, and the workflow does not run.
func TestFailedExecution(t *testing.T) {
	answers := answersOf(t, []situation{{env: "N8N_ENCRYPTION_KEY=" + good}})
	answers[0].Local.Execution = &masterkey.Execution{Workflow: "1", Problem: "n8n execute ended with 1"}
	if r := nodes.Compare(nonce, answers, nil); r.Exit != fault.ExitFindings ||
		r.Nodes[0].Findings[0].Kind != nodes.NotExecuted {
		t.Errorf("got %+v", r)
	}
}

func TestParseNode(t *testing.T) {
	agents := nodes.Agents{Token: masterkey.Generate()}
	for spec, way := range map[string]string{
		"a=docker:n8n-main_1":               "docker",
		"a/b@c.d-e=docker:0123abcd":         "docker",
		"a=kubectl:prod/n8n-0":              "kubectl",
		"a=kubectl:prod/n8n-0/n8n":          "kubectl",
		"a=nomad:0a1b2c3d":                  "nomad",
		"a=nomad:0a1b2c3d/n8n":              "nomad",
		"a=exec:ssh -p 22 h env A=b":        "exec",
		"a=file:/x/y.json":                  "file",
		"a=https://n8n-3:8473":              "agent",
		"a=https://n8n-3:8473/":             "agent",
		"a=http://127.0.0.1:8473":           "agent",
		"a=http://[::1]:8473":               "agent",
		"a=docker:n8n?host=ssh://n8n-2":     "docker",
		"a=kubectl:p/n8n-0?context=a+b":     "kubectl",
		"a=systemd:n8n@1.service":           "systemd",
		"a=systemd:root@n8n-2/n8n.service":  "systemd",
		"a=docker:n8n?host=":                "",
		"a=docker:n8n?host=a&host=b":        "",
		"a=docker:n8n?host=a%0Ab":           "",
		"a=docker:n8n?context=a":            "",
		"a=docker:n8n?%zz":                  "",
		"a=systemd:n8n":                     "",
		"a=systemd:-x.service":              "",
		"a=systemd:-h/n8n.service":          "",
		"a=systemd:h/n8n'.service":          "",
		"a=docker:":                         "",
		"a=docker:--privileged":             "",
		"a=docker:a b":                      "",
		"a=kubectl:pod":                     "",
		"a=kubectl:ns/-pod":                 "",
		"a=kubectl:ns/pod/c/d":              "",
		"a=kubectl:/pod":                    "",
		"a=nomad:-task":                     "",
		"a=nomad:0a1b/-x":                   "",
		"a=exec:":                           "",
		"a=exec: ":                          "",
		"a=file:":                           "",
		"a=ssh:host":                        "",
		"a=n8n":                             "",
		"a=http://10.0.0.1:8473":            "",
		"a=http://127.0.0.1.evil.test:8473": "",
		"a=https://user:pw@h:8473":          "",
		"a=https://h:8473/path":             "",
		"a=https://h:8473?x=y":              "",
		"a=https://":                        "",
		"=docker:x":                         "",
		"docker:x":                          "",
		"-a=docker:x":                       "",
		"a\x1b[31m=docker:x":                "",
		"":                                  "",
	} {
		node, err := nodes.ParseNode(spec, agents)
		switch {
		case way == "" && (err == nil || fault.HintOf(err) == "" || strings.Contains(err.Error(), "\x1b") ||
			strings.Contains(err.Error(), "pw@")):
			t.Errorf("%q: got %v (hint %q)", spec, err, fault.HintOf(err))
		case way != "" && (err != nil || node.Asker.Way() != way):
			t.Errorf("%q: got %v", spec, err)
		}
	}
	if _, err := nodes.ParseNode("a=https://h:8473", nodes.Agents{}); !strings.Contains(fault.HintOf(err),
		"--agent-token-file") {
		t.Errorf("without a token: %v", err)
	}
	if _, err := nodes.ParseNode("a=http://10.0.0.1:8473",
		nodes.Agents{Token: agents.Token, Insecure: true}); err != nil {
		t.Errorf("insecure: %v", err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	challenge := filepath.Join(dir, "challenge")
	if err := nodes.NewChallenge(challenge); err != nil {
		t.Fatal(err)
	}
	if err := nodes.NewChallenge(challenge); err == nil {
		t.Error("a challenge is overwritten")
	}
	fresh, err := nodes.ReadChallenge(challenge)
	if err != nil || len(fresh) < nodes.MinNonce {
		t.Fatalf("%q, %v", fresh, err)
	}
	if _, err := nodes.Folder(dir); err == nil || fault.HintOf(err) == "" {
		t.Errorf("a folder without files: %v", err)
	}
	right := situation{env: "N8N_ENCRYPTION_KEY=" + good}.says(t)
	content, _ := json.Marshal(right)
	for name, content := range map[string]string{
		"a.json": string(content), "b.json": "no JSON " + good,
		"c.json": strings.ReplaceAll(string(content), nonce, "of-an-earlier-run"), "notes.txt": "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := nodes.Folder(dir)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	answers := nodes.AskAll(t.Context(), all, nodes.Question{Nonce: nonce, Timeout: time.Minute}, 2)
	for i, want := range []string{"", "is not what", "another nonce"} {
		a := answers[i]
		if (a.Err == nil) != (want == "") || a.Err != nil &&
			(!strings.Contains(a.Err.Error(), want) || fault.HintOf(a.Err) == "" ||
				strings.Contains(a.Err.Error(), good)) {
			t.Errorf("%s: %v", a.Node.Name, a.Err)
		}
	}
	for _, broken := range []string{
		"", "short", strings.Repeat("x", 200), "has blanks in it, sixteen",
		"-0123456789abcdef",
	} {
		if err := os.WriteFile(challenge, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := nodes.ReadChallenge(challenge); err == nil || fault.HintOf(err) == "" {
			t.Errorf("the challenge %q: %v", broken, err)
		}
	}
}

// TestPanicInAnAsker: it is that node's answer, quotes no value, and the others are asked all the same.
func TestPanicInAnAsker(t *testing.T) {
	all := []nodes.Node{
		{Name: "a", Asker: asker(nil)},
		{Name: "b", Asker: asker(errors.New("refused"))},
		{Name: "c", Asker: asker(nil)},
	}
	answers := nodes.AskAll(t.Context(), all, nodes.Question{Nonce: nonce, Timeout: time.Minute}, 1)
	for i, a := range answers {
		_, panicked := errors.AsType[*fault.Panic](a.Err)
		if a.Node.Name != all[i].Name || panicked != (i != 1) || a.Err == nil || strings.Contains(a.Err.Error(), good) {
			t.Errorf("%s: got %v", a.Node.Name, a.Err)
		}
	}
}

// asker answers with an error, or ends in a panic where there is none.
func asker(err error) nodes.Asker { return panicking{err} }

type panicking struct{ err error }

func (p panicking) Ask(context.Context, nodes.Question) (masterkey.Local, error) {
	if p.err == nil {
		panic("the key is " + good)
	}
	return masterkey.Local{}, p.err
}

func (panicking) Way() string { return "test" }

func TestDistinct(t *testing.T) {
	a, b := nodes.Node{Name: "a"}, nodes.Node{Name: "b"}
	if err := nodes.Distinct([]nodes.Node{a, b}); err != nil {
		t.Error(err)
	}
	if err := nodes.Distinct([]nodes.Node{a, b, a}); err == nil {
		t.Error("one name for two nodes passes")
	}
}

// TestNothingIsMovedUnproved: a settings file may hold the only copy of the key that the database needs, as after a
// change of the variable alone. Nobody is told to move it away before a database has proved another key.
func TestNothingIsMovedUnproved(t *testing.T) {
	hook := situation{role: "webhook", settings: settings(other)}
	stale := situation{role: "main", env: "N8N_ENCRYPTION_KEY=" + good, settings: settings(other)}
	wrong := situation{role: "main", env: "N8N_ENCRYPTION_KEY=" + other, settings: settings(other)}
	for title, c := range map[string]struct {
		ref   *nodes.Reference
		moved bool
	}{
		"nothing tells":           {nil, false},
		"someone says so":         {reference(good, ""), false},
		"the key opens nothing":   {reference(good, nodes.Mismatch), false},
		"the key opens some":      {reference(good, nodes.Mixed), false},
		"there is nothing to say": {reference(good, nodes.Unproven), false},
		"the database says so":    {reference(good, nodes.Match), true},
	} {
		r := nodes.Compare(nonce,
			answersOf(t, []situation{{env: "N8N_ENCRYPTION_KEY=" + good}, hook, stale, wrong}), c.ref)
		for _, row := range r.Nodes[1:] {
			for _, f := range row.Findings {
				waits := strings.Contains(f.Todo, "--database") || strings.Contains(f.Todo, "keep ")
				if moves := strings.Contains(f.Todo, "away"); moves && waits == c.moved {
					t.Errorf("%s: %s is told: %s", title, row.Name, f.Todo)
				}
			}
		}
	}
}
