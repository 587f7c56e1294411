package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/cli"
	"sallyport/internal/config"
)

// TestKillLosesNothingAcknowledged kills a gate with SIGKILL, again and again over one data directory, while commands
// set secrets and issue tokens beside it and requests run through it. What was acknowledged is there afterwards.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	k := newKilling(t)
	for round := range 10 {
		k.round(round)
	}
	k.mustHold()
}

// killing is what was acknowledged so far.
type killing struct {
	t      *testing.T
	config string
	token  string // of the requests

	mu       sync.Mutex
	secrets  map[string]string // name to value
	tokens   map[string]string // name to token
	rotated  []string          // values that rotations of one token printed
	requests []string          // names of workflows whose request was answered by the API
}

func newKilling(t *testing.T) *killing {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "answer")
	}))
	t.Cleanup(api.Close)
	k := &killing{
		t: t, config: filepath.Join(t.TempDir(), "sallyport.yaml"), secrets: map[string]string{},
		tokens: map[string]string{},
	}
	text := fmt.Sprintf(`listen: {gateway: 127.0.0.1:0, admin: 127.0.0.1:0}
services:
  api: {upstream: %s, credential: {kind: bearer, secret: ref+builtin://api}, allow_private: [127.0.0.1/32]}
`, api.URL)
	if err := os.WriteFile(k.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init"}, {"secret", "set", "api"}} {
		if _, ok := k.command("sk-live-value", args...); !ok {
			t.Fatalf("%v failed", args)
		}
	}
	if _, ok := k.command("", "token", "issue", "rolling", "--services", "api"); !ok {
		t.Fatal("token issue failed")
	}
	var ok bool
	if k.token, ok = k.command("", "token", "issue", "requests", "--services", "api"); !ok {
		t.Fatal("token issue failed")
	}
	return k
}

// command runs one command; ok is its acknowledgement.
func (k *killing) command(stdin string, args ...string) (stdout string, ok bool) {
	var out, errs bytes.Buffer
	exit := cli.Main(context.WithoutCancel(k.t.Context()), append(args, "--config", k.config),
		cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return strings.TrimSpace(out.String()), exit == 0
}

// round runs a gate, lets everybody work, and kills it after a few acknowledgements.
func (k *killing) round(round int) {
	k.t.Helper()
	program, err := exec.LookPath("sallyport")
	if err != nil {
		k.t.Fatal(err)
	}
	gate := exec.Command(program, "serve", "--config", k.config)
	stderr, err := gate.StderrPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := gate.Start(); err != nil {
		k.t.Fatal(err)
	}
	log := newGateLog(bufio.NewScanner(stderr))
	url, _, up := log.serving()
	if !up {
		k.t.Fatalf("round %d: the gate did not come up again:\n%s", round, log.text())
	}
	acknowledged, killed := make(chan struct{}), make(chan struct{})
	var work sync.WaitGroup
	for who, do := range []func(name, url string) bool{k.setSecret, k.issueToken, k.rotate, k.request} {
		work.Go(func() {
			for i := range 50 { // more show nothing more, and slow the commands down
				ok := do(fmt.Sprintf("r%d-w%d-%d", round, who, i), url)
				select {
				case <-killed:
					return
				default:
				}
				if ok {
					select {
					case acknowledged <- struct{}{}:
					case <-killed:
						return
					}
				}
			}
		})
	}
	idle := make(chan struct{})
	go func() {
		work.Wait()
		close(idle)
	}()
	for range 2 + rand.IntN(5) {
		select {
		case <-acknowledged:
		case <-idle:
			k.t.Errorf("round %d: nothing is acknowledged any more", round)
		}
	}
	_ = gate.Process.Kill()
	close(killed)
	<-idle
	if err := log.wait(gate); err == nil || err.Error() != "signal: killed" {
		k.t.Fatalf("round %d: the gate ended by itself: %v\n%s", round, err, log.text())
	}
}

func (k *killing) setSecret(name, _ string) bool {
	_, ok := k.command("value of "+name, "secret", "set", name)
	if ok {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.secrets[name] = "value of " + name
	}
	return ok
}

func (k *killing) issueToken(name, _ string) bool {
	value, ok := k.command("", "token", "issue", name, "--services", "api")
	if ok {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tokens[name] = value
	}
	return ok
}

func (k *killing) rotate(string, string) bool {
	value, ok := k.command("", "token", "rotate", "rolling")
	if ok {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.rotated = append(k.rotated, value)
	}
	return ok
}

func (k *killing) request(name, url string) bool {
	req, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, url+"/s/api/", nil)
	if err != nil {
		k.t.Error(err)
		return false
	}
	req.Header.Set("X-Sallyport-Token", k.token)
	req.Header.Set("X-Sallyport-Workflow", name)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}).Do(req)
	if err != nil {
		return false // killed
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.requests = append(k.requests, name)
	}
	return false // the fast ones do not decide when to kill
}

// mustHold looks for everything that was acknowledged.
func (k *killing) mustHold() {
	k.t.Helper()
	c, _, err := config.Load(app.Kinds(), k.config)
	if err != nil {
		k.t.Fatal(err)
	}
	if out, ok := k.command("", "audit", "verify"); !ok {
		k.t.Errorf("the audit log does not verify: %s", out)
	}
	text, err := os.ReadFile(c.Audit.File)
	if err != nil {
		k.t.Fatal(err)
	}
	log := string(text)
	s, err := app.Open(k.t.Context(), c)
	if err != nil {
		k.t.Fatal(err)
	}
	defer s.Close()
	for name, want := range k.secrets {
		value, _, err := s.Builtin.Get(k.t.Context(), name, "")
		if err != nil || string(value.Reveal()) != want {
			k.t.Errorf("secret %s is lost: %v", name, err)
		}
		if !strings.Contains(log, `"action":"secret.set","subject":"`+name+`"`) {
			k.t.Errorf("no record of setting secret %s", name)
		}
	}
	for name, value := range k.tokens {
		if _, f := s.Tokens.Verify(value); f != nil {
			k.t.Errorf("token %s is lost: %v", name, f)
		}
		if !strings.Contains(log, `"action":"token.issue","subject":"`+name+`"`) {
			k.t.Errorf("no record of issuing token %s", name)
		}
	}
	for i, value := range k.rotated {
		if _, f := s.Tokens.Verify(value); f != nil {
			k.t.Errorf("the value of rotation %d is refused: %v", i, f)
		}
	}
	if _, ok := k.command("", "token", "rotate", "rolling"); !ok {
		k.t.Error("the token cannot be rotated any more")
	}
	for _, name := range k.requests {
		if !strings.Contains(log, `"workflow":"`+name+`"`) {
			k.t.Errorf("no record of request %s", name)
		}
	}
	if len(k.secrets) < 10 || len(k.tokens) < 10 || len(k.requests) < 10 {
		k.t.Errorf("%d secrets, %d tokens, %d requests: too few to show anything", len(k.secrets),
			len(k.tokens), len(k.requests))
	}
	k.t.Logf("%d secrets, %d tokens, %d rotations, %d requests acknowledged", len(k.secrets), len(k.tokens),
		len(k.rotated), len(k.requests))
}
