package e2e_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/e2e/lab"
)

// rotation is what turns n8n's own rotation of data keys on.
const rotation = "N8N_ENV_FEAT_ENCRYPTION_KEY_ROTATION=true"

// A fleetScene is n8n in queue mode with values under the master key itself and under two data keys. Each process has
// the master key from a file.
type fleetScene struct {
	*queueScene

	op        *operator
	processes map[string]lab.Setup
	used      []lab.Credential // in the workflows
	exported  []lab.Exported
}

func setUpFleet(t *testing.T) *fleetScene {
	t.Helper()
	f := &fleetScene{
		queueScene: &queueScene{
			secrets: map[string]lab.Canary{"db_password": lab.NewCanary("db"), "redis_password": lab.NewCanary("rd")},
			apiKey:  lab.NewCanary("sk"),
		},
		processes: map[string]lab.Setup{},
	}
	programs := f.findParts(t)
	must(t, "making a folder", f.makeFolder(t))
	f.op = newOperator(t)
	f.op.secrets["the database's password"] = f.secrets["db_password"]
	must(t, "starting the API", f.startAPI(t))
	must(t, "starting the servers", f.startServers(t, programs))
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword("n8n", string(f.secrets["db_password"])),
		Host: "127.0.0.1:" + f.postgres.Port, Path: "/n8n", RawQuery: "sslmode=disable",
	}
	must(t, "writing the database's address", os.WriteFile(f.address(), []byte(address.String()), 0o600))
	return f
}

// address is the file with the database's, beside the operator's folder, which is searched for the password.
func (f *fleetScene) address() string { return filepath.Join(f.sub("operator"), "database.url") }

func (f *fleetScene) on(more ...string) []string {
	return append([]string{"--database-file", f.address()}, more...)
}

// node is how one of n8n's processes is started, with a master key, or with none.
func (f *fleetScene) node(name, key string, more ...string) lab.Setup {
	settings := append(f.settings(name), "N8N_ENCRYPTION_KEY",
		"DB_POSTGRESDB_PASSWORD="+string(f.secrets["db_password"]), "QUEUE_BULL_REDIS_PASSWORD="+
			string(f.secrets["redis_password"]))
	if key != "" {
		settings = append(settings, "N8N_ENCRYPTION_KEY_FILE="+f.op.keyFile(key))
	}
	setup := lab.Setup{Install: f.install, Folder: f.sub(name), Settings: append(settings, more...)}
	f.processes[name] = setup
	return setup
}

// environ is what a node has, as far as its key hangs on it.
func (f *fleetScene) environ(name string) []string {
	setup := f.processes[name]
	environ := []string{"HOME=" + setup.Folder, "N8N_USER_FOLDER=" + setup.Folder}
	for _, setting := range setup.Settings {
		if strings.HasPrefix(setting, "N8N_ENCRYPTION_KEY_FILE=") {
			environ = append(environ, setting)
		}
	}
	return environ
}

// startMain starts the main process and enters credentials: under the master key, under a data key, and under the next
// one.
func (f *fleetScene) startMain(t *testing.T) {
	var err error
	f.main, err = f.node("main", "old").Start(t.Context())
	must(t, "starting n8n", err)
	entries := lab.Entries()
	f.enter(t, append(entries[:4:4], f.entry("httpHeaderAuth"), f.entry("githubApi")))
	must(t, "turning n8n's rotation on", f.main.Restart(t.Context(), rotation))
	f.enter(t, append(entries[4:8:8], f.entry("httpQueryAuth"), f.entry("openAiApi")))
	f.rotate(t)
	f.enter(t, append(entries[8:], f.entry("httpBearerAuth"), f.entry("httpHeaderAuth")))
	f.held, err = f.main.NewWorkflow(t.Context(), "held", f.steps(heldPath)...)
	must(t, "making a workflow", err)
	f.quick, err = f.main.NewWorkflow(t.Context(), "quick", f.steps("/v1/pages?page=1")...)
	must(t, "making a workflow", err)
	f.exported, err = f.main.Decrypted(t.Context(), "--all")
	must(t, "exporting credentials", err)
}

// entry is a credential that carries the API's key.
func (f *fleetScene) entry(kind string) lab.Entry {
	return lab.Entry{Name: "API by " + kind, Kind: kind, Data: map[string]map[string]any{
		"httpHeaderAuth": {"name": "X-Api-Key", "value": string(f.apiKey)},
		"httpQueryAuth":  {"name": "api_key", "value": string(f.apiKey)},
		"httpBearerAuth": {"token": string(f.apiKey)},
		"githubApi":      {"server": f.api.URL(), "user": "octo", "accessToken": string(f.apiKey)},
		"openAiApi":      {"apiKey": string(f.apiKey), "url": f.api.URL() + "/v1"},
	}[kind]}
}

func (f *fleetScene) enter(t *testing.T, entries []lab.Entry) {
	t.Helper()
	made, err := f.main.Enter(t.Context(), entries)
	must(t, "entering credentials", err)
	f.used = append(f.used, made[len(made)-2:]...)
}

