//go:build story

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/e2e/backing"
	"sallyport/e2e/lab"
	"sallyport/e2e/process"
	"sallyport/e2e/units"
)

// accounts are those whose keys n8n's workflows use, all of them in each execution.
func accounts() []string { return []string{"api", "second", "third"} }

// nodes are n8n's processes, in the order in which they are restarted.
func nodes() []string { return []string{"worker-1", "worker-2", "main"} }

// A rotatedFleet is n8n in queue mode as units of a fleet, each with its secrets from Vault, and a load of workflows
// that call through the gate.
type rotatedFleet struct {
	*rotated

	install  string // n8n's
	postgres *backing.Postgres
	redis    *backing.Redis
	secrets  map[string]lab.Canary // that no rotation changes, and the first ones of those that one does

	units      *units.Manager
	main       *lab.N8N
	workers    map[string]*lab.Worker
	credential lab.Credential // with the proxy token
	apiKey     string         // Sallyport's, for n8n
	load       *lab.Load
	stopped    bool // n8n was stopped as a whole
}

func newRotatedFleet(t *testing.T) *rotatedFleet {
	t.Helper()
	install, errN8N := lab.FindN8N(t.Context(), "../tools/n8n/install")
	programs, errServers := backing.Find(t.Context(), "../tools")
	skipMissing(t, "rotations with n8n", errors.Join(errN8N, errServers))
	// PostgreSQL's user has to pass through, which it cannot with the testing package's own.
	folder, err := os.MkdirTemp("", "sallyport-rotation-") //nolint:usetesting // see above
	must(t, "making a folder", err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	must(t, "opening a folder", os.Chmod(folder, 0o711))
	f := &rotatedFleet{
		rotated: newRotated(t, programs.Vault, folder), install: install, workers: map[string]*lab.Worker{},
		secrets: map[string]lab.Canary{
			"n8n's first master key": lab.NewCanary("mk"), "the owner's password": lab.NewCanary("db"),
			"the administrator's password": lab.NewCanary("pa"), "the first login's password": lab.NewCanary("pl"),
			"the password of Redis": lab.NewCanary("rd"),
		},
	}
	f.api.Takes = 100 * time.Millisecond
	t.Cleanup(func() { f.takeAllDown(t) })
	f.redis, err = backing.StartRedis(t.Context(), programs.Redis, f.sub("redis"),
		string(f.secrets["the password of Redis"]))
	must(t, "starting Redis", err)
	f.postgres, err = backing.StartPostgres(t.Context(), programs.Postgres, f.sub("postgres"), "n8n",
		string(f.secrets["the owner's password"]))
	must(t, "starting PostgreSQL", err)
	must(t, "making logins", f.postgres.Execute(t.Context(), "n8n", f.logins()))
	return f
}

// logins are those of docs/drivers/postgres.md: two that take turns and act as their owner, and who changes them.
func (f *rotatedFleet) logins() string {
	return fmt.Sprintf(`
CREATE ROLE n8n_a LOGIN PASSWORD '%s' IN ROLE n8n;
ALTER ROLE n8n_a SET role = 'n8n';
CREATE ROLE n8n_b NOLOGIN IN ROLE n8n;
ALTER ROLE n8n_b SET role = 'n8n';
CREATE ROLE sallyport LOGIN CREATEROLE PASSWORD '%s';
GRANT n8n_a, n8n_b TO sallyport WITH ADMIN OPTION;
`, f.secrets["the first login's password"], f.secrets["the administrator's password"])
}

func (f *rotatedFleet) takeAllDown(t *testing.T) {
	if f.load != nil {
		f.load.Stop()
	}
	f.takeDown(t)
	logs := map[string][]byte{}
	for _, name := range []string{"worker-1", "worker-2"} {
		if w := f.workers[name]; w != nil && w.Process != nil {
			w.Stop()
			logs[name+".log"] = w.Log()
		}
	}
	if f.main != nil {
		f.main.Stop()
		logs["main.log"] = f.main.Log()
	}
	if f.units != nil {
		f.units.Close()
	}
	if f.postgres != nil {
		f.postgres.Down()
		logs["postgres.log"] = f.postgres.Log()
	}
	if f.redis != nil {
		f.redis.Down()
	}
	for name, log := range logs {
		if t.Failed() {
			keep(t, name, log)
		}
	}
}

// start brings everything up: the first secrets into Vault, n8n, the gate, a token in n8n.
func (f *rotatedFleet) start(t *testing.T) {
	must(t, "configuring", f.gate.Configure(f.stores()))
	f.enrol(t, accounts()...)
	f.put(t, "master", string(f.secrets["n8n's first master key"]))
	password := string(f.secrets["the first login's password"])
	f.put(t, "database", fmt.Sprintf(`{"user": "n8n_a", "password": %q}`, password))
	f.put(t, "postgres", string(f.secrets["the administrator's password"]))
	f.put(t, "redis", string(f.secrets["the password of Redis"]))
	f.startN8N(t)
	key, err := f.main.NewAPIKey(t.Context(), "sallyport", "credential:update")
	must(t, "making an API key", err)
	f.put(t, "n8n-api", key)
	f.apiKey = key
	f.credential, err = f.main.NewCredential(t.Context(), "Sallyport gate", "httpHeaderAuth",
		map[string]any{"name": tokenHeader, "value": "not-yet"})
	must(t, "making the credential", err)
	must(t, "configuring", f.gate.Configure(f.configuration()))
	_, err = f.gate.Run(t.Context(), "", "token", "issue", "n8n")
	must(t, "issuing a token", err)
	f.serve(t)
	f.sallyport(t, 0, "token", "rotate", "n8n", "--push", "n8n")
	f.startLoad(t)
}

// startN8N starts main and both workers as units.
func (f *rotatedFleet) startN8N(t *testing.T) {
	t.Helper()
	token, err := f.vault.TokenWith(t.Context(), "nodes", `path "secret/data/n8n/*" { capabilities = ["read"] }`)
	must(t, "making the nodes' token", err)
	must(t, "writing the nodes' token", os.WriteFile(filepath.Join(f.tokens, "nodes"), []byte(token), 0o600))
	config := fmt.Sprintf("stores:\n  corp: {kind: vault, address: %q, auth: {token_file: %q}}\n", f.vault.Address,
		filepath.Join(f.tokens, "nodes"))
	file := filepath.Join(f.sub("nodes"), "sallyport.yaml")
	must(t, "configuring the nodes", os.WriteFile(file, []byte(config), 0o600))
	f.units, err = units.New(t.Context(), f.sub("units"))
	must(t, "managing units", err)
	f.main, err = f.node("main").Start(t.Context())
	must(t, "starting n8n", err)
	f.unit("main", f.main.Launch, f.main.Stop, func() *process.Process { return f.main.Process })
	for _, name := range []string{"worker-1", "worker-2"} {
		w, err := f.node(name).NewWorker()
		must(t, "making a worker", err)
		f.workers[name] = w
		f.unit(name, w.Launch, w.Stop, func() *process.Process { return w.Process })
		must(t, "starting a worker", w.Launch(t.Context()))
	}
	for _, w := range f.workers {
		must(t, "waiting for a worker", w.AwaitReady(t.Context()))
	}
}

// node is how one of n8n's processes is started: by `sallyport run`, with references in the place of secrets.
func (f *rotatedFleet) node(name string) lab.Setup {
	secret := func(variable, of string) string { return variable + "=ref+corp://secret/n8n/" + of }
	return lab.Setup{
		Install: f.install, Folder: f.sub(name),
		Through: []string{f.binary, "run", "--config", filepath.Join(f.folder, "nodes", "sallyport.yaml"), "--"},
		Settings: []string{
			"EXECUTIONS_MODE=queue", "DB_TYPE=postgresdb", "DB_POSTGRESDB_HOST=127.0.0.1",
			"DB_POSTGRESDB_PORT=" + f.postgres.Port, "DB_POSTGRESDB_DATABASE=n8n",
			secret("DB_POSTGRESDB_USER", "database#user"), secret("DB_POSTGRESDB_PASSWORD", "database#password"),
			"QUEUE_BULL_REDIS_HOST=127.0.0.1", "QUEUE_BULL_REDIS_PORT=" + f.redis.Port,
			secret("QUEUE_BULL_REDIS_PASSWORD", "redis"), secret("N8N_ENCRYPTION_KEY", "master"),
			"NODE_EXTRA_CA_CERTS=" + f.gate.CA, "TMPDIR=" + f.sub(name+"/tmp"),
		},
	}
}

func (f *rotatedFleet) unit(name string, start func(context.Context) error, stop func(),
	running func() *process.Process,
) {
	pid := func() int {
		p := running()
		if p == nil {
			return 0
		}
		select {
		case <-p.Exited():
			return 0
		default:
			return p.ID()
		}
	}
	f.units.Add(name, units.Unit{
		Start: start, Stop: stop, PID: pid,
		Healthy: func(context.Context) bool { return true }, // the fleet asks n8n itself
	})
}

// configuration is sallyport.yaml: three keys, a database login and a proxy token that rotate, and what is restarted.
func (f *rotatedFleet) configuration() string {
	services, rotations := f.keys(), ""
	for name, more := range map[string]string{
		"api": "", "second": "    restart: [workers]\n", "third": "    restart: [hasty]\n",
	} {
		service, rotation := f.account(name, more)
		services, rotations = services+service, rotations+rotation
	}
	rotations += fmt.Sprintf(`  database:
    secret: ref+corp://secret/n8n/database
    driver:
      kind: postgres
      address: 127.0.0.1:%s
      database: n8n
      tls: off
      users: [n8n_a, n8n_b]
      owner: n8n
      admin_user: sallyport
      admin_password: ref+corp://secret/n8n/postgres
    restart: [n8n]
    grace: 1m
`, f.postgres.Port)
	return f.stores() + "services:\n" + services + "tokens:\n  n8n:\n    services: [" + strings.Join(accounts(), ", ") +
		"]\n    rotate: {every: 24h, overlap: 1h, push: {n8n: {url: " + f.main.URL +
		", api_key: ref+corp://secret/n8n/n8n-api, credential: " + f.credential.ID + ", gate: " +
		f.gate.URL + "}}}\nrotations:\n" + rotations + "fleets:\n" +
		f.fleet("n8n", "4m", nodes()) + f.fleet("workers", "4m", nodes()[:2]) + f.fleet("hasty", "10s", nodes()[:1])
}

// fleet is a fleet of units that are healthy when their n8n says so.
func (f *rotatedFleet) fleet(name, timeout string, units []string) string {
	text := fmt.Sprintf("  %s:\n    kind: command\n    timeout: %s\n    settle: 1s\n    health:\n", name, timeout)
	for _, unit := range units {
		at := f.main.URL
		if w := f.workers[unit]; w != nil {
			at = w.URL
		}
		text += fmt.Sprintf("      %s: %q\n", unit, at)
	}
	text += "    units:\n"
	for _, unit := range units {
		text += fmt.Sprintf("      - name: %s\n        node: \"exec:%s %[1]s\"\n", unit, f.units.Inside)
		for _, do := range []string{"restart", "status", "stop", "start"} {
			text += fmt.Sprintf("        %s: [%q, %[1]s, %[3]s]\n", do, f.units.Control, unit)
		}
	}
	return text
}

// startLoad has workflows executed all the time, each of which uses every key. They are more than the workers can
// execute at once, so that none is ever idle: one that is takes another execution while it stops, with n8n 2.41, and
// fails it (docs/fleet.md).
func (f *rotatedFleet) startLoad(t *testing.T) {
	t.Helper()
	var workflows []*lab.Workflow
	for _, name := range []string{"orders", "invoices", "reports", "tickets", "leads", "payments"} {
		var steps []lab.Node
		for _, account := range accounts() {
			steps = append(steps, lab.HTTPRequest("Call "+account, http.MethodGet,
				f.gate.URL+"/s/"+account+"/v1/accounts/"+account+"/items", f.credential, map[string]any{
					"sendHeaders": true, "headerParameters": parameters("X-Sallyport-Workflow", "={{ $workflow.name }}",
						"X-Sallyport-Execution", "={{ $execution.id }}"),
				}), lab.Limit("Once "+account))
		}
		w, err := f.main.NewWorkflow(t.Context(), name, steps...)
		must(t, "making a workflow", err)
		workflows = append(workflows, w)
	}
	f.load = f.main.NewLoad(t.Context(), workflows...)
	f.goOn(t, 6)
}

// goOn waits until so many more executions have succeeded.
func (f *rotatedFleet) goOn(t *testing.T, more int) {
	t.Helper()
	before := f.load.Counts().Succeeded
	err := f.main.Await(t.Context(), 2*time.Minute, func() bool { return f.load.Counts().Succeeded >= before+more })
	if err != nil {
		t.Fatalf("waiting for %d more executions: %v; %v by now", more, err, f.load.Counts())
	}
}

// executions counts n8n's executions by how they stand, as its database has them.
func (f *rotatedFleet) executions(t *testing.T) map[string]int {
	t.Helper()
	rows, err := f.postgres.Query(t.Context(), "n8n", `SELECT status, count(*) FROM execution_entity GROUP BY status`)
	must(t, "counting executions", err)
	counts := map[string]int{}
	for _, row := range rows {
		var status string
		var n int
		if _, err := fmt.Sscan(row, &status, &n); err != nil {
			t.Fatalf("reading %q: %v", row, err)
		}
		counts[status] = n
	}
	return counts
}

// mayCrash is how many executions n8n may mark as crashed when it is stopped as a whole. n8n 2.41 does so by itself
// with what a webhook brings in the instant in which its main process is told to stop; docs/fleet.md names it.
const mayCrash = 2

// noneFailed wants no execution to have ended but well, save those few that n8n itself has given up as it was stopped.
func (f *rotatedFleet) noneFailed(t *testing.T) {
	t.Helper()
	for status, n := range f.executions(t) {
		switch status {
		case "success", "running", "new", "waiting":
		case "crashed":
			if !f.stopped || n > mayCrash {
				t.Errorf("%d executions have crashed", n)
			}
			t.Logf("n8n marked %d executions as crashed when it was stopped", n)
		default:
			rows, err := f.postgres.Query(t.Context(), "n8n", `SELECT id, status, "startedAt", "stoppedAt" FROM
				execution_entity WHERE status NOT IN ('success', 'running', 'new', 'waiting')`)
			t.Errorf("%d executions stand at %q: %q %v", n, status, rows, err)
		}
	}
}

// databaseFile has the address of n8n's database with the owner's password.
func (f *rotatedFleet) databaseFile(t *testing.T) string {
	t.Helper()
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword("n8n", string(f.secrets["the owner's password"])),
		Host: "127.0.0.1:" + f.postgres.Port, Path: "/n8n", RawQuery: "sslmode=disable",
	}
	file := filepath.Join(t.TempDir(), "database.url")
	must(t, "writing the database's address", os.WriteFile(file, []byte(address.String()), 0o600))
	return file
}

// leftovers are all outputs of n8n's processes, and everything in its database.
func (f *rotatedFleet) leftovers(t *testing.T) map[string][]byte {
	t.Helper()
	dump, err := f.postgres.Dump(t.Context(), "n8n")
	must(t, "dumping the database", err)
	found := map[string][]byte{
		"n8n's database": dump, "main's output": f.main.Log(), "the output of PostgreSQL": f.postgres.Log(),
		"the output of Vault": f.vault.Log(), "the output of Redis": f.redis.Log(),
	}
	for name, w := range f.workers {
		found[name+"'s output"] = w.Log()
	}
	return found
}
