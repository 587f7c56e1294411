package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/monitor"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/run"
)

// runner is what answers at the gate's side.
type runner struct {
	act   func(ctx context.Context, q RunRequest, watch func(run.Entry)) (run.Entry, error)
	asked []string
	by    []approval.Person
}

func (r *runner) Plan(context.Context, string) (*plan.Plan, error) {
	return plan.New(plan.Does{Rotation: "crm"}, plan.Now{}), nil
}

func (r *runner) Approve(_ context.Context, name, hash string, by approval.Person) (approval.Approval, error) {
	r.by = append(r.by, by)
	return approval.Approval{Rotation: name, Hash: hash, By: by}, nil
}

func (r *runner) Act(ctx context.Context, one turn, watch func(run.Entry)) (run.Entry, error) {
	r.asked = append(r.asked, one.act+" "+one.name+" "+one.Run)
	r.by = append(r.by, one.by)
	return r.act(ctx, one.RunRequest, watch)
}

// socketed is the commands' side of a gate that has nothing but a control socket.
func socketed(t *testing.T, background context.Context, of rotor) Runs {
	t.Helper()
	data := t.TempDir()
	dir, err := localfile.OpenDir(data)
	if err != nil {
		t.Fatal(err)
	}
	l, err := dir.ListenUnix(t.Context(), socketName, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	a := &App{log: slog.New(slog.DiscardHandler), metrics: monitor.New("test")}
	mux := http.NewServeMux()
	a.runsHandler(background, mux, of)
	server := &http.Server{Handler: a.guarded("control", mux), ConnContext: known}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		a.running.Wait()
		_ = dir.Close()
	})
	return Runs{control{data}}
}

// TestRunsOverTheSocket: a command sees each step, and the error with its hint and exit code; the gate knows who asks.
func TestRunsOverTheSocket(t *testing.T) {
	r := &runner{act: func(_ context.Context, _ RunRequest, watch func(run.Entry)) (run.Entry, error) {
		for _, step := range []run.Step{run.StepCreate, run.StepSet, run.StepUndo} {
			watch(run.Entry{ID: "r1", Step: step})
		}
		return run.Entry{ID: "r1", State: run.StateRolledBack},
			fault.WithExit(fault.WithHint(errors.New("the API answered 401"), "look at it"), fault.ExitStore)
	}}
	runs := socketed(t, t.Context(), r)
	var steps []run.Step
	e, err := runs.Do(t.Context(), ActRotate, "crm/1", RunRequest{Run: "job"}, func(e run.Entry) {
		steps = append(steps, e.Step)
	})
	if err == nil || err.Error() != "the API answered 401" || fault.HintOf(err) != "look at it" ||
		fault.ExitOf(err) != fault.ExitStore || e.State != run.StateRolledBack {
		t.Errorf("got %+v, %v", e, err)
	}
	if diff := cmp.Diff([]run.Step{run.StepCreate, run.StepSet, run.StepUndo}, steps); diff != "" {
		t.Error(diff)
	}
	p, err := runs.Plan(t.Context(), "crm")
	if err != nil || p.Hash != p.Does.Hash() {
		t.Errorf("got %+v (%v)", p, err)
	}
	given, err := runs.Approve(t.Context(), "crm", "h")
	if err != nil || given.Hash != "h" || given.Rotation != "crm" {
		t.Errorf("got %+v (%v)", given, err)
	}
	if diff := cmp.Diff([]string{"rotate crm/1 job"}, r.asked); diff != "" {
		t.Error(diff)
	}
	for _, by := range r.by {
		if !by.Login && by.UID != os.Geteuid() || by.Name == "" {
			t.Errorf("asked by %+v", by)
		}
	}
}

// TestCommandLeaves: a command that is gone ends nothing, and the gate's own end does.
func TestCommandLeaves(t *testing.T) {
	background, stop := context.WithCancel(t.Context())
	defer stop()
	began, left, went, ended := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan error, 1)
	runs := socketed(t, background, &runner{
		act: func(ctx context.Context, _ RunRequest, watch func(run.Entry)) (run.Entry, error) {
			watch(run.Entry{ID: "r1"})
			close(began)
			<-left
			if ctx.Err() != nil {
				t.Errorf("the run ended with the command: %v", ctx.Err())
			}
			watch(run.Entry{ID: "r1"})
			close(went)
			<-ctx.Done()
			ended <- ctx.Err()
			return run.Entry{}, ctx.Err()
		},
	})
	ctx, leave := context.WithCancel(t.Context())
	e, err := runs.Do(ctx, ActRotate, "crm", RunRequest{}, func(run.Entry) {
		<-began
		leave()
	})
	if !errors.Is(err, context.Canceled) || e.ID != "r1" {
		t.Errorf("got %+v, %v", e, err)
	}
	close(left)
	<-went
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestNoGate: rotations need one, and a command says so.
func TestNoGate(t *testing.T) {
	_, err := Runs{control{t.TempDir()}}.Plan(t.Context(), "crm")
	if !errors.Is(err, errNoGate) || fault.HintOf(err) == "" {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}

// TestPanicInARun: it is an error of that run, for the command too.
func TestPanicInARun(t *testing.T) {
	runs := socketed(t, t.Context(), &runner{
		act: func(context.Context, RunRequest, func(run.Entry)) (run.Entry, error) { panic("a mistake") },
	})
	_, err := runs.Do(t.Context(), ActRotate, "crm", RunRequest{}, func(run.Entry) {})
	if err == nil {
		t.Error("no error")
	}
}
