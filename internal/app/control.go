package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// errNoGate tells that no gate runs on this data directory.
var errNoGate = errors.New("no gate is running here")

// socketName is the control socket in the data directory, which only its owner can enter.
const socketName = "control.sock"

// control is the commands' side of the socket.
type control struct{ data string }

func (s *State) control() control { return control{s.Config.Data} }

// dial connects to the gate, which has to be one of this user or of root. Where no gate can be it is errNoGate.
func (c control) dial(ctx context.Context) (net.Conn, error) {
	dir, err := localfile.OpenDir(c.data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoGate
	}
	if err != nil {
		return nil, err
	}
	conn, err := dir.DialUnix(ctx, socketName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		err = errNoGate
	}
	return conn, errors.Join(err, dir.Close())
}

// post tells the gate something and waits until it has acted.
func (c control) post(ctx context.Context, path string, body any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("writing a message to the running gate: %w", err)
	}
	_, err = c.call(ctx, http.MethodPost, path, payload)
	return err
}

// gateway asks the gate where its gateway listens.
func (c control) gateway(ctx context.Context) (*url.URL, error) {
	answer, err := c.call(ctx, http.MethodGet, "/gateway", nil)
	if err != nil {
		return nil, err
	}
	return url.Parse(string(answer))
}

// call makes one call. Without a gate it is errNoGate.
func (c control) call(ctx context.Context, method, path string, payload []byte) ([]byte, error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://gate"+path, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("calling the running gate: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(err, errNoGate) {
			return nil, errNoGate
		}
		return nil, fmt.Errorf("calling the running gate: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("reading the running gate's answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fault.WithHint(fmt.Errorf("the running gate answered: %s", bytes.TrimSpace(answer)), "its log and /readyz tell more")
	}
	return answer, nil
}

// controlHandler is the gate's side.
func (a *App) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /refresh/{topic}", func(w http.ResponseWriter, r *http.Request) {
		err := a.refresh(r.Context(), r.PathValue("topic"))
		a.follower.Hurry()
		reply(w, err)
	})
	mux.HandleFunc("GET /gateway", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, a.GatewayURL()) })
	mux.HandleFunc("GET /troubles", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.troubles()) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) { reply(w, a.Reload(context.WithoutCancel(r.Context()))) })
	mux.HandleFunc("POST /connect", a.consents.Begin)
	mux.HandleFunc("GET /connect/{state}", a.consents.Result)
	mux.HandleFunc("POST /audit", func(w http.ResponseWriter, r *http.Request) {
		var ev audit.Event
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&ev); err != nil {
			reply(w, fmt.Errorf("reading an audit event: %w", err))
			return
		}
		reply(w, a.audit.Admin(r.Context(), &ev))
	})
	mux.HandleFunc("POST /audit/rotate", func(w http.ResponseWriter, r *http.Request) {
		var ev audit.Event
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&ev); err != nil {
			reply(w, fmt.Errorf("reading an audit event: %w", err))
			return
		}
		rotation, err := recordAndRotate(r.Context(), a.audit, &ev)
		if err != nil {
			reply(w, err)
			return
		}
		writeJSON(w, rotation)
	})
	return mux
}

// Trouble is what keeps a service from its credential.
type Trouble struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

func (a *App) troubles() map[string]Trouble {
	m := make(map[string]Trouble)
	for _, s := range a.pipeline.Services().All() {
		if f := s.Credential.Trouble(); f != nil {
			m[s.Name] = Trouble{f.Code, f.Message, f.Hint}
		}
	}
	return m
}

// Troubles asks the gate that runs on the data directory of c which services are without their credential. Without a gate there
// is no answer.
func Troubles(ctx context.Context, c *config.Config) (map[string]Trouble, error) {
	answer, err := control{c.Data}.call(ctx, http.MethodGet, "/troubles", nil)
	if errors.Is(err, errNoGate) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m map[string]Trouble
	if err := json.Unmarshal(answer, &m); err != nil {
		return nil, fmt.Errorf("reading the running gate's answer: %w", err)
	}
	return m, nil
}

func writeJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func reply(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// listenControl opens the socket. A left-over of a process that is gone is replaced; the audit log's lock has shown by now
// that no other gate runs on this data directory.
func (a *App) listenControl(ctx context.Context) (net.Listener, error) {
	dir, err := localfile.OpenDir(a.state.Config.Data)
	if err != nil {
		return nil, err
	}
	l, err := dir.ListenUnix(ctx, socketName, func(err error) {
		a.log.WarnContext(ctx, "turned someone away from the control socket", "error", err)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the control socket: %w", err), dir.Close())
	}
	return l, dir.Close()
}
