package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// controlHandler is the gate's side. What it begins and nobody waits for ends with background.
func (a *App) controlHandler(background context.Context) http.Handler {
	mux := http.NewServeMux()
	a.runsHandler(background, mux, a.newTurns())
	a.careHandler(mux)
	mux.HandleFunc("POST /refresh/{topic}", func(w http.ResponseWriter, r *http.Request) {
		err := a.refresh(r.Context(), r.PathValue("topic"))
		a.follower.Hurry()
		reply(w, err)
	})
	mux.HandleFunc("GET /gateway", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, a.GatewayURL())
	})
	mux.HandleFunc("GET /failures", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.failures()) })
	mux.HandleFunc("GET /probes", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.probes.Shown()) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		reply(w, a.Reload(context.WithoutCancel(r.Context())))
	})
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
	mux.HandleFunc("GET /audit/sinks", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.sinkStatus()) })
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

// Failure is what keeps a service from its credential.
type Failure struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

func (a *App) failures() map[string]Failure {
	m := make(map[string]Failure)
	for _, s := range a.pipeline.Services().All() {
		if f := s.Credential.Failure(); f != nil {
			m[s.Name] = Failure{f.Code, f.Message, f.Hint}
		}
	}
	return m
}

// Failures asks the gate that runs on the data directory of c which services are without their credential. Without a
// gate there is no answer.
func Failures(ctx context.Context, c *config.Config) (map[string]Failure, error) {
	answer, err := control{c.Data}.call(ctx, http.MethodGet, "/failures", nil)
	if errors.Is(err, errNoGate) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m map[string]Failure
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

// listenControl opens the socket. A left-over of a process that is gone is replaced; the audit log's lock has shown by
// now that no other gate runs on this data directory.
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
