package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"sallyport/internal/guard"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/run"
)

// rotor is what the control socket asks of the gate's rotations.
type rotor interface {
	// Plan is what a run would do now.
	Plan(ctx context.Context, name string) (*plan.Plan, error)
	// Approve approves of the plan as it is now, if it has that hash.
	Approve(ctx context.Context, name, hash string, by approval.Person) (approval.Approval, error)
	// Act does one of the acts, and calls watch with each step that is put on record.
	Act(ctx context.Context, t turn, watch func(run.Entry)) (run.Entry, error)
}

// turn is what someone wants done with the runs of a rotation.
type turn struct {
	act, name string
	by        approval.Person
	RunRequest
}

// runsHandler answers Runs. Runs that are begun end with background, and not with the command.
func (a *App) runsHandler(background context.Context, mux *http.ServeMux, of rotor) {
	mux.HandleFunc("POST /rotations/{name}/plan", func(w http.ResponseWriter, r *http.Request) {
		p, err := of.Plan(r.Context(), r.PathValue("name"))
		answerRun(w, p, err)
	})
	mux.HandleFunc("POST /rotations/{name}/approve", func(w http.ResponseWriter, r *http.Request) {
		q, err := runRequest(w, r)
		var given approval.Approval
		by, known := asker(r.Context())
		if err == nil && !known {
			err = errNobody
		}
		if err == nil {
			given, err = of.Approve(r.Context(), r.PathValue("name"), q.Hash, by)
		}
		answerRun(w, given, err)
	})
	mux.HandleFunc("POST /rotations/{name}/{act}", func(w http.ResponseWriter, r *http.Request) {
		q, err := runRequest(w, r)
		if err != nil {
			answerRun(w, nil, err)
			return
		}
		by, known := asker(r.Context()) //nolint:contextcheck // the command may leave, and the run goes on with background
		if !known {
			answerRun(w, nil, errNobody)
			return
		}
		t := turn{act: r.PathValue("act"), name: r.PathValue("name"), by: by, RunRequest: q}
		a.followRun(w, r, func(watch func(run.Entry)) (run.Entry, error) {
			return of.Act(background, t, watch)
		})
	})
}

var errNobody = errors.New("the kernel does not say who asks over the control socket")

func runRequest(w http.ResponseWriter, r *http.Request) (q RunRequest, err error) {
	return q, json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&q)
}

func answerRun(w http.ResponseWriter, body any, err error) {
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		body = newRunFailure(err)
	}
	writeJSON(w, body)
}

// followed is how many steps wait for a command that reads slowly; those that come then are left out.
const followed = 64

// followRun does what is asked for in the background, and writes each step while the command is there to read it. The
// run does not depend on that: a command that is gone ends nothing.
func (a *App) followRun(w http.ResponseWriter, r *http.Request, do func(watch func(run.Entry)) (run.Entry, error)) {
	steps, ended := make(chan run.Entry, followed), make(chan runLine, 1)
	a.running.Go("a rotation", func() {
		var e run.Entry
		err := guard.Try("rotating", func() (err error) {
			e, err = do(func(e run.Entry) {
				select {
				case steps <- e:
				default: // the next one says more
				}
			})
			return err
		})
		line := runLine{Failure: newRunFailure(err), End: true}
		if e.ID != "" {
			line.Run = &e
		}
		ended <- line
		a.noticed("rotation", err)
	})
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the command has said all, and waits
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for {
		var line runLine
		select {
		case e := <-steps:
			line.Run = &e
		case line = <-ended:
			for len(steps) > 0 {
				e := <-steps
				_ = lines.Encode(runLine{Run: &e})
			}
		case <-r.Context().Done():
			return
		}
		if lines.Encode(line) != nil || out.Flush() != nil || line.End {
			return
		}
	}
}
