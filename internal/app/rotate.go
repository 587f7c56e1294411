package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/ca"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/n8n/api"
	"sallyport/internal/rotation"
	"sallyport/internal/secret"
)

// scheduleInterval is how often the schedule is looked at; the shortest `every` is a minute.
const scheduleInterval = 15 * time.Second

// DefaultOverlap is how long the old generation stays valid when nothing says otherwise.
const DefaultOverlap = time.Hour

// Rotation asks for one rotation of a token.
type Rotation struct {
	Name    string
	Overlap time.Duration // 0: as configured, or DefaultOverlap
	PushN8N bool          // write the new value into n8n, as configured
	Actor   string        // for the audit log
}

// Rotate rotates a token. Commands and the schedule come here.
func (s *State) Rotate(ctx context.Context, r Rotation) (rotation.Result, error) {
	plan, err := s.plan(ctx, r)
	if err != nil {
		return rotation.Result{}, err
	}
	return s.Rotations().Run(ctx, plan)
}

// Rotations runs rotations on this state.
func (s *State) Rotations() *rotation.Runner {
	return &rotation.Runner{
		Tokens:  generations{s},
		Journal: &rotation.Journal{DB: s.DB, Sealer: s.sealer, Now: time.Now, Ledger: s.journal},
	}
}

func (s *State) plan(ctx context.Context, r Rotation) (rotation.Plan, error) {
	p := rotation.Plan{Name: r.Name, Overlap: r.Overlap}
	c := s.Config.Tokens[r.Name]
	if c != nil && c.Rotate != nil && p.Overlap == 0 {
		p.Overlap = c.Rotate.Overlap
	}
	if p.Overlap == 0 {
		p.Overlap = DefaultOverlap
	}
	if !r.PushN8N {
		return p, nil
	}
	if c == nil || c.Rotate == nil || c.Rotate.Push == nil || c.Rotate.Push.N8N == nil {
		return p, fault.WithHint(fmt.Errorf("rotating token %q: nothing says where n8n is", r.Name),
			"set tokens."+r.Name+".rotate.push.n8n in sallyport.yaml, see docs/n8n-setup.md")
	}
	push := c.Rotate.Push.N8N
	gate, err := s.gateOf(ctx, push)
	if err != nil {
		return p, fmt.Errorf("rotating token %q: %w", r.Name, err)
	}
	consumer, err := s.n8n(ctx, push, gate.Hostname())
	if err != nil {
		return p, fmt.Errorf("rotating token %q: %w", r.Name, err)
	}
	p.Consumer = consumer
	p.Probe, err = s.probe(gate, push.Gate == nil)
	return p, err
}

