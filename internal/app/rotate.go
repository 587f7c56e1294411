package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/ca"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
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

// Rotate rotates a token. Commands and the schedule come here. An UnconfirmedError beside a result tells that it is done, but that
// not every replica was seen to act by it.
func (s *State) Rotate(ctx context.Context, r Rotation) (rotation.Result, error) {
	plan, err := s.plan(ctx, r)
	if err != nil {
		return rotation.Result{}, err
	}
	g := &generations{s: s, pushes: plan.Consumer != nil}
	result, err := s.rotations(g).Run(ctx, plan)
	if err != nil {
		return result, err
	}
	return result, g.unconfirmed
}

// AbortRotation drops the unfinished rotation of a token. An UnconfirmedError tells that it is done all the same.
func (s *State) AbortRotation(ctx context.Context, name string) error {
	g := &generations{s: s}
	if err := s.rotations(g).Abort(ctx, name); err != nil {
		return err
	}
	return g.unconfirmed
}

// Rotations are the rotations on this state, for who looks at them.
func (s *State) Rotations() *rotation.Runner { return s.rotations(&generations{s: s}) }

func (s *State) rotations(g *generations) *rotation.Runner {
	return &rotation.Runner{
		Tokens:  g,
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
	text, err := localfile.Read(caFile, localfile.Small)
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
		// 403 is about the address that this process calls from, which `from` of the token need not name: the token itself is good.
		denied := resp.StatusCode == http.StatusForbidden && strings.HasPrefix(resp.Header.Get("Proxy-Status"), "sallyport; error=http_request_denied")
		if resp.StatusCode != http.StatusOK && !denied {
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

// generations is rotation's view of the token registry. Each change is told to the running gate, and to the replicas, before
// the next step.
type generations struct {
	s           *State
	pushes      bool  // a consumer is given the new value before anybody sees it
	unconfirmed error // of the last change: it is made, so the rotation goes on, and says so at its end
}

// Begin implements rotation.Tokens. A consumer is given only what every replica accepts: otherwise it would be refused at those
// that do not know it yet. Where the old value has ended anyway there is nothing to lose.
func (g *generations) Begin(ctx context.Context, name string) (secret.Value, string, error) {
	value, made, err := g.begin(ctx, name)
	if err != nil {
		return value, made.ID, err
	}
	if !g.pushes { // Finish waits, before the value is shown
		_, err := g.s.tell(ctx, topicTokens)
		return value, made.ID, err
	}
	err = g.s.Changed(ctx, topicTokens)
	if _, late := errors.AsType[*UnconfirmedError](err); !late {
		return value, made.ID, err
	}
	if held, errHeld := g.held(ctx, name); errHeld == nil && !held {
		return value, made.ID, nil
	}
	aborted := g.s.Tokens.Abort(context.WithoutCancel(ctx), made.ID)
	_, told := g.s.tell(ctx, topicTokens)
	return secret.Value{}, "", errors.Join(fmt.Errorf("the old token stays in force, as not every replica accepts the new one yet: %w", err), aborted, told)
}

// begin makes the next generation, as the configuration plans it where it does.
func (g *generations) begin(ctx context.Context, name string) (secret.Value, token.Generation, error) {
	if c := g.s.Config.Tokens[name]; c != nil {
		return g.s.Tokens.BeginPlanned(ctx, name, token.Plan{Scope: ScopeOf(c), Life: c.Expires})
	}
	return g.s.Tokens.Begin(ctx, name)
}

// held tells whether a generation other than a pending one is accepted still.
func (g *generations) held(ctx context.Context, name string) (bool, error) {
	list, err := g.s.Tokens.List(ctx)
	if err != nil {
		return false, err
	}
	now := time.Now()
	return slices.ContainsFunc(list, func(one token.Generation) bool {
		state := one.State(now)
		return one.Name == name && (state == token.Current || state == token.Retiring)
	}), nil
}

// Finish implements rotation.Tokens.
func (g *generations) Finish(ctx context.Context, id string, overlap time.Duration) error {
	err := g.s.Tokens.Finish(ctx, id, overlap)
	if errors.Is(err, token.ErrEnded) {
		return fmt.Errorf("%w: %w", rotation.ErrEnded, err)
	}
	return errors.Join(err, g.tell(ctx, err))
}

// Abort implements rotation.Tokens.
func (g *generations) Abort(ctx context.Context, id string) error {
	err := g.s.Tokens.Abort(ctx, id)
	return errors.Join(err, g.tell(ctx, err))
}

func (g *generations) tell(ctx context.Context, failed error) error {
	if failed != nil {
		return nil //nolint:nilerr // nothing changed that could be told
	}
	err := g.s.Changed(ctx, topicTokens)
	if _, late := errors.AsType[*UnconfirmedError](err); late {
		g.unconfirmed, err = err, nil
	}
	return err
}

// Pending implements rotation.Tokens.
func (g *generations) Pending(ctx context.Context, name string) (string, error) {
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
		left := leftOf(list, name)
		waits[name].longest = longestWait(left)
		waits[name].try(time.Now(), func() error { return a.rotateNow(ctx, name, c, left) })
	}
}

// leftOf is how long the last generation of name is accepted still; 0 and less: it has ended, and the greatest: no end is set.
func leftOf(list []token.Generation, name string) time.Duration {
	g := token.Last(list, name)
	if g == nil || g.Expires.IsZero() {
		return math.MaxInt64
	}
	return time.Until(g.Expires)
}

// longestWait is the longest pause between two attempts: short enough for several before a token runs out, and when it has, a
// minute, for nothing works until then.
func longestWait(left time.Duration) time.Duration {
	return min(max(left/8, time.Minute), time.Hour)
}

// backoff spaces attempts that fail: 30 s, then twice as long each time, up to the longest.
type backoff struct {
	next    time.Time
	wait    time.Duration
	longest time.Duration // 0: an hour
}

func (b *backoff) try(now time.Time, do func() error) {
	if now.Before(b.next) && (b.longest == 0 || b.next.Sub(now) <= b.longest) {
		return
	}
	if do() == nil {
		*b = backoff{}
		return
	}
	b.wait = min(max(2*b.wait, 2*scheduleInterval), cmp.Or(b.longest, time.Hour))
	b.next = now.Add(b.wait)
}

// due tells whether the last generation of name is as old as it may get, or has run out. One that a person revoked is not
// replaced by the clock, nor is a token that was never issued.
func due(list []token.Generation, name string, age time.Duration) bool {
	g := token.Last(list, name)
	if g == nil {
		return false
	}
	switch g.State(time.Now()) {
	case token.Revoked:
		return false
	case token.Expired:
		return true
	}
	return time.Since(g.Created) >= age
}

func (a *App) rotateNow(ctx context.Context, name string, c *config.Token, left time.Duration) error {
	if c.Rotate.Push == nil || c.Rotate.Push.N8N == nil {
		a.metrics.RotationFailed(name)
		a.log.WarnContext(ctx, "a token is due for rotation, but nothing says where to write it", "token", name, "time_left", timeLeft(left),
			"hint", "set rotate.push, or run `sallyport token rotate "+name+"`")
		return errNotRotated
	}
	err := a.audit.Admin(ctx, &audit.Event{Actor: "schedule", Action: "token.rotate", Subject: name})
	var result rotation.Result
	if err == nil {
		result, err = a.scheduled().Rotate(ctx, Rotation{Name: name, PushN8N: true})
	}
	_, late := errors.AsType[*UnconfirmedError](err)
	switch {
	case errors.Is(err, rotation.ErrInProgress):
		a.log.InfoContext(ctx, "a rotation is in progress elsewhere", "token", name)
	case late && result.ID != "":
		a.log.WarnContext(ctx, "token rotated, but not every replica confirmed it", "token", name, "generation", result.ID, "why", err)
		return nil
	case err != nil:
		a.metrics.RotationFailed(name)
		a.log.ErrorContext(ctx, "ROTATION FAILED; nothing was taken out of force", "token", name, "time_left", timeLeft(left), "error", err, "hint", fault.HintOf(err))
	default:
		a.log.InfoContext(ctx, "token rotated", "token", name, "generation", result.ID, "note", result.Note)
	}
	return err
}

// timeLeft says for people how long a token is accepted still.
func timeLeft(left time.Duration) string {
	switch {
	case left == math.MaxInt64:
		return "no end is set"
	case left <= 0:
		return "none: it HAS EXPIRED, n8n's calls are refused"
	}
	return left.Round(time.Second).String()
}

// errNotRotated is logged where it occurs.
var errNotRotated = errors.New("not rotated")

// scheduled is the state under the configuration in force, which may be newer than the one the gate started with.
func (a *App) scheduled() *State {
	s := *a.state
	s.Config = a.config.Load()
	return &s
}
