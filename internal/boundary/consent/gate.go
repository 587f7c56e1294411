package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// CallbackPath is where the admin listener takes the browser back from a page of consent. CallbackPath/SERVICE takes it
// back for that service alone: redirect URLs that differ keep two providers from being mixed up where they send no
// issuer (RFC 9700 section 4.4.2.2).
const CallbackPath = "/oauth/callback"

const (
	consentPoll = 20 * time.Second // how long one question for the result waits
	// finishPatience bounds the call to the token endpoint and the writing down.
	finishPatience = derive.DefaultTimeout + 20*time.Second
)

// GateOptions are what a Gate needs.
type GateOptions struct {
	Connector *Connector
	Config    func() *config.Config // the active one, which may be newer than the Connector's
	AdminURL  func() string         // of the listener that has Callback
	// Changed has this gate act by another record of a derived token, whose pool.Topic it is given.
	Changed func(ctx context.Context, topic string) error
	Log     *slog.Logger
}

// Gate is the running gate's side: it takes browsers back from pages of consent.
type Gate struct {
	o       GateOptions
	waiting waiting
}

// NewGate returns a Gate for which nothing waits.
func NewGate(o GateOptions) *Gate { return &Gate{o: o} }

// Begin begins a flow for a command, and tells it where the person has to go.
func (g *Gate) Begin(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Name        string
		RedirectURL string `json:"redirect_url"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&ask); err != nil {
		refuse(w, fmt.Errorf("reading what to connect: %w", err))
		return
	}
	if ask.RedirectURL == "" {
		ask.RedirectURL = g.o.AdminURL() + CallbackPath
	}
	c, err := g.o.Connector.begin(r.Context(), g.o.Config(), ask.Name, ask.RedirectURL)
	if err == nil {
		c.path, err = callbackFor(c.name, ask.RedirectURL)
	}
	if err == nil {
		err = g.waiting.add(c)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	writeJSON(w, begun{c.connect.URL(), c.connect.State(), ask.RedirectURL})
}

// callbackFor returns the path at which the gate is called back: that of the redirect URL, which a proxy in front of
// the gate may lengthen at its beginning, or the plain one where the proxy has a path of its own. It refuses that of
// another service.
func callbackFor(name, redirect string) (string, error) {
	u, err := url.Parse(redirect)
	if err != nil {
		return "", errors.New("the redirect URL cannot be read")
	}
	i := strings.LastIndex(u.Path, CallbackPath)
	if i < 0 || !strings.HasPrefix(u.Path[i+len(CallbackPath):], "/") {
		return CallbackPath, nil
	}
	if own := CallbackPath + "/" + name; u.Path[i:] == own {
		return own, nil
	}
	return "", fault.WithHint(fmt.Errorf("the redirect URL is not one of %q", name),
		"it ends in "+CallbackPath+"/"+name+", or in "+CallbackPath)
}

// Result tells the command what came of it, or that nothing has yet.
func (g *Gate) Result(w http.ResponseWriter, r *http.Request) {
	one := g.waiting.find(r.PathValue("state"))
	if one == nil {
		refuse(w, errors.New("nobody waits for this consent any more"))
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

// Callback takes a browser back from a page of consent. It tells it nothing but how that went.
func (g *Gate) Callback(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the address has the code in it
	code, state, err := derive.ReadCallback(r.URL.Query())
	one := g.waiting.use(state, r.URL.Path)
	if one == nil {
		http.Error(w,
			"Sallyport does not wait for this consent: it was used, is older than 10 minutes, or was begun elsewhere.",
			http.StatusNotFound)
		return
	}
	// a code is good once: it is used though the browser leaves
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishPatience)
	defer cancel()
	if wrong := one.connect.CheckIssuer(r.URL.Query()); wrong != nil {
		err = wrong // whatever else it says, it is not this provider's response
	}
	if err == nil {
		one.got, err = g.o.Connector.finish(ctx, &one.flow, code, state)
	} else {
		one.service.Close()
	}
	if err == nil {
		err = g.o.Changed(ctx, pool.Topic(one.name))
	}
	one.err = refused(err)
	close(one.done)
	if err != nil {
		g.o.Log.WarnContext(r.Context(), "a service was not connected", "service", one.name, "error", err)
		http.Error(w, "The service is not connected. The command that waits for it says why. You can close this page.",
			http.StatusBadRequest)
		return
	}
	g.o.Log.InfoContext(r.Context(), "a service is connected", "service", one.name, "scopes", one.got.Scopes)
	_, _ = w.Write([]byte("The service is connected. You can close this page.\n"))
}

// refuse tells the command what went wrong.
func refuse(w http.ResponseWriter, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