// gateOf is the gate as n8n reaches it; n8n's credential is locked to its host.
func (s *State) gateOf(ctx context.Context, push *config.PushN8N) (*url.URL, error) {
	if push.Gate != nil {
		return push.Gate, nil
	}
	u, err := s.control().gateway(ctx)
	if err != nil { // none here: another replica's, at the same address
		u = &url.URL{Scheme: "http", Host: s.Config.Listen.Gateway}
		if s.Config.TLS.Enabled() {
			u.Scheme = "https"
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "" || err == nil && ip.IsUnspecified() {
		return nil, fault.WithHint(fmt.Errorf("nothing says how n8n reaches the gate, which listens on %s", u.Host),
			"set `gate` beside `url`: n8n's credential is locked to its host")
	}
	return u, nil
}

// n8n is rotation's Consumer for a Header Auth credential.
type n8n struct {
	client *api.Client
	host   string
}

func (s *State) n8n(ctx context.Context, push *config.PushN8N, host string) (*n8n, error) {
	var key secret.Value
	var err error
	if !push.APIKey.IsZero() && push.URL != nil {
		if key, _, err = s.Resolve(ctx, push.APIKey); err != nil {
			return nil, err
		}
	}
	pool, err := poolOf(push.CAFile)
	if err != nil {
		return nil, err
	}
	base := &url.URL{Scheme: "http", Host: "localhost"} // with a command line alone nobody calls it
	if push.URL != nil {
		base = push.URL
	}
	client, err := api.New(api.Config{URL: base.String(), APIKey: key, Credential: push.Credential, CACertPool: pool, CLI: push.CLI})
	return &n8n{client, host}, err
}

// Set implements rotation.Consumer.
func (n *n8n) Set(ctx context.Context, value secret.Value) (string, error) {
	result, err := n.client.Push(ctx, value, n.host)
	if err != nil {
		return "", err
	}
	if result.Locked == api.Locked {
		return fmt.Sprintf("n8n's credential %s has the new value and is locked to %s", result.CredentialID, n.host), nil
	}
	return fmt.Sprintf("n8n's credential %s has the new value, but it is NOT known to be locked to %s: a workflow could send the token elsewhere; "+
		"set Allowed HTTP Request Domains in n8n", result.CredentialID, n.host), nil
}

func poolOf(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	text, err := os.ReadFile(caFile) //nolint:gosec // the operator's file
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("reading ca_file %q: no PEM certificate in it", caFile)
	}
	return pool, nil
}

// probe makes a call through the gate, as n8n would, to the page that says who a token is. The gate is its own listener's
// address when own is set.
func (s *State) probe(gate *url.URL, own bool) (rotation.Probe, error) {
	tlsConfig, err := s.ownTLS()
	if err != nil {
		return nil, err
	}
	if !own {
		tlsConfig.ServerName = ""
	}
	client := &http.Client{
		Timeout:       20 * time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: tlsConfig},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	target := gate.JoinPath("/whoami").String()
	return func(ctx context.Context, value secret.Value) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return fmt.Errorf("calling the gate: %w", err)
		}
		req.Header.Set("X-Sallyport-Token", string(value.Reveal()))
		resp, err := client.Do(req)
		if err != nil {
			return fault.WithHint(fmt.Errorf("calling the gate with the new token: %w", err), "is the gate running, and is `gate` its address?")
		}
		defer resp.Body.Close() //nolint:errcheck // read only
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		if resp.StatusCode != http.StatusOK {
			return fault.WithHint(fmt.Errorf("calling the gate with the new token: it answered %d (%s)", resp.StatusCode, resp.Header.Get("Proxy-Status")),
				"does the gate at "+gate.Host+" use the same database?")
		}
		return nil
	}, nil
}

// ownTLS trusts what the gate's own listener shows, under a name it shows: the address that is called is often none of them.
func (s *State) ownTLS() (*tls.Config, error) {
	t, c := &tls.Config{MinVersion: tls.VersionTLS12}, s.Config.TLS
	switch {
	case c.CA != "":
		authority, err := ca.Load(s.Config.Data)
		if err != nil {
			return nil, err
		}
		t.RootCAs, t.ServerName = authority.Pool(), c.Hosts[0]
	case c.CertFile != "":
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading tls.cert_file and tls.key_file: %w", err)
		}
		if t.RootCAs, err = x509.SystemCertPool(); err != nil {
			t.RootCAs = x509.NewCertPool()
		}
		for _, der := range pair.Certificate {
			if one, err := x509.ParseCertificate(der); err == nil {
				t.RootCAs.AddCert(one)
			}
		}
		t.ServerName = firstName(pair.Leaf)
	}
	return t, nil
}

func firstName(leaf *x509.Certificate) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return strings.Replace(leaf.DNSNames[0], "*", "gate", 1)
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return ""
}

// generations is rotation's view of the token registry. Each change is told to the running gate before the next step.
type generations struct{ s *State }

// Begin implements rotation.Tokens.
func (g generations) Begin(ctx context.Context, name string) (secret.Value, string, error) {
	value, made, err := g.s.Tokens.Begin(ctx, name)
	return value, made.ID, errors.Join(err, g.tell(ctx, err))
}

// Finish implements rotation.Tokens.
func (g generations) Finish(ctx context.Context, id string, overlap time.Duration) error {
	err := g.s.Tokens.Finish(ctx, id, overlap)
	if errors.Is(err, token.ErrEnded) {
		return fmt.Errorf("%w: %w", rotation.ErrEnded, err)
	}
	return errors.Join(err, g.tell(ctx, err))
}

