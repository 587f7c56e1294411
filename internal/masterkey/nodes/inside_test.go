package nodes_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/n8n/environment"
)

func environmentRole(role string) environment.Role { return environment.Role(role) }

// stub puts a shell script on PATH under the names of the real programs. It writes its arguments to the file that is
// returned, one per line.
func stub(t *testing.T, script string, names ...string) (trace string) {
	t.Helper()
	dir := t.TempDir()
	trace = filepath.Join(dir, "trace")
	for _, name := range names {
		content := "#!/bin/sh\nfor a in " + name + " \"$@\"; do printf '%s\\n' \"$a\" >> " + trace +
			"; done\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return trace
}

func answerFile(t *testing.T) string {
	t.Helper()
	content, err := json.Marshal(situation{env: "N8N_ENCRYPTION_KEY=" + good}.says(t))
	path := filepath.Join(t.TempDir(), "answer")
	if err != nil || os.WriteFile(path, content, 0o600) != nil {
		t.Fatal(err)
	}
	return path
}

func askOne(t *testing.T, node nodes.Node, q nodes.Question) nodes.Answer {
	t.Helper()
	q.Nonce, q.Timeout = nonce, max(q.Timeout, time.Minute)
	if q.Binary == "" {
		q.Binary = "sallyport"
	}
	return nodes.AskAll(t.Context(), []nodes.Node{node}, q, 1)[0]
}

// TestArgv holds what is run to the letter; each of the programs takes these arguments so.
func TestArgv(t *testing.T) {
	const ask = " key verify --local --nonce " + nonce + " --json"
	for spec, want := range map[string]string{
		"a=docker:n8n":                       "docker exec n8n sallyport" + ask,
		"a=kubectl:prod/n8n-0":               "kubectl exec -n prod n8n-0 -- sallyport" + ask,
		"a=kubectl:prod/n8n-0/n8n":           "kubectl exec -n prod n8n-0 -c n8n -- sallyport" + ask,
		"a=nomad:0a1b2c3d":                   "nomad alloc exec -i=false -t=false 0a1b2c3d sallyport" + ask,
		"a=nomad:0a1b2c3d/n8n":               "nomad alloc exec -i=false -t=false -task n8n 0a1b2c3d sallyport" + ask,
		"a=exec:ssh -o X=y h docker n":       "ssh -o X=y h docker n sallyport" + ask,
		"a=systemd:n8n.service":              "env sallyport" + ask + " --systemd-unit n8n.service",
		`a=systemd:n8n-2/n8n\x2d1@a.service`: "ssh n8n-2 sallyport" + ask + ` --systemd-unit 'n8n\x2d1@a.service'`,
		// where a fleet has found it, whatever the environment says
		"a=docker:n8n?host=unix:///run/d.sock":      "docker --host=unix:///run/d.sock exec n8n sallyport" + ask,
		"a=docker:n8n?host=https://10.0.0.5:2376":   "docker --host=tcp://10.0.0.5:2376 --tlsverify exec n8n sallyport" + ask,
		"a=docker:n8n?host=http://127.0.0.1:2375":   "docker --host=tcp://127.0.0.1:2375 exec n8n sallyport" + ask,
		"a=kubectl:p/n8n-0?context=a&kubeconfig=/k": "kubectl --kubeconfig=/k --context=a exec -n p n8n-0 -- sallyport" + ask,
		"a=nomad:0a1b/n8n?address=https://n:4646&namespace=n8n&ca=/c&region=eu&server_name=s&cert=/a&key=/b": "nomad alloc exec " +
			"-address=https://n:4646 -region=eu -namespace=n8n -ca-cert=/c -client-cert=/a -client-key=/b " +
			"-tls-server-name=s -i=false -t=false -task n8n 0a1b sallyport" + ask,
	} {
		trace := stub(t, "cat "+answerFile(t)+"; exit 3", "docker", "kubectl", "nomad", "ssh", "env")
		node, err := nodes.ParseNode(spec, nodes.Agents{})
		if err != nil {
			t.Fatal(err)
		}
		a := askOne(t, node, nodes.Question{})
		if used, ok := a.Local.Used(); a.Err != nil || !ok || used.Fingerprint == "" {
			t.Errorf("%s: %v, %+v", spec, a.Err, a.Local)
		}
		got, _ := os.ReadFile(trace)
		if diff := cmp.Diff(want, strings.ReplaceAll(strings.TrimSpace(string(got)), "\n", " ")); diff != "" {
			t.Errorf("%s (-want +got): %s", spec, diff)
		}
	}
	trace := stub(t, "cat "+answerFile(t), "docker")
	node, _ := nodes.ParseNode("a=docker:n8n", nodes.Agents{})
	askOne(t, node, nodes.Question{Workflow: "wf1", Binary: "/opt/sallyport", Timeout: 2 * time.Minute})
	got, _ := os.ReadFile(trace)
	want := "docker exec n8n /opt/sallyport" + ask + " --execute wf1 --timeout 1m55s"
	if diff := cmp.Diff(want, strings.ReplaceAll(strings.TrimSpace(string(got)), "\n", " ")); diff != "" {
		t.Errorf("with a workflow (-want +got): %s", diff)
	}
}

// TestFailures: what the programs say when a node cannot be asked, with what is to be done about it.
func TestFailures(t *testing.T) {
	for said, c := range map[string]struct {
		exit       string
		spec       string
		want, hint string
	}{
		`OCI runtime exec failed: exec failed: unable to start container process: exec: "sallyport": executable file not found in $PATH: unknown`: {"127", "a=docker:n8n", "there is no sallyport in it", "docker cp"},
		`error: Internal error occurred: error executing command in container: exec: "sallyport": executable file not found in $PATH`:             {"1", "a=kubectl:p/n8n-0", "there is no sallyport in it", "--install"},
		`failed to exec into task: rpc error: exec: "sallyport": executable file not found in $PATH`:                                              {"1", "a=nomad:0a1b2c3d", "there is no sallyport in it", "volumes"},
		`bash: line 1: sallyport: command not found`:                                                    {"127", "a=exec:ssh h", "there is no sallyport in it", "--remote-binary"},
		`Error response from daemon: container 0a1b is not running`:                                     {"1", "a=docker:n8n", "it does not run", "docker logs --tail 20 n8n"},
		`Error response from daemon: No such container: n8n`:                                            {"1", "a=docker:n8n", "it does not run", "docker logs"},
		`error: Internal error occurred: unable to upgrade connection: container not found ("n8n")`:     {"1", "a=kubectl:p/n8n-0", "it does not run", "kubectl logs --previous -n p n8n-0"},
		`Error from server (Forbidden): pods "n8n-0" is forbidden: User "a" cannot get resource "pods"`: {"1", "a=kubectl:p/n8n-0", "kubectl may not run a program in it", "fleet-prove-rbac.yaml"},
		`sallyport: error: unknown flag: --nonce`:                                                       {"2", "a=docker:n8n", "too old", ""},
		`permission denied while trying to connect to the Docker daemon socket`:                         {"1", "a=docker:n8n", "docker ends with 1", "run the command by hand"},
		"\x1b[31mred\x07 " + strings.Repeat("long ", 100):                                               {"5", "a=docker:n8n", `it says "[31mred long`, ""},
		``: {"0", "a=docker:n8n", "is not what", "version"},
	} {
		t.Run(c.want+c.spec, func(t *testing.T) {
			stub(t, "echo "+good+"; printf '%s\\nsecond line' '"+said+"' >&2; exit "+c.exit,
				"docker", "kubectl", "nomad", "ssh")
			node, err := nodes.ParseNode(c.spec, nodes.Agents{})
			if err != nil {
				t.Fatal(err)
			}
			a := askOne(t, node, nodes.Question{})
			if a.Err == nil || !strings.Contains(a.Err.Error(), c.want) ||
				!strings.Contains(fault.HintOf(a.Err), c.hint) || fault.HintOf(a.Err) == "" {
				t.Errorf("%q: got %v (hint %q)", said, a.Err, fault.HintOf(a.Err))
			}
			text := a.Err.Error() + fault.HintOf(a.Err)
			if strings.ContainsAny(text, "\x1b\x07\n") || strings.Contains(text, good) || len(text) > 900 {
				t.Errorf("%q is not clean", text)
			}
		})
	}
}

func TestTimeoutAndMissingProgram(t *testing.T) {
	stub(t, "exec sleep 600", "docker")
	node, _ := nodes.ParseNode("a=docker:n8n", nodes.Agents{})
	a := nodes.AskAll(t.Context(), []nodes.Node{node},
		nodes.Question{Nonce: nonce, Binary: "sallyport", Timeout: 50 * time.Millisecond}, 1)[0]
	if a.Err == nil || !strings.Contains(a.Err.Error(), "did not answer within") || fault.HintOf(a.Err) == "" {
		t.Errorf("got %v", a.Err)
	}
	t.Setenv("PATH", "/nonexistent")
	if a := askOne(t, node, nodes.Question{}); a.Err == nil || a.Err.Error() != "docker is not on PATH" {
		t.Errorf("got %v", a.Err)
	}
}

func TestDockerLabels(t *testing.T) {
	lines := `{"Names":"n8n-main","State":"running","Status":"Up"}
{"Names":"n8n-worker,alias","State":"restarting","Status":"Restarting (1) 3 seconds ago"}`
	trace := stub(t, "echo '"+lines+"'", "docker")
	found, err := nodes.DockerLabels(t.Context(), []string{"app=n8n", "stage=prod"}, nil, time.Minute)
	if err != nil || len(found) != 2 || found[0].Name != "n8n-main" || found[1].Name != "n8n-worker" {
		t.Fatalf("%v, %v", found, err)
	}
	argv, _ := os.ReadFile(trace)
	if diff := cmp.Diff("docker\nps\n--no-trunc\n--format\n{{json "+
		".}}\n--filter\nlabel=app=n8n\n--filter\nlabel=stage=prod\n", string(argv)); diff != "" {
		t.Error(diff)
	}
	if a := askOne(t, found[1], nodes.Question{}); a.Err == nil ||
		!strings.Contains(a.Err.Error(), "it does not run: Restarting (1)") {
		t.Errorf("got %v", a.Err)
	}
	found, err = nodes.DockerLabels(t.Context(), []string{"app"},
		[]string{"ssh://me@n8n-1:22", "tcp://n8n-2:2376"}, time.Minute)
	if err != nil || len(found) != 4 || found[0].Name != "n8n-main@n8n-1:22" || found[2].Name != "n8n-main@n8n-2:2376" {
		t.Errorf("%v, %v", found, err)
	}
	for _, label := range []string{"", "-x", "a b"} {
		if _, err := nodes.DockerLabels(t.Context(), []string{label}, nil, time.Minute); err == nil {
			t.Errorf("the label %q passes", label)
		}
	}
	stub(t, "echo cannot connect >&2; exit 1", "docker")
	if _, err := nodes.DockerLabels(t.Context(), []string{"a"}, nil, time.Minute); err == nil ||
		!strings.Contains(err.Error(), `"cannot connect"`) {
		t.Errorf("got %v", err)
	}
	for _, out := range []string{"no JSON", `{"Names":"--privileged"}`, `{"Names":""}`} {
		stub(t, "echo '"+out+"'", "docker")
		if _, err := nodes.DockerLabels(t.Context(), []string{"a"}, nil, time.Minute); err == nil {
			t.Errorf("%q passes", out)
		}
	}
}

const pods = `{"items": [
 {"metadata": {"name": "n8n-main-0", "namespace": "prod"}, "spec": {"containers": [{"name": "n8n", "image": "n8nio/n8n:2.41.3"}]},
  "status": {"phase": "Running", "containerStatuses": [{"name": "n8n", "state": {"running": {}}}]}},
 {"metadata": {"name": "n8n-worker-0", "namespace": "prod"}, "spec": {"containers": [{"name": "proxy", "image": "envoy"}, {"name": "app", "image": "n8nio/n8n:2.41.3"}]},
  "status": {"phase": "Running", "containerStatuses": [{"name": "proxy", "state": {"running": {}}}, {"name": "app", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}},
 {"metadata": {"name": "n8n-hook-0", "namespace": "prod", "annotations": {"kubectl.kubernetes.io/default-container": "hook"}}, "spec": {"containers": [{"name": "proxy"}, {"name": "hook"}]},
  "status": {"phase": "Running", "containerStatuses": [{"name": "proxy", "state": {"waiting": {"reason": "X"}}}, {"name": "hook", "state": {"running": {}}}]}},
 {"metadata": {"name": "n8n-new", "namespace": "prod"}, "spec": {"containers": [{"name": "n8n"}]}, "status": {"phase": "Pending"}},
 {"metadata": {"name": "n8n-old", "namespace": "prod", "deletionTimestamp": "2026-11-21T00:00:00Z"}, "status": {"phase": "Running"}},
 {"metadata": {"name": "n8n-job", "namespace": "prod"}, "status": {"phase": "Succeeded"}}
]}`

func TestKubectlSelector(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pods")
	if err := os.WriteFile(file, []byte(pods), 0o600); err != nil {
		t.Fatal(err)
	}
	trace := stub(t, `if [ "$1" = get ]; then cat `+file+`; else cat `+answerFile(t)+`; fi`, "kubectl")
	found, err := nodes.KubectlSelector(t.Context(), "app=n8n", "prod", time.Minute)
	if err != nil || len(found) != 4 {
		t.Fatalf("%v, %v", found, err)
	}
	for i, want := range []string{"", "it does not run: Running CrashLoopBackOff", "", "it does not run: Pending"} {
		if a := askOne(t, found[i], nodes.Question{}); (a.Err == nil) != (want == "") || a.Err != nil &&
			a.Err.Error() != want {
			t.Errorf("%s: %v", found[i].Name, a.Err)
		}
	}
	argv, _ := os.ReadFile(trace)
	want := "kubectl get pods -o json -l app=n8n -n prod kubectl exec -n prod n8n-main-0 -- sallyport"
	got := strings.ReplaceAll(string(argv), "\n", " ")
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "exec -n prod n8n-hook-0 -c hook -- sallyport") {
		t.Errorf("got %s", got)
	}
	for _, c := range [][2]string{{"-x", ""}, {"", ""}, {"a", "-n"}, {"a", "A"}} {
		if _, err := nodes.KubectlSelector(t.Context(), c[0], c[1], time.Minute); err == nil ||
			fault.HintOf(err) == "" {
			t.Errorf("%q: %v", c, err)
		}
	}
	for _, out := range []string{"no JSON", `{"items":[{"metadata":{"name":"--x","namespace":"prod"}}]}`} {
		stub(t, "echo '"+out+"'", "kubectl")
		if _, err := nodes.KubectlSelector(t.Context(), "a", "", time.Minute); err == nil {
			t.Errorf("%q passes", out)
		}
	}
}

