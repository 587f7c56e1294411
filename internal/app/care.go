package app

import (
	"context"
	"net/http"
	"time"

	"sallyport/internal/rotation/rehearse"
	"sallyport/internal/rotation/sweep"
)

// Rehearsed is what came of a try of a rotation's driver.
type Rehearsed struct {
	Rotation string          `json:"rotation"`
	Steps    []rehearse.Step `json:"steps"`
}

// swept is a report with what a command needs of an error beside it.
type swept struct {
	Report  sweep.Report `json:"report"`
	Failure *runFailure  `json:"failure,omitempty"`
}

// tried is the same for a try.
type tried struct {
	Rehearsed

	Failure *runFailure `json:"failure,omitempty"`
}

// careHandler answers Runs.Sweep and Runs.Rehearse.
func (a *App) careHandler(mux *http.ServeMux) {
	mux.HandleFunc("POST /rotations/{name}/sweep", func(w http.ResponseWriter, r *http.Request) {
		a.cared(w, r, func(ctx context.Context, name, actor string, q RunRequest) any {
			report, err := a.secrets.Sweep(ctx, name, actor, q.Fix)
			return swept{report, newRunFailure(err)}
		})
	})
	mux.HandleFunc("POST /rotations/{name}/test", func(w http.ResponseWriter, r *http.Request) {
		a.cared(w, r, func(ctx context.Context, name, actor string, _ RunRequest) any {
			t := tried{Rehearsed: Rehearsed{Rotation: name, Steps: []rehearse.Step{}}}
			err := a.secrets.Rehearse(ctx, name, actor, func(s rehearse.Step) { t.Steps = append(t.Steps, s) })
			t.Failure = newRunFailure(err)
			return t
		})
	})
}

// cared does what a command asks for while it waits, which may take minutes at the provider.
func (a *App) cared(w http.ResponseWriter, r *http.Request,
	do func(ctx context.Context, name, actor string, q RunRequest) any,
) {
	q, err := runRequest(w, r)
	by, known := asker(r.Context())
	if err == nil && !known {
		err = errNobody
	}
	var body any
	if err == nil {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the command has said all, and waits
		body = do(r.Context(), r.PathValue("name"), by.Name, q)
	}
	answerRun(w, body, err)
}

// Sweep looks for keys that the rotation has made and nothing accounts for, and with fix removes what is safe to
// remove. The report is there beside an error too.
func (r Runs) Sweep(ctx context.Context, name string, fix bool) (sweep.Report, error) {
	var s swept
	if err := r.get(ctx, "sweep", name, RunRequest{Fix: fix}, &s); err != nil {
		return sweep.Report{}, err
	}
	return s.Report, s.Failure.err()
}

// Rehearse tries the rotation's driver with a key of its own, which is deleted again.
func (r Runs) Rehearse(ctx context.Context, name string) (Rehearsed, error) {
	var t tried
	if err := r.get(ctx, "test", name, RunRequest{}, &t); err != nil {
		return Rehearsed{}, err
	}
	return t.Rehearsed, t.Failure.err()
}
