package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/e2e/backing"
	"sallyport/e2e/process"
	"sallyport/e2e/standin"
	"sallyport/e2e/turnstile"
	"sallyport/e2e/units"
)

// A moment is a step of a run at which the gate is killed, each in a rotation of its own. hold has the step stopped and
// tells when it is.
type moment struct {
	step    string
	account string
	exit    int // of the same `sallyport rotate` afterwards
	hold    func(t *testing.T) (reached <-chan struct{}, release func())
}

// A killing is a gate that is killed, again and again, with a consumer of every key that calls all the time.
type killing struct {
	*rotated

	moments  []moment
	units    *units.Manager
	consumer atomic.Pointer[process.Process]
	held     atomic.Pointer[held]

	answered, failed atomic.Int64
}

// held is what the consumer's next start waits for.
type held struct {
	reached chan struct{}
	release chan struct{}
}

// TestRotationKilled: a gate is killed with SIGKILL at every step of a run, in eight runs. Each goes on in the next
// process and ends as it would have, no key is left over at the provider, and whoever called while a gate was there got
// an answer.
func TestRotationKilled(t *testing.T) {
	t.Parallel()
	vault, err := backing.FindVault(t.Context(), "../tools")
	skipMissing(t, "rotations with Vault", err)
	k := &killing{rotated: newRotated(t, vault, t.TempDir())}
	t.Cleanup(func() { k.takeDown(t) })
	k.prepare(t)
	stop := k.callAll(t)
	for i := range k.moments {
		m := &k.moments[i]
		began := time.Now()
		k.killAt(t, m)
		t.Logf("killed at %-8s %5.1f s", m.step, time.Since(began).Seconds())
	}
	k.end(t, stop)
}

// prepare makes an account for each step, and a fleet of one process.
func (k *killing) prepare(t *testing.T) {
	t.Helper()
	api := func(method, path string, when turnstile.When) func(*testing.T) (<-chan struct{}, func()) {
		return func(*testing.T) (<-chan struct{}, func()) {
			s := k.api.Stop(method, path, when)
			return s.Reached, s.Release
		}
	}
	store := func(path string) func(*testing.T) (<-chan struct{}, func()) {
		return func(*testing.T) (<-chan struct{}, func()) {
			s := k.toVault.Stop(http.MethodPost, path, turnstile.After)
			return s.Reached, s.Release
		}
	}
	k.moments = []moment{
		{"create", "create", 0, api(http.MethodPost, "/v1/accounts/create/keys", turnstile.After)},
		{"set", "set", 0, store("/v1/secret/data/n8n/set-pending")},
		{"test", "test", 0, k.holdTest},
		{"promote", "promote", 0, store("/v1/secret/data/n8n/promote")},
		{"spread", "spread", 0, k.holdSpread},
		{"restart", "restart", 0, k.holdRestart},
		{"undo", "undo", exitRolledBack, api(http.MethodDelete, "/v1/accounts/undo/keys/*", turnstile.After)},
		{"retire", "retire", 0, api(http.MethodDelete, "/v1/accounts/retire/keys/*", turnstile.After)},
	}
	var services, rotations strings.Builder
	services.WriteString(k.keys())
	var accounts []string
	for _, m := range k.moments {
		more := ""
		if m.account == "restart" {
			more = "    restart: [consumers]\n"
		}
		service, rotation := k.account(m.account, more)
		services.WriteString(service)
		rotations.WriteString(rotation)
		accounts = append(accounts, m.account)
	}
	k.manage(t)
	fleet := fmt.Sprintf("fleets:\n  consumers:\n    kind: command\n    settle: 1s\n    units:\n      - "+
		"{name: consumer, restart: [%q, restart, consumer], status: [%[1]q, status, consumer]}\n", k.units.Control)
	must(t, "configuring", k.gate.Configure(k.stores()+"services:\n"+services.String()+"tokens:\n  n8n: {services: ["+
		strings.Join(accounts, ", ")+"]}\nrotations:\n"+rotations.String()+fleet))
	k.enrol(t, accounts...)
	k.serve(t)
}

func (k *killing) manage(t *testing.T) {
	t.Helper()
	var err error
	k.units, err = units.New(t.Context(), k.sub("units"))
	must(t, "managing units", err)
	t.Cleanup(k.units.Close)
	stop := func() {
		if p := k.consumer.Swap(nil); p != nil {
			p.Stop(syscall.SIGKILL)
		}
	}
	t.Cleanup(stop)
	k.units.Add("consumer", units.Unit{
		Start: func(ctx context.Context) error {
			if h := k.held.Swap(nil); h != nil {
				close(h.reached)
				<-h.release
			}
			p, err := process.Start(exec.CommandContext(context.WithoutCancel(ctx), "sleep", "10000"))
			k.consumer.Store(p)
			return err
		},
		Stop: stop,
		PID: func() int {
			if p := k.consumer.Load(); p != nil {
				return p.ID()
			}
			return 0
		},
		Healthy: func(context.Context) bool { return true },
	})
	out, err := exec.CommandContext(t.Context(), k.units.Control, "start", "consumer").CombinedOutput()
	must(t, "starting the consumer: "+string(out), err)
}

