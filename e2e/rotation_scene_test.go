package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/e2e/backing"
	"sallyport/e2e/gate"
	"sallyport/e2e/lab"
	"sallyport/e2e/process"
	"sallyport/e2e/standin"
	"sallyport/e2e/turnstile"
)

// What `sallyport rotate` ends with (docs/rotation.md).
const (
	exitError      = 1
	exitRolledBack = 15
)

// A rotated scene is what every rotation needs: an API that issues keys, a real Vault that has them, and the real gate
// between. What a test stops on its way it stops at the API's turnstile or at Vault's.
type rotated struct {
	folder string // of what the processes write, but for the gate
	tokens string // what opens Vault, beside all that is searched
	binary string

	admin   lab.Canary // what the API lets make keys with
	api     *standin.Issuing
	vault   *backing.Vault
	toVault turnstile.Turnstile
	door    *httptest.Server // Vault behind its turnstile
	gate    *gate.Gate
	gates   []*process.Process // every process that has served
	said    map[string][]byte  // what commands have printed
}

// newRotated starts the API and Vault, and makes a gate that does not serve yet.
func newRotated(t *testing.T, vault, folder string) *rotated {
	t.Helper()
	r := &rotated{folder: folder, tokens: t.TempDir(), admin: lab.NewCanary("ad"), said: map[string][]byte{}}
	r.api = standin.StartIssuing(string(r.admin), func() string { return string(lab.NewCanary("ik")) })
	t.Cleanup(r.api.Close)
	var err error
	r.binary, err = gate.Build(t.Context(), "..", t.TempDir())
	must(t, "building", err)
	r.vault, err = backing.StartVault(t.Context(), vault, r.sub("vault"))
	must(t, "starting Vault", err)
	t.Cleanup(func() {
		r.vault.Down()
		if t.Failed() {
			keep(t, "vault.log", r.vault.Log())
		}
	})
	r.door, err = r.toVault.Proxy(r.vault.Address)
	must(t, "putting a turnstile before Vault", err)
	t.Cleanup(r.door.Close)
	r.gate, err = gate.New(t.Context(), r.binary, t.TempDir())
	must(t, "setting the gate up", err)
	must(t, "preparing Vault", r.prepareVault(t.Context()))
	must(t, "writing the API's CA", os.WriteFile(r.file("api-ca.pem"), r.api.CA(), 0o600))
	definition := []byte(standin.IssuingDefinition)
	must(t, "writing the API's definition", os.WriteFile(r.file("issuing.yaml"), definition, 0o600))
	return r
}

// skipMissing skips the test where a part cannot be obtained, loudly, and never in CI.
func skipMissing(t *testing.T, what string, err error) {
	t.Helper()
	if (errors.Is(err, lab.ErrNoN8N) || errors.Is(err, backing.ErrMissing)) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED: %s: %v", what, err)
	}
	must(t, "looking for the parts", err)
}

// file is one beside the gate's configuration.
func (r *rotated) file(name string) string { return filepath.Join(r.gate.Folder, name) }

// sub makes a folder below the scene's.
func (r *rotated) sub(name string) string {
	path := filepath.Join(r.folder, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		panic(err) // in a folder that was made a moment ago
	}
	return path
}

// gatePolicy is that of docs/stores/vault.md for whoever writes.
const gatePolicy = `
path "secret/data/n8n/*"     { capabilities = ["read", "create", "update"] }
path "secret/metadata/n8n/*" { capabilities = ["read", "list"] }
path "secret/destroy/n8n/*"  { capabilities = ["update"] }
`

func (r *rotated) prepareVault(ctx context.Context) error {
	if err := r.vault.Mount(ctx, "secret"); err != nil {
		return err
	}
	token, err := r.vault.TokenWith(ctx, "gate", gatePolicy)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.tokens, "gate"), []byte(token), 0o600)
}

// stores is how the gate gets at Vault.
func (r *rotated) stores() string {
	return fmt.Sprintf("stores:\n  corp: {kind: vault, address: %q, refresh: 1s, auth: {token_file: %q}}\n", r.door.URL,
		filepath.Join(r.tokens, "gate"))
}

