package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/fault"
)

// callbackPath is where the admin listener takes the browser back from a page of consent. callbackPath/SERVICE takes it back for that
// service alone: redirect URLs that differ keep two providers from being mixed up where they send no issuer (RFC 9700 section 4.4.2.2).
const callbackPath = "/oauth/callback"

// Limits of what waits for consent at a gate.
const (
	maxConsents  = 100
	consentPoll  = 20 * time.Second // how long one question for the result waits
	consentAfter = time.Minute      // how long a result is kept for who asked
	// finishPatience bounds the call to the token endpoint and the writing down.
	finishPatience = derive.DefaultTimeout + 20*time.Second
)

// consents are the pages of consent that wait for their callback at a gate.
type consents struct {
	mu      sync.Mutex
	waiting map[string]*waitingConsent // by state
}

type waitingConsent struct {
	consenting

	until time.Time
	used  bool
	done  chan struct{}
	got   *Connected
	err   error
}

// begun is what the gate tells the command.
type begun struct {
	URL         string `json:"url"`
	State       string `json:"state"`
	RedirectURL string `json:"redirect_url"`
}

// outcome is what came of a consent.
type outcome struct {
	Pending   bool       `json:"pending,omitempty"`
	Connected *Connected `json:"connected,omitempty"`
	Error     string     `json:"error,omitempty"`
	Hint      string     `json:"hint,omitempty"`
}

// connectByGate has the running gate wait for the browser.
func (s *State) connectByGate(ctx context.Context, name, redirect string) (*Consent, error) {
	ask, err := json.Marshal(map[string]string{"name": name, "redirect_url": redirect})
	if err != nil {
		return nil, fmt.Errorf("connecting %q: %w", name, err)
	}
	answer, err := s.control().call(ctx, http.MethodPost, "/connect", ask)
	if errors.Is(err, errNoGate) {
		return nil, fault.WithHint(fmt.Errorf("connecting %q: %w", name, err), "start it: its admin listener takes the browser back; or leave out --callback and --redirect-url")
	}
	if err != nil {
		return nil, err
	}
	var b begun
	if err := json.Unmarshal(answer, &b); err != nil {
		return nil, fmt.Errorf("reading the running gate's answer: %w", err)
	}
	return &Consent{
		URL: b.URL, RedirectURL: b.RedirectURL, end: func() error { return nil },
		await: func(ctx context.Context) (*Connected, error) { return s.awaitGate(ctx, b.State) },
	}, nil
}

func (s *State) awaitGate(ctx context.Context, state string) (*Connected, error) {
	for {
		answer, err := s.control().call(ctx, http.MethodGet, "/connect/"+state, nil)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var o outcome
		if err := errors.Join(err, json.Unmarshal(orNull(answer), &o)); err != nil {
			return nil, err
		}
		switch {
		case o.Pending:
		case o.Connected != nil:
			return o.Connected, nil
		default:
			return nil, fault.WithHint(errors.New(o.Error), o.Hint)
		}
	}
}

func orNull(b []byte) []byte {
	if len(b) == 0 {
		return []byte("null")
	}
	return b
}