// holdTest stops the test call, which is the first with the new key.
func (k *killing) holdTest(*testing.T) (<-chan struct{}, func()) {
	s := k.api.StopFirstUse("test")
	return s.Reached, s.Release
}

// holdSpread stops the first read of the secret after its new value is there.
func (k *killing) holdSpread(*testing.T) (<-chan struct{}, func()) {
	const path = "/v1/secret/data/n8n/spread"
	written := k.toVault.Stop(http.MethodPost, path, turnstile.After)
	read := make(chan *turnstile.Stop, 1)
	reached := make(chan struct{})
	go func() {
		<-written.Reached
		next := k.toVault.Stop(http.MethodGet, path, turnstile.Before)
		read <- next
		written.Release()
		<-next.Reached
		close(reached)
	}()
	return reached, func() { (<-read).Release() }
}

func (k *killing) holdRestart(*testing.T) (<-chan struct{}, func()) {
	h := &held{make(chan struct{}), make(chan struct{})}
	k.held.Store(h)
	return h.reached, func() { close(h.release) }
}

// killAt rotates a secret, kills the gate at the step, starts it again, and asks for the same run as a pipeline does
// whose job is repeated.
func (k *killing) killAt(t *testing.T, m *moment) {
	t.Helper()
	if m.step == "undo" {
		k.api.Break(m.account, standin.IssuesDeadKeys)
	}
	reached, release := m.hold(t)
	asked, err := k.gate.Start(t.Context(), "rotate", m.account, "--run", "job-"+m.account)
	must(t, "starting a command", err)
	if m.step == "retire" {
		if code := asked.ExitCode(); code != 0 {
			t.Fatalf("rotating ended with %d: %s", code, asked.Log())
		}
	}
	select {
	case <-reached:
	case <-time.After(retiredWithin):
		t.Fatalf("the step %s was not reached; the rotation stands at %+v", m.step, k.status(t, m.account))
	}
	if s := k.status(t, m.account); s.Step != m.step {
		t.Errorf("the run stands at step %q, want %q", s.Step, m.step)
	}
	k.gate.Kill()
	code := asked.ExitCode()
	if m.step != "retire" && code == 0 {
		t.Errorf("the gate was killed at step %s, and who had asked for the run was told that all is well: %s", m.step,
			asked.Log())
	}
	k.said[fmt.Sprintf("command %d: killed", len(k.said)+1)] = asked.Log()
	release()
	k.serve(t)
	k.again(t, m.exit, m.account, "job-"+m.account)
}

// callAll has a consumer of every key call through the gate, all the time. A call that found no gate is no failure.
func (k *killing) callAll(t *testing.T) (stop func()) {
	t.Helper()
	token, err := k.gate.Run(t.Context(), "", "token", "issue", "n8n")
	must(t, "issuing a token", err)
	ctx, cancel := context.WithCancel(t.Context())
	var calling sync.WaitGroup
	calling.Go(func() {
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			for _, m := range k.moments {
				k.call(ctx, t, strings.TrimSpace(token), m.account)
			}
			<-pace.C
		}
	})
	return func() { cancel(); calling.Wait() }
}

func (k *killing) call(ctx context.Context, t *testing.T, token, account string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		k.gate.URL+"/s/"+account+"/v1/accounts/"+account+"/items", nil)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set(tokenHeader, token)
	resp, err := k.gate.Client().Do(req)
	if err != nil {
		return // no gate is there
	}
	resp.Body.Close()
	if k.answered.Add(1); resp.StatusCode != http.StatusOK {
		k.failed.Add(1)
		t.Errorf("a call to %s was answered with %d, Proxy-Status %q", account, resp.StatusCode,
			resp.Header.Get("Proxy-Status"))
	}
}

// end waits until every run has ended, and looks at what is left.
func (k *killing) end(t *testing.T, stop func()) {
	t.Helper()
	var accounts []string
	for _, m := range k.moments {
		if m.exit == 0 {
			accounts = append(accounts, m.account)
		}
	}
	k.retired(t, accounts...)
	stop()
	if s := k.status(t, "undo"); s.State != "rolled back" {
		t.Errorf("the run whose key the API refused stands at %+v", s)
	}
	first := k.api.Keys("undo")[0]
	k.oneKey(t, "undo", first.ID)
	k.noGap(t, slices.Concat(accounts, []string{"undo"})...)
	k.sallyport(t, 0, "audit", "verify")
	t.Logf("%d calls were answered, %d of them with an error; %d keys were made, and %d processes served",
		k.answered.Load(), k.failed.Load(), len(k.api.Keys("")), len(k.gates))
	if calls := k.units.Calls(); len(calls) < 2 {
		t.Errorf("the consumer was not restarted: %q", calls)
	}
	k.quiet(t, nil, map[string][]byte{"Vault's output": k.vault.Log()})
}