// account is an account at the API whose key is rotated: its service, and its rotation with more settings.
func (r *rotated) account(name, more string) (service, rotation string) {
	service = fmt.Sprintf("  %s: {upstream: %q, ca_file: ./api-ca.pem, allow_private: [127.0.0.1/32], "+
		"credential: {kind: bearer, secret: \"ref+corp://secret/n8n/%[1]s#key\"}}\n", name, r.api.URL())
	rotation = fmt.Sprintf("  %s:\n    secret: \"ref+corp://secret/n8n/%[1]s#key\"\n"+
		"    driver: {kind: http, file: ./issuing.yaml, service: keys, parameters: {account: %[1]s}}\n"+
		"    test: {service: %[1]s, path: /v1/accounts/%[1]s/items}\n    grace: 1m\n%s", name, more)
	return service, rotation
}

// keys is the service by which keys are made.
func (r *rotated) keys() string {
	return fmt.Sprintf("  keys: {upstream: %q, ca_file: ./api-ca.pem, allow_private: [127.0.0.1/32], "+
		"credential: {kind: bearer, secret: ref+corp://secret/n8n/administrator}}\n", r.api.URL())
}

// put writes a secret into Vault as an operator does.
func (r *rotated) put(t *testing.T, name, value string) {
	t.Helper()
	_, err := r.gate.Run(t.Context(), value, "secret", "set", "--store", "corp", "secret/n8n/"+name)
	must(t, "writing a secret", err)
}

// enrol makes the first key of accounts by hand, and puts it into Vault.
func (r *rotated) enrol(t *testing.T, accounts ...string) {
	t.Helper()
	r.put(t, "administrator", string(r.admin))
	for _, account := range accounts {
		r.put(t, account, fmt.Sprintf(`{"key": %q}`, r.api.Issue(account).Value))
	}
}

func (r *rotated) serve(t *testing.T) {
	t.Helper()
	must(t, "starting the gate", r.gate.Serve(t.Context()))
	r.gates = append(r.gates, r.gate.Served())
}

// takeDown ends the gate, and keeps what it said of a failure.
func (r *rotated) takeDown(t *testing.T) {
	r.gate.Stop()
	if t.Failed() {
		keep(t, "sallyport.log", r.log())
	}
}

// log is what every process of the gate has written.
func (r *rotated) log() (all []byte) {
	for _, p := range r.gates {
		all = append(all, p.Log()...)
	}
	return all
}

// sallyport runs a command and wants it to end with exit. What it prints is kept for the search, and returned.
func (r *rotated) sallyport(t *testing.T, exit int, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, err := r.gate.Run(t.Context(), "", args...)
	code := 0
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		code = ended.ExitCode()
	}
	if err != nil {
		stderr = err.Error()
	}
	r.said[fmt.Sprintf("command %d: %s", len(r.said)+1, strings.Join(args, " "))] = []byte(stdout + stderr)
	if code != exit {
		t.Fatalf("sallyport %s ended with %d, want %d\n%s%s", strings.Join(args, " "), code, exit, stdout, stderr)
	}
	return stdout, stderr
}

// again has a pipeline ask for its run once more, with the script of docs/rotation.md: the gate may be at it already.
func (r *rotated) again(t *testing.T, exit int, rotation, id string) {
	t.Helper()
	script, err := filepath.Abs("../deploy/ci/rotate.sh")
	must(t, "looking for the script", err)
	said, code := r.gate.Script(t.Context(), []string{"PAUSE=1", "ATTEMPTS=100"}, script, rotation, id)
	r.said[fmt.Sprintf("command %d: rotate.sh", len(r.said)+1)] = []byte(said)
	if code != exit {
		t.Errorf("the job of %s that is repeated ended with %d, want %d: %s", rotation, code, exit, said)
	}
}

// standing is what of `rotation status --json` the tests look at.
type standing struct {
	Run, State, Step string
	OldKey           string `json:"old_key"`
	NewKey           string `json:"new_key"`
	LastError        string `json:"last_error"`
	Hint             string
	Left             string
	Waiting          []string
	Notes            []string
}