// FuzzAnswer: whatever a node answers, what comes out of it is fit for a terminal, and has what a comparison needs.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"nonce":"` + nonce +
		`","role":"worker","copies":[{"from":"N8N_ENCRYPTION_KEY","used":true,"fingerprint":"` +
		strings.Repeat("a", 64) + `"}]}`))
	f.Add([]byte(`{"nonce":"` + nonce + `","host":"\u001b[31m","role":"x","doubt":"\n","copies":[{"used":true}]}`))
	f.Add([]byte(`{"nonce":"` + nonce +
		`","execution":{"problem":"\r\n"},"copies":[{"from":"\u202e","fingerprint":"x"}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := nodes.Folder(dir)
		if err != nil {
			t.Fatal(err)
		}
		a := askOne(t, all[0], nodes.Question{})
		r := nodes.Compare(nonce, []nodes.Answer{a}, nil)
		texts := []string{
			r.Nodes[0].Host, r.Nodes[0].Version, r.Nodes[0].From,
			string(r.Nodes[0].Role), r.Nodes[0].Error,
		}
		for _, found := range r.Nodes[0].Findings {
			texts = append(texts, found.What, found.Todo)
		}
		for _, text := range texts {
			if strings.ContainsAny(text, "\x00\x07\x1b\r\n\u202e") || len(text) > 4000 {
				t.Errorf("%q comes through", text)
			}
		}
		if used, has := a.Local.Used(); has && len(used.Fingerprint) != 64 {
			t.Errorf("the fingerprint %q", used.Fingerprint)
		}
	})
}
