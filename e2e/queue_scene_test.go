package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sallyport/e2e/backing"
	"sallyport/e2e/gate"
	"sallyport/e2e/lab"
	"sallyport/e2e/process"
	"sallyport/e2e/standin"
)

// What the Vault of the test is asked for.
const (
	vaultMount, vaultPath = "secret", "n8n"
	labelVariable         = "TEAM_LABEL" // n8n does not know it: to change it harms nothing
)

// A queueScene is n8n in queue mode on real servers: a main process and two workers, each started by `sallyport run`
// with every secret as a reference to Vault.
type queueScene struct {
	folder  string // everything that any process writes is below it
	install string // n8n's
	binary  string // sallyport's

	secrets  map[string]lab.Canary // by their fields in Vault
	apiKey   lab.Canary            // in n8n's credential
	entrance map[string]string     // what opens Vault, by what it is

	api      *standin.Server
	vault    *backing.Vault
	postgres *backing.Postgres
	redis    *backing.Redis

	main     *lab.N8N
	one, two *lab.Worker
	held     *lab.Workflow // calls what the test can hold
	quick    *lab.Workflow
}

// setUpQueue skips the test where a part cannot be obtained, loudly, and never in CI.
func setUpQueue(t *testing.T) *queueScene {
	t.Helper()
	q := &queueScene{
		secrets: map[string]lab.Canary{
			"master_key": lab.NewCanary("mk"), "db_password": lab.NewCanary("db"),
			"redis_password": lab.NewCanary("rd"),
		},
		apiKey: lab.NewCanary("sk"),
	}
	programs := q.findParts(t)
	must(t, "making a folder", q.makeFolder(t))
	var err error
	q.binary, err = gate.Build(t.Context(), "..", t.TempDir())
	must(t, "building", err)
	must(t, "starting the API", q.startAPI(t))
	must(t, "starting the servers", q.startServers(t, programs))
	q.vault, err = backing.StartVault(t.Context(), programs.Vault, q.sub("vault"))
	must(t, "starting Vault", err)
	must(t, "configuring", q.configure(t))
	return q
}

func (q *queueScene) findParts(t *testing.T) backing.Programs {
	t.Helper()
	install, errN8N := lab.FindN8N(t.Context(), "../tools/n8n/install")
	programs, errServers := backing.Find(t.Context(), "../tools")
	err := errors.Join(errN8N, errServers)
	if (errors.Is(err, lab.ErrNoN8N) || errors.Is(err, backing.ErrMissing)) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED in queue mode: %v", err)
	}
	must(t, "looking for the parts", err)
	q.install = install
	return programs
}

// makeFolder makes one that PostgreSQL's user can pass through, which it cannot with the testing package's own.
func (q *queueScene) makeFolder(t *testing.T) (err error) {
	if q.folder, err = os.MkdirTemp("", "sallyport-queue-"); err != nil { //nolint:usetesting // see above
		return err
	}
	t.Cleanup(func() { os.RemoveAll(q.folder) })
	return os.Chmod(q.folder, 0o711)
}

// sub makes a folder below the scene's.
func (q *queueScene) sub(name string) string {
	path := filepath.Join(q.folder, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		panic(err) // in a folder that was made a moment ago
	}
	return path
}

func (q *queueScene) startAPI(t *testing.T) (err error) {
	if q.api, err = standin.Start(string(q.apiKey)); err != nil {
		return err
	}
	t.Cleanup(q.api.Down)
	return os.WriteFile(filepath.Join(q.folder, "api-ca.pem"), q.api.CA(), 0o600)
}

func (q *queueScene) startServers(t *testing.T, programs backing.Programs) (err error) {
	t.Cleanup(func() { q.takeDown(t) })
	if q.redis, err = backing.StartRedis(t.Context(), programs.Redis, q.sub("redis"),
		string(q.secrets["redis_password"])); err != nil {
		return err
	}
	q.postgres, err = backing.StartPostgres(t.Context(), programs.Postgres, q.sub("postgres"), "n8n",
		string(q.secrets["db_password"]))
	return err
}

// takeDown ends the servers that were started, and keeps what they said of a failure.
func (q *queueScene) takeDown(t *testing.T) {
	servers := map[string]*process.Process{}
	if q.redis != nil {
		q.redis.Down()
		servers["redis"] = q.redis.Process
	}
	if q.postgres != nil {
		q.postgres.Down()
		servers["postgres"] = q.postgres.Process
	}
	if q.vault != nil {
		q.vault.Down()
		servers["vault"] = q.vault.Process
	}
	for name, server := range servers {
		if t.Failed() {
			keep(t, name+".log", server.Log())
		}
	}
}

// configure fills Vault and writes a configuration for each process: the three open Vault in three ways.
func (q *queueScene) configure(t *testing.T) error {
	ctx := t.Context()
	err := errors.Join(
		q.vault.Mount(ctx, vaultMount),
		q.vault.Policy(ctx, vaultMount, vaultPath),
		q.put(t, "blue"),
	)
	if err != nil {
		return err
	}
	token, errToken := q.vault.Token(ctx)
	other, errOther := q.vault.Token(ctx)
	role, secretID, errRole := q.vault.AppRole(ctx)
	q.entrance = map[string]string{"main's token": token, "one's token": other, "two's secret id": secretID}
	tokenFile := filepath.Join(t.TempDir(), "token") // the operator's, not below the processes' folders
	return errors.Join(errToken, errOther, errRole,
		os.WriteFile(tokenFile, []byte(other+"\n"), 0o600),
		q.store("main", "{token_env: VAULT_TOKEN}"),
		q.store("one", fmt.Sprintf("{token_file: %q}", tokenFile)),
		q.store("two", fmt.Sprintf("{approle: {role_id: %q, secret_id_env: CORP_SECRET_ID}}", role)),
	)
}