// Abort implements rotation.Tokens.
func (g generations) Abort(ctx context.Context, id string) error {
	err := g.s.Tokens.Abort(ctx, id)
	return errors.Join(err, g.tell(ctx, err))
}

func (g generations) tell(ctx context.Context, failed error) error {
	if failed != nil {
		return nil //nolint:nilerr // nothing changed that could be told
	}
	return g.s.Changed(ctx, topicTokens)
}

// Pending implements rotation.Tokens.
func (g generations) Pending(ctx context.Context, name string) (string, error) {
	list, err := g.s.Tokens.List(ctx)
	if err != nil {
		return "", err
	}
	for _, one := range list {
		if one.Name == name && one.State(time.Now()) == token.Pending {
			return one.ID, nil
		}
	}
	return "", nil
}

// rotateOnSchedule rotates what is due. After a failure it waits longer each time: every attempt is a generation and a record.
func (a *App) rotateOnSchedule(ctx context.Context) {
	waits := make(map[string]*backoff)
	every(ctx, scheduleInterval, func() { a.rotateDue(ctx, waits) })
}

func (a *App) rotateDue(ctx context.Context, waits map[string]*backoff) {
	list, err := a.state.Tokens.List(ctx)
	if err != nil {
		a.log.ErrorContext(ctx, "looking for tokens to rotate", "error", err)
		return
	}
	for name, c := range a.config.Load().Tokens {
		if c.Rotate == nil || c.Rotate.Every <= 0 || !due(list, name, c.Rotate.Every) {
			continue
		}
		if waits[name] == nil {
			waits[name] = new(backoff)
		}
		waits[name].try(time.Now(), func() error { return a.rotateNow(ctx, name, c) })
	}
}

// backoff spaces attempts that fail: 30 s, then twice as long each time, up to an hour.
type backoff struct {
	next time.Time
	wait time.Duration
}

func (b *backoff) try(now time.Time, do func() error) {
	if now.Before(b.next) {
		return
	}
	if do() == nil {
		*b = backoff{}
		return
	}
	b.wait = min(max(2*b.wait, 2*scheduleInterval), time.Hour)
	b.next = now.Add(b.wait)
}

// due tells whether the current generation of name is as old as it may get.
func due(list []token.Generation, name string, age time.Duration) bool {
	for _, g := range list {
		if g.Name == name && g.State(time.Now()) == token.Current {
			return time.Since(g.Created) >= age
		}
	}
	return false
}

func (a *App) rotateNow(ctx context.Context, name string, c *config.Token) error {
	if c.Rotate.Push == nil || c.Rotate.Push.N8N == nil {
		a.log.WarnContext(ctx, "a token is due for rotation, but nothing says where to write it", "token", name, "hint", "set rotate.push, or run `sallyport token rotate "+name+"`")
		return errNotRotated
	}
	err := a.audit.Admin(ctx, &audit.Event{Actor: "schedule", Action: "token.rotate", Subject: name})
	var result rotation.Result
	if err == nil {
		result, err = a.scheduled().Rotate(ctx, Rotation{Name: name, PushN8N: true})
	}
	switch {
	case errors.Is(err, rotation.ErrInProgress):
		a.log.InfoContext(ctx, "a rotation is in progress elsewhere", "token", name)
	case err != nil:
		a.log.ErrorContext(ctx, "ROTATION FAILED; nothing was taken out of force", "token", name, "error", err, "hint", fault.HintOf(err))
	default:
		a.log.InfoContext(ctx, "token rotated", "token", name, "generation", result.ID, "note", result.Note)
	}
	return err
}

// errNotRotated is logged where it occurs.
var errNotRotated = errors.New("not rotated")

// scheduled is the state under the configuration in force, which may be newer than the one the gate started with.
func (a *App) scheduled() *State {
	s := *a.state
	s.Config = a.config.Load()
	return &s
}
