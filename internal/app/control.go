package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// errNoGate tells that no gate runs on this data directory.
var errNoGate = errors.New("no gate is running here")

// maxSocketPath is what a unix socket's address holds (sun_path).
const maxSocketPath = 100

// socketPath is where commands reach the running gate: in the data directory, which only its owner can enter.
func socketPath(data string) string {
	path := filepath.Join(data, "control.sock")
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(os.TempDir(), "sallyport-"+hex.EncodeToString(sum[:8])+".sock")
}

// control is the commands' side of the socket.
type control struct{ path string }

func (s *State) control() control { return control{socketPath(s.Config.Data)} }

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
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", c.path)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://gate"+path, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("calling the running gate: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
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
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) { reply(w, a.Reload(r.Context())) })
	mux.HandleFunc("POST /connect", a.beginConnect)
	mux.HandleFunc("GET /connect/{state}", a.endConnect)
	mux.HandleFunc("POST /audit", func(w http.ResponseWriter, r *http.Request) {
		var ev audit.Event
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&ev); err != nil {
			reply(w, fmt.Errorf("reading an audit event: %w", err))
			return
		}
		reply(w, a.audit.Admin(r.Context(), &ev))
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
	answer, err := control{socketPath(c.Data)}.call(ctx, http.MethodGet, "/troubles", nil)
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
	path := socketPath(a.state.Config.Data)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replacing the control socket: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protecting the control socket: %w", err), l.Close())
	}
	return l, nil
}