// beginConnect is the gate's side of connectByGate.
func (a *App) beginConnect(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Name        string
		RedirectURL string `json:"redirect_url"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&ask); err != nil {
		reply(w, fmt.Errorf("reading what to connect: %w", err))
		return
	}
	if ask.RedirectURL == "" {
		ask.RedirectURL = a.AdminURL() + callbackPath
	}
	c, err := a.state.consentFor(r.Context(), a.config.Load(), ask.Name, ask.RedirectURL)
	if err == nil {
		c.path, err = callbackFor(c.name, ask.RedirectURL)
	}
	if err == nil {
		err = a.consents.add(c)
	}
	if err != nil {
		reply(w, err)
		return
	}
	writeJSON(w, begun{c.connect.URL(), c.connect.State(), ask.RedirectURL})
}

// callbackFor returns the path at which the gate is called back: that of the redirect URL, which a proxy in front of the gate may
// lengthen at its beginning, or the plain one where the proxy has a path of its own. It refuses that of another service.
func callbackFor(name, redirect string) (string, error) {
	u, err := url.Parse(redirect)
	if err != nil {
		return "", errors.New("the redirect URL cannot be read")
	}
	i := strings.LastIndex(u.Path, callbackPath)
	if i < 0 || !strings.HasPrefix(u.Path[i+len(callbackPath):], "/") {
		return callbackPath, nil
	}
	if own := callbackPath + "/" + name; u.Path[i:] == own {
		return own, nil
	}
	return "", fault.WithHint(fmt.Errorf("the redirect URL is not one of %q", name), "it ends in "+callbackPath+"/"+name+", or in "+callbackPath)
}

// endConnect tells the command what came of it, or that nothing has yet.
func (a *App) endConnect(w http.ResponseWriter, r *http.Request) {
	one := a.consents.find(r.PathValue("state"))
	if one == nil {
		reply(w, errors.New("nobody waits for this consent any more"))
		return
	}
	timer := time.NewTimer(consentPoll)
	defer timer.Stop()
	select {
	case <-one.done:
		o := outcome{Connected: one.got}
		if one.err != nil {
			o.Error, o.Hint = one.err.Error(), fault.HintOf(one.err)
		}
		writeJSON(w, o)
	case <-timer.C:
		writeJSON(w, outcome{Pending: true})
	case <-r.Context().Done():
	}
}

func writeJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// callback takes a browser back from a page of consent. It tells it nothing but how that went.
func (a *App) callback(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the address has the code in it
	code, state, err := derive.ReadCallback(r.URL.Query())
	one := a.consents.use(state, r.URL.Path)
	if one == nil {
		http.Error(w, "Sallyport does not wait for this consent: it was used, is older than 10 minutes, or was begun elsewhere.", http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishPatience) // a code is good once: it is used though the browser leaves
	defer cancel()
	if wrong := one.connect.CheckIssuer(r.URL.Query()); wrong != nil {
		err = wrong // whatever else it says, it is not this provider's answer
	}
	if err == nil {
		one.got, err = a.state.finish(ctx, &one.consenting, code, state)
	} else {
		one.service.Close()
	}
	if err == nil {
		err = a.refresh(ctx, pool.Topic(one.name))
	}
	one.err = refusedConsent(err)
	close(one.done)
	if err != nil {
		a.log.WarnContext(r.Context(), "a service was not connected", "service", one.name, "error", err)
		http.Error(w, "The service is not connected. The command that waits for it says why. You can close this page.", http.StatusBadRequest)
		return
	}
	a.log.InfoContext(r.Context(), "a service is connected", "service", one.name, "scopes", one.got.Scopes)
	_, _ = w.Write([]byte("The service is connected. You can close this page.\n"))
}

// add has a consent wait.
func (c *consents) add(one *consenting) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = make(map[string]*waitingConsent)
	}
	now := time.Now()
	for state, old := range c.waiting {
		if now.After(old.until.Add(consentAfter)) {
			delete(c.waiting, state)
		}
	}
	if len(c.waiting) >= maxConsents {
		return errors.New("too many consents are being waited for")
	}
	c.waiting[one.connect.State()] = &waitingConsent{consenting: *one, until: now.Add(connectPatience), done: make(chan struct{})}
	return nil
}

func (c *consents) find(state string) *waitingConsent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting[state]
}

// use returns the consent that a callback is for, once. At the callback of another service than the consent was begun for, there is
// none, and the consent goes on waiting.
func (c *consents) use(state, path string) *waitingConsent {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.waiting[state]
	if one == nil || one.path != path || one.used || time.Now().After(one.until) {
		return nil
	}
	one.used = true
	return one
}