// steps call the API with each of the credentials; the last one calls path.
func (f *fleetScene) steps(path string) (steps []lab.Node) {
	for i, c := range f.used {
		by := map[string]any{"genericAuthType": c.Kind()}
		if strings.HasSuffix(c.Kind(), "Api") {
			by = map[string]any{"authentication": "predefinedCredentialType", "nodeCredentialType": c.Kind()}
		}
		name, at := c.Name, "/v1/pages?page=2"
		if i == len(f.used)-1 {
			name, at = "Call", path
		}
		steps = append(steps, lab.HTTPRequest(name, http.MethodGet, f.api.URL()+at, c, by))
	}
	return steps
}

var prefixed = regexp.MustCompile(`'([A-Za-z0-9_-]{16}):[A-Za-z0-9+/]{60}`)

// dataKeys are the ids before the values of credentials, with how often each is there.
func (f *fleetScene) dataKeys(t *testing.T) map[string]int {
	t.Helper()
	dump, err := f.postgres.Dump(t.Context(), "n8n", "--data-only", "--table=credentials_entity")
	must(t, "dumping credentials", err)
	keys := map[string]int{}
	for _, found := range prefixed.FindAllSubmatch(dump, -1) {
		keys[string(found[1])]++
	}
	return keys
}

// rotate makes another data key, and saves a credential until it is under that: n8n goes on with the one before for
// some seconds.
func (f *fleetScene) rotate(t *testing.T) {
	t.Helper()
	must(t, "making a data key", f.main.REST(t.Context(), http.MethodPost, "/rest/encryption/keys",
		map[string]string{"type": "data_encryption"}, nil))
	probe := f.entry("httpHeaderAuth")
	made, err := f.main.NewCredential(t.Context(), probe.Name, probe.Kind, probe.Data)
	must(t, "making a credential", err)
	body := map[string]any{"name": probe.Name, "type": probe.Kind, "data": probe.Data}
	var failed error
	must(t, "waiting for the next data key", f.main.Await(t.Context(), time.Minute, func() bool {
		failed = f.main.REST(t.Context(), http.MethodPatch, "/rest/credentials/"+made.ID, body, nil)
		return failed != nil || len(f.dataKeys(t)) == 2
	}))
	must(t, "saving a credential", failed)
}

// sameCredentials has n8n's command line decrypt everything.
func (f *fleetScene) sameCredentials(t *testing.T) {
	t.Helper()
	got, err := f.main.Decrypted(t.Context(), "--all")
	must(t, "exporting credentials", err)
	byID := func(list []lab.Exported) map[string]any {
		all := map[string]any{}
		for _, c := range list {
			all[c.ID] = c.Data
		}
		return all
	}
	if len(got) == 0 || !reflect.DeepEqual(byID(got), byID(f.exported)) {
		t.Errorf("n8n decrypts %d credentials to something else than the %d before", len(got), len(f.exported))
	}
}

// start starts a worker, with the rotation that main has.
func (f *fleetScene) start(t *testing.T, name, key string) *lab.Worker {
	t.Helper()
	worker, err := f.node(name, key, rotation).NewWorker()
	must(t, "making a worker", err)
	must(t, "starting worker "+name, worker.Launch(t.Context()))
	return worker
}

// fleetReport is what of `key verify --json` the tests look at.
type fleetReport struct {
	Reference struct {
		Database struct{ Result, Proof string }
	}
	Nodes []struct {
		Name, Way, Role, Match string
		Findings               []struct{ Kind, What string }
	}
}

// shown are the nodes, each with whether it matches and what was found.
func (r fleetReport) shown() map[string]string {
	all := map[string]string{}
	for _, node := range r.Nodes {
		words := []string{node.Match}
		for _, finding := range node.Findings {
			words = append(words, finding.Kind)
		}
		all[node.Name] = strings.Join(words, " ")
	}
	return all
}

// verify asks the nodes in two ways, holds them against the new key and the database, and wants each to be shown so.
func (f *fleetScene) verify(t *testing.T, exit int, want map[string]string) {
	t.Helper()
	folder := t.TempDir()
	challenge := filepath.Join(folder, "challenge")
	f.op.key(t, 0, "verify", "--new-challenge", challenge)
	args := append([]string{
		"verify", "--nonce-file", challenge, "--remote-binary", f.op.binary, "--key-file",
		f.op.keyFile("new"),
	}, f.on()...)
	for i, name := range slices.Sorted(maps.Keys(want)) {
		if i%2 == 0 { // as with ssh: a command that runs another one there
			args = append(args, "--node", name+"=exec:env -i "+strings.Join(f.environ(name), " "))
			continue
		}
		role := map[string]string{"main": "main", "webhook": "webhook"}[name]
		if role == "" {
			role = "worker"
		}
		answer := filepath.Join(folder, name+".json")
		// what it finds shows below
		f.op.runIn(t.Context(), f.environ(name), "verify", "--local", "--role", role, "--nonce-file",
			challenge, "--out", answer)
		args = append(args, "--node", name+"=file:"+answer)
	}
	var r fleetReport
	t.Logf("%s", f.op.key(t, exit, args...))
	must(t, "reading the report", json.Unmarshal(f.op.key(t, exit, append(args, "--json")...), &r))
	if got := r.shown(); !maps.Equal(got, want) {
		t.Errorf("the nodes are shown as %q, want %q", got, want)
	}
	if db := r.Reference.Database; db.Result != "match" || db.Proof != "deployment_key" {
		t.Errorf("the database says %+v of the new key", db)
	}
}
