package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"
)

func (e *env) demo() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on this machine: an API, the gate, one request as n8n would send it",
		Long: `Starts a stand-in API that answers to one real key only, and a gate that holds this key in its builtin store; then sends one
request as n8n would, with the proxy token instead of the key. Everything lives in a temporary directory and on loopback.
Without --once it goes on serving until Ctrl-C. With --once it exits 0 only if the real key arrived at the API, the response
came back, the key did not, and the audit log verifies.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "sallyport-demo-")
			if err != nil {
				return fmt.Errorf("making a directory for the demo: %w", err)
			}
			d := &demonstration{env: e, dir: dir, once: once}
			return errors.Join(d.run(cmd.Context()), os.RemoveAll(dir))
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "make one request, check everything, and exit")
	return cmd
}

// demonstration is one run of the demo.
type demonstration struct {
	*env
	dir   string
	once  bool
	key   string // the real key
	token string
	api   *standin
	state *app.State
	gate  *app.App
}

func (d *demonstration) run(ctx context.Context) error {
	d.key = "sk-live-" + randomText() + randomText()
	api, err := newStandin(ctx, d.key)
	if err != nil {
		return err
	}
	defer api.close()
	d.api = api
	c, err := d.prepare(ctx)
	if err != nil {
		return err
	}
	defer d.state.Close() //nolint:errcheck // the directory goes with it
	d.gate, err = app.New(ctx, app.Options{
		Config: c, Reread: d.load, Log: d.logger(config.Log{Level: "warn"}),
		Version: Version(),
	})
	if err != nil {
		return err
	}
	if err := d.gate.Start(ctx); err != nil {
		return err
	}
	return errors.Join(d.show(ctx), d.gate.Stop(context.WithoutCancel(ctx)))
}

const demoConfig = `listen: {gateway: %q, admin: %q}
data: %q
services:
  weather:
    upstream: %s
    credential: {kind: bearer, secret: ref+builtin://weather}
    allow: ["GET /v1/forecast"]
    allow_private: [127.0.0.1/32]
`

// prepare does what a person does with init, secret set and token issue.
func (d *demonstration) prepare(ctx context.Context) (*config.Config, error) {
	gateway, admin := d.addresses(ctx)
	path := filepath.Join(d.dir, "sallyport.yaml")
	text := fmt.Sprintf(demoConfig, gateway, admin, filepath.Join(d.dir, "data"), d.api.url)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("writing the demo's configuration: %w", err)
	}
	c, _, err := config.Load(d.kinds, path)
	if err != nil {
		return nil, err
	}
	if err := makeData(c.Data); err != nil {
		return nil, err
	}
	if err := seal.GenerateKeyFile(c.Seal.KeyFile); err != nil {
		return nil, err
	}
	if d.state, err = app.Open(ctx, c); err != nil {
		return nil, err
	}
	if _, err := d.state.Builtin.Put(ctx, "weather", secret.NewValue([]byte(d.key))); err != nil {
		return nil, err
	}
	value, _, err := d.state.Tokens.Issue(ctx, "n8n", token.Scope{Services: []string{"weather"}},
		time.Now().Add(24*time.Hour))
	d.token = string(value.Reveal())
	return c, err
}

// addresses are the usual ones where they are free, so that the printed commands look like the real thing.
func (d *demonstration) addresses(ctx context.Context) (gateway, admin string) {
	if d.once {
		return "127.0.0.1:0", "127.0.0.1:0"
	}
	defaults := config.Default(d.kinds).Listen
	return freeOr(ctx, defaults.Gateway), freeOr(ctx, defaults.Admin)
}

func freeOr(ctx context.Context, address string) string {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return address
}

// show makes the request, prints what each party saw, and checks it.
func (d *demonstration) show(ctx context.Context) error {
	answer, header, err := d.request(ctx)
	if err != nil {
		return err
	}
	received := d.api.received()
	report, records, err := d.log(ctx)
	if err != nil {
		return err
	}
	checks := []check{
		{"the real key arrived at the API", received == "Bearer "+d.key},
		{"the response came back", bytes.Contains(answer, []byte("sunny"))},
		{"the key did not come back", !bytes.Contains(answer, []byte(d.key)) &&
			!strings.Contains(fmt.Sprint(header), d.key)},
		{"n8n's token did not reach the API", !strings.Contains(d.api.everything(), d.token)},
		{"the use is on record, and the record verifies", report.OK && strings.Contains(records, "completed")},
	}
	d.tell(answer, received, records, checks)
	for _, c := range checks {
		if !c.ok {
			return fault.WithExit(fmt.Errorf("the demo failed: it is not true that %s", c.what), fault.ExitError)
		}
	}
	if d.once {
		return nil
	}
	d.tellMore()
	return d.gate.Wait(ctx)
}

type check struct {
	what string
	ok   bool
}

// request is what n8n's HTTP Request node sends, with a Header Auth credential.
func (d *demonstration) request(ctx context.Context) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		d.gate.GatewayURL()+"/s/weather/v1/forecast?city=Berlin", nil)
	if err != nil {
		return nil, nil, fmt.Errorf("sending the demo's request: %w", err)
	}
	req.Header = http.Header{
		boundary.HeaderToken: {d.token}, "User-Agent": {"n8n"}, boundary.HeaderWorkflow: {"daily-forecast"},
		boundary.HeaderNode: {"HTTP Request"},
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("sending the demo's request: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the demo's response: %w", err)
	}
	return answer, resp.Header, nil
}

// log verifies the audit log and returns its last records for a person. The last record is written a moment after the
// answer.
func (d *demonstration) log(ctx context.Context) (audit.Report, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var lines []string
	errDone := errors.New("done")
	err := audit.Tail(ctx, d.state.Config.Audit.File, audit.View{Lines: 10, Follow: true}, func(line []byte) error {
		text, err := audit.Format(line)
		if err != nil || !strings.Contains(text, "weather") {
			return err
		}
		if lines = append(lines, text); strings.Contains(text, "completed") {
			return errDone
		}
		return nil
	})
	if !errors.Is(err, errDone) {
		return audit.Report{}, "", fmt.Errorf("reading the demo's audit log: %w", err)
	}
	keys, err := d.state.AuditKeys(ctx)
	if err != nil {
		return audit.Report{}, "", err
	}
	report, err := audit.VerifyFile(ctx, d.state.Config.Audit.File, d.state.Config.Audit.CheckpointFile, keys.Public())
	return report, strings.Join(lines, "\n"), err
}

func (d *demonstration) tell(answer []byte, received, records string, checks []check) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(d.Out, format, args...) }
	p("n8n held          %s: %s\n", boundary.HeaderToken, masked(d.token))
	p("n8n called        GET %s/s/weather/v1/forecast?city=Berlin\n", d.gate.GatewayURL())
	p("the API received  GET %s/v1/forecast?city=Berlin\n                  Authorization: %s\n",
		d.api.url, masked(received))
	p("n8n got back      %s\n", bytes.TrimSpace(answer))
	p("                  (the API echoed the key; the gate masked it on the way)\n")
	p("on record         %s\n\n", strings.ReplaceAll(records, "\n", "\n                  "))
	for _, c := range checks {
		mark := "ok    "
		if !c.ok {
			mark = "FAILED"
		}
		p("%s  %s\n", mark, c.what)
	}
}

// masked shows the ends of a value.
func masked(s string) string {
	if len(s) < 20 {
		return s
	}
	return s[:15] + strings.Repeat("*", 8) + s[len(s)-2:]
}

func (d *demonstration) tellMore() {
	_, _ = fmt.Fprintf(d.Out, `
serving until Ctrl-C:
  gateway  %[1]s/s/weather/v1/forecast
  admin    %[2]s   /metrics  /readyz  /healthz

try it yourself (this token ends with the demo):
  curl -i -H '%[4]s: %[3]s' '%[1]s/s/weather/v1/forecast?city=Oslo'
  curl -i -H '%[4]s: wrong' %[1]s/s/weather/v1/forecast
  curl -s %[2]s/metrics | grep sallyport_requests_total
`, d.gate.GatewayURL(), d.gate.AdminURL(), d.token, boundary.HeaderToken)
}