func (r *rotated) status(t *testing.T, rotation string) (s standing) {
	t.Helper()
	out, _ := r.sallyport(t, 0, "rotation", "status", rotation, "--json")
	must(t, "reading the status", json.Unmarshal([]byte(out), &s))
	return s
}

// awaitStatus asks how a rotation stands until it is so.
func (r *rotated) awaitStatus(t *testing.T, rotation, what string, isSo func(standing) bool) (s standing) {
	t.Helper()
	err := r.gate.Served().Await(t.Context(), retiredWithin, func() bool {
		s = r.status(t, rotation)
		return isSo(s)
	})
	if err != nil {
		t.Fatalf("waiting until rotation %s %s: %v\nit stands at %+v", rotation, what, err, s)
	}
	return s
}

// retiredWithin is longer than it takes to see that nobody has used an old key for a minute, the shortest grace.
const retiredWithin = 4 * time.Minute

// retired waits until the run of each rotation has ended well, and then wants one key alive at the API, which is the
// one that Vault has and was not there before, and nothing that no run accounts for.
func (r *rotated) retired(t *testing.T, accounts ...string) {
	t.Helper()
	for _, account := range accounts {
		s := r.awaitStatus(t, account, "has ended", func(s standing) bool { return s.State == "done" })
		if s.Left != "" {
			t.Errorf("rotation %s has left something: %s", account, s.Left)
		}
		r.oneKey(t, account, s.NewKey)
		r.sallyport(t, 0, "rotation", "sweep", account)
	}
}

// oneKey wants the account to have one key that is alive, this one, and Vault to have its value.
func (r *rotated) oneKey(t *testing.T, account, id string) {
	t.Helper()
	var live []standin.IssuedKey
	for _, k := range r.api.Keys(account) {
		if !k.Deleted {
			live = append(live, k)
		}
	}
	if len(live) != 1 || live[0].ID != id || live[0].Dead {
		t.Errorf("account %s has %d live keys (%s), want %s alone", account, len(live), names(live), id)
		return
	}
	value, err := r.vault.Get(t.Context(), "secret", "n8n/"+account)
	must(t, "reading Vault", err)
	if value["key"] != live[0].Value {
		t.Errorf("Vault has another value for %s than that of key %s", account, id)
	}
}

func names(keys []standin.IssuedKey) string {
	var list []string
	for _, k := range keys {
		list = append(list, k.ID+" "+k.Label)
	}
	return strings.Join(list, ", ")
}

// noGap wants no call of n8n's or of the test's to have met a key that was not alive.
func (r *rotated) noGap(t *testing.T, accounts ...string) {
	t.Helper()
	for _, account := range accounts {
		for _, k := range r.api.Keys(account) {
			if k.Refused > 0 && !k.Dead {
				t.Errorf("key %s of account %s was used %d times after its end", k.ID, account, k.Refused)
			}
		}
	}
	if n := r.api.Strange(); n > 0 {
		t.Errorf("the API has seen %d calls with what never was a key", n)
	}
}

// quiet searches all that was printed and written for what is secret, and adds to found what it has searched beside.
func (r *rotated) quiet(t *testing.T, secrets map[string]lab.Canary, found map[string][]byte) {
	t.Helper()
	r.gate.Stop()
	found["the gate's output"] = r.log()
	maps.Copy(found, r.said)
	must(t, "collecting what the gate wrote", readAll(r.gate.Folder, found))
	all := map[string]lab.Canary{"the administrator's key": r.admin}
	maps.Copy(all, secrets)
	for _, k := range r.api.Keys("") {
		all[k.ID+" of "+k.Account] = lab.Canary(k.Value)
	}
	for name, content := range found {
		for what, secret := range all {
			if form, leaked := secret.In(content); leaked {
				t.Errorf("%s is in %s (%s)", what, name, form)
			}
		}
	}
	t.Logf("searched %d outputs and files for %d secrets", len(found), len(all))
}
