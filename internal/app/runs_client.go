package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/run"
)

// Runs are the commands' side of rotations: the running gate does them.
type Runs struct{ control control }

// OpenRuns returns the rotations of the gate that runs on the data directory of c.
func OpenRuns(c *config.Config) Runs { return Runs{control{c.Data}} }

// runLine is a line of the gate's answer. The last one has End.
type runLine struct {
	Run     *run.Entry  `json:"run,omitempty"`
	Failure *runFailure `json:"failure,omitempty"`
	End     bool        `json:"end,omitempty"`
}

// runFailure is an error with what a command needs of it.
type runFailure struct {
	Error string     `json:"error"`
	Hint  string     `json:"hint,omitempty"`
	Exit  fault.Exit `json:"exit"`
}

func newRunFailure(err error) *runFailure {
	if err == nil {
		return nil
	}
	return &runFailure{err.Error(), fault.HintOf(err), fault.ExitOf(err)}
}

func (f *runFailure) err() error {
	if f == nil {
		return nil
	}
	err := errors.New(f.Error)
	if f.Hint != "" {
		err = fault.WithHint(err, f.Hint)
	}
	return fault.WithExit(err, f.Exit)
}

// RunRequest is what the gate is asked to do with the runs of a rotation.
type RunRequest struct {
	Run    string `json:"run,omitempty"`    // the caller's own name of it
	Wanted string `json:"wanted,omitempty"` // for the record: what was asked for
	Hash   string `json:"hash,omitempty"`   // of the plan that is approved of
	Fix    bool   `json:"fix,omitempty"`    // a sweep removes what is safe to remove
}

// What the gate can be asked to do.
const (
	ActRotate  = "rotate"
	ActResume  = "resume"
	ActForward = "forward"
	ActAbort   = "abort"
)

// Do has the gate begin or go on with a run, and calls watch with each step that is put on record. It returns how the
// run stands when the gate has nothing more to do now. When ctx ends the gate goes on.
func (r Runs) Do(ctx context.Context, act, name string, q RunRequest, watch func(run.Entry)) (run.Entry, error) {
	resp, err := r.ask(ctx, act, name, q)
	if err != nil {
		return run.Entry{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var last run.Entry
	for lines := json.NewDecoder(resp.Body); ; {
		var line runLine
		if err := lines.Decode(&line); err != nil {
			if ctx.Err() != nil {
				return last, ctx.Err()
			}
			return last, fault.WithExit(fault.WithHint(fmt.Errorf("following the rotation %q: %w", name, err),
				"if the gate has ended, the next one goes on; `sallyport rotation status "+name+"` shows how far it "+
					"is"), fault.ExitLocked)
		}
		if line.Run != nil {
			last = *line.Run
			if !line.End {
				watch(last)
			}
		}
		if line.End {
			return last, line.Failure.err()
		}
	}
}

// Plan asks what a run would do.
func (r Runs) Plan(ctx context.Context, name string) (*plan.Plan, error) {
	p := new(plan.Plan)
	return p, r.get(ctx, "plan", name, RunRequest{}, p)
}

// Approve approves of the plan with that hash, as the person that the gate takes the caller for.
func (r Runs) Approve(ctx context.Context, name, hash string) (approval.Approval, error) {
	var a approval.Approval
	return a, r.get(ctx, "approve", name, RunRequest{Hash: hash}, &a)
}

func (r Runs) get(ctx context.Context, act, name string, q RunRequest, to any) error {
	resp, err := r.ask(ctx, act, name, q)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxRunAnswer)).Decode(to); err != nil {
		return fmt.Errorf("reading the running gate's answer: %w", err)
	}
	return nil
}

// maxRunAnswer bounds an answer, in bytes; a plan names all consumers.
const maxRunAnswer = 16 << 20

// ask makes one call. An answer that is no success is the gate's error, with its hint and exit code.
func (r Runs) ask(ctx context.Context, act, name string, q RunRequest) (*http.Response, error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("writing a message to the running gate: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return r.control.dial(ctx) },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gate/rotations/"+url.PathEscape(name)+"/"+act,
		bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("calling the running gate: %w", err)
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, errNoGate):
		return nil, fault.WithHint(fmt.Errorf("rotating %q: %w", name, errNoGate),
			"`sallyport serve` does rotations: it tests the new value and sees who uses it")
	case err != nil:
		return nil, fmt.Errorf("calling the running gate: %w", err)
	case resp.StatusCode == http.StatusOK:
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("reading the running gate's answer: %w", err)
	}
	f := new(runFailure)
	if json.Unmarshal(text, f) != nil || f.Error == "" {
		return nil, fault.WithHint(fmt.Errorf("the running gate answered %d: %s", resp.StatusCode,
			bytes.TrimSpace(text)), "a gate of another version does not know this; restart it")
	}
	return nil, f.err()
}