// put writes all secrets but those without, and the label.
func (q *queueScene) put(t *testing.T, label string, without ...string) error {
	fields := map[string]string{"label": label}
	for name, canary := range q.secrets {
		if !slices.Contains(without, name) {
			fields[name] = string(canary)
		}
	}
	return q.vault.Put(t.Context(), vaultMount, vaultPath, fields)
}

func (q *queueScene) store(name, auth string) error {
	text := fmt.Sprintf("stores:\n  corp: {kind: vault, address: %q, refresh: 1s, auth: %s}\n", q.vault.Address, auth)
	return os.WriteFile(filepath.Join(q.sub("sallyport"), name+".yaml"), []byte(text), 0o600)
}

// variables are those that are references, by the field that each is about.
func variables() map[string]string {
	return map[string]string{
		"master_key": "N8N_ENCRYPTION_KEY", "db_password": "DB_POSTGRESDB_PASSWORD",
		"redis_password": "QUEUE_BULL_REDIS_PASSWORD",
	}
}

// process is how one of the three is started: through sallyport, with references in its environment.
func (q *queueScene) process(name string, flags []string, more ...string) lab.Setup {
	settings := append(q.settings(name), labelVariable+"="+reference("label"))
	for field, variable := range variables() {
		settings = append(settings, variable+"="+reference(field))
	}
	run := []string{q.binary, "run", "--config", filepath.Join(q.folder, "sallyport", name+".yaml")}
	return lab.Setup{
		Install: q.install, Folder: q.sub(name), Settings: append(settings, more...),
		Through: slices.Concat(run, flags, []string{"--"}),
	}
}

// settings are what is no secret of a process's environment.
func (q *queueScene) settings(name string) []string {
	return []string{
		"EXECUTIONS_MODE=queue", "DB_TYPE=postgresdb",
		"DB_POSTGRESDB_HOST=127.0.0.1", "DB_POSTGRESDB_PORT=" + q.postgres.Port, "DB_POSTGRESDB_DATABASE=n8n", "DB_POSTGRESDB_USER=n8n",
		"QUEUE_BULL_REDIS_HOST=127.0.0.1", "QUEUE_BULL_REDIS_PORT=" + q.redis.Port,
		"NODE_EXTRA_CA_CERTS=" + filepath.Join(q.folder, "api-ca.pem"), "TMPDIR=" + q.sub(name+"/tmp"),
	}
}

func reference(field string) string {
	return "ref+corp://" + vaultMount + "/" + vaultPath + "#" + field
}

// startN8N starts the main process, then both workers, and makes the workflows.
func (q *queueScene) startN8N(t *testing.T) {
	var err error
	q.main, err = q.process("main", nil, "VAULT_TOKEN="+q.entrance["main's token"]).Start(t.Context())
	must(t, "starting n8n", err)
	q.one, err = q.process("one", nil).NewWorker()
	must(t, "making a worker", err)
	q.two, err = q.process("two", []string{"--watch", "--grace", "60s"},
		"CORP_SECRET_ID="+q.entrance["two's secret id"]).NewWorker()
	must(t, "making a worker", err)
	for _, worker := range []*lab.Worker{q.one, q.two} {
		must(t, "starting a worker", worker.Launch(t.Context()))
	}
	for _, worker := range []*lab.Worker{q.one, q.two} {
		must(t, "waiting for a worker", worker.AwaitReady(t.Context()))
	}
	credential, err := q.main.NewCredential(t.Context(), "API", "httpHeaderAuth",
		map[string]any{"name": "X-Api-Key", "value": string(q.apiKey)})
	must(t, "making the credential", err)
	call := func(path string) lab.Node {
		return lab.HTTPRequest("Call", http.MethodGet, q.api.URL()+path, credential, nil)
	}
	q.held, err = q.main.NewWorkflow(t.Context(), "held", call(heldPath))
	must(t, "making a workflow", err)
	q.quick, err = q.main.NewWorkflow(t.Context(), "quick", call("/v1/pages?page=1"))
	must(t, "making a workflow", err)
}

const heldPath = "/v1/items"

// stop ends n8n, in the order of a person: the workers finish what they have begun.
func (q *queueScene) stop() {
	for _, worker := range []*lab.Worker{q.one, q.two} {
		if worker != nil {
			worker.Stop()
		}
	}
	if q.main != nil {
		q.main.Stop()
	}
}

// logs is what the processes have written to stdout and stderr.
func (q *queueScene) logs() map[string][]byte {
	logs := map[string][]byte{}
	if q.main != nil {
		logs["main.log"] = q.main.Log()
	}
	for name, worker := range map[string]*lab.Worker{"one.log": q.one, "two.log": q.two} {
		if worker != nil {
			logs[name] = worker.Log()
		}
	}
	return logs
}

func (q *queueScene) keepLogs(t *testing.T) {
	logs := q.logs()
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		keep(t, name, logs[name])
	}
}
