package secrets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/pause"
	"sallyport/internal/rotation/poll"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

const (
	aboutTest   = "test"   // does the pending value work from here
	aboutSpread = "spread" // is the version in use here
	aboutUses   = "uses"   // write down what you have counted

	// testPatience is how long replicas are waited for. One that was killed counts until it would have stopped
	// accepting tokens by itself; the run's lease is longer than this.
	testPatience   = 4 * time.Minute
	spreadPatience = 2 * time.Minute
	usesPatience   = time.Minute
	callTimeout    = 30 * time.Second // of one test call
	spreadTries    = 10               // how often a replica reads the store again, a second apart
)

// gate is run.Gate over all replicas.
type gate struct {
	r    *Rotations
	name string
	spec *config.Rotation
}

// Test implements run.Gate. The value is not sent to anybody: each replica takes the pending version of the store.
func (g *gate) Test(ctx context.Context, id string, _ secret.Value) ([]run.Verdict, error) {
	if g.r.o.Config().ProofOf(g.spec) == nil {
		return nil, nil
	}
	answers, err := g.r.o.Poll.Ask(ctx, poll.Question{Rotation: g.name, Run: id, About: aboutTest}, testPatience)
	if err != nil {
		return nil, err
	}
	verdicts := make([]run.Verdict, len(answers))
	for i, a := range answers {
		verdicts[i] = run.Verdict{Replica: a.Replica, Failure: a.Failure}
	}
	return verdicts, nil
}

// Spread implements run.Gate.
func (g *gate) Spread(ctx context.Context, version string) (missing []string, err error) {
	if err := g.r.o.Changed(ctx, g.spec.Secret.Store); err != nil {
		g.r.o.Log.DebugContext(ctx, "not every replica has read the store again yet", "error", err)
	}
	answers, err := g.r.o.Poll.Ask(ctx,
		poll.Question{Rotation: g.name, About: aboutSpread, Version: version}, spreadPatience)
	for _, a := range answers {
		if a.Failure != "" {
			missing = append(missing, a.Replica+" ("+a.Failure+")")
		}
	}
	return missing, err
}

// answer is what this replica answers. It has no value in it.
func (r *Rotations) answer(ctx context.Context, q poll.Question) string {
	var err error
	if q.About == aboutUses { // of all rotations, so that it needs none in the configuration
		if err = r.o.Evidence.Flush(ctx); err != nil {
			return err.Error()
		}
		return ""
	}
	spec, known := r.o.Config().Rotations[q.Rotation], false
	if known = spec != nil; !known {
		spec, err = r.spec(q.Rotation)
	}
	switch {
	case err != nil:
		err = errors.New("this replica's configuration has no such rotation")
	case q.About == aboutTest:
		err = r.prove(ctx, q, spec)
	case q.About == aboutSpread:
		err = r.uses(ctx, q, spec)
	default:
		err = errors.New("this replica has another version of Sallyport, which does not know the question")
	}
	if err == nil {
		return ""
	}
	if hint := fault.HintOf(err); hint != "" {
		return err.Error() + " (" + hint + ")"
	}
	return err.Error()
}

// prove makes the test call with the pending version in the secret's place.
func (r *Rotations) prove(ctx context.Context, q poll.Question, spec *config.Rotation) error {
	stored, err := r.stored(ctx, spec)
	if err != nil {
		return err
	}
	value, err := stored.Staged(ctx, q.Run)
	if err != nil {
		return fmt.Errorf("reading the pending version: %w", err)
	}
	p := r.o.Config().ProofOf(spec)
	if p == nil {
		return errors.New("this replica's configuration has no test for the rotation")
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, p.Method, p.Path, http.NoBody)
	if err != nil {
		return errors.New("the test's path is not one")
	}
	req.Header.Set("Accept", "application/json, text/plain, */*")
	resp, err := r.o.Try(ctx, Caller{q.Rotation, q.Run, "test"}, p.Service, Tried{spec.Secret, value}, req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if !slices.Contains(p.Expect, resp.StatusCode) {
		return fmt.Errorf("%s %s of service %q answered %d with the new value, and %s is expected", p.Method, p.Path,
			p.Service, resp.StatusCode, strings.Trim(fmt.Sprint(p.Expect), "[]"))
	}
	return nil
}

// uses reads the store again until requests use the version, or a newer one.
func (r *Rotations) uses(ctx context.Context, q poll.Question, spec *config.Rotation) error {
	c := r.o.Config()
	for try := 0; ; try++ {
		if err := r.o.Refresh(ctx, spec.Secret.Store); err != nil {
			return err
		}
		other := ""
		for _, name := range c.UsersOf(spec.Secret) {
			for _, ref := range c.Services[name].Refs() {
				if !config.SameSecret(ref, spec.Secret) || ref.Version != "" {
					continue
				}
				if version, ok := r.o.Held(ref); ok && version != q.Version {
					other = version
				}
			}
		}
		if other == "" {
			return nil
		}
		if try == spreadTries {
			return fmt.Errorf("it still uses version %s", other)
		}
		stored, err := r.stored(ctx, spec)
		if err != nil {
			return err
		}
		if _, current, err := stored.Current(ctx); err == nil && current == other && try > 0 {
			return nil // another one was made current since, and is in use
		}
		if err := pause.For(ctx, time.Second); err != nil {
			return err
		}
	}
}

// uses is run.Evidence of one rotation's secret.
type uses struct {
	r    *Rotations
	name string
	spec *config.Rotation
}

// Uses implements run.Evidence.
func (u *uses) Uses(ctx context.Context, version string) ([]run.Use, error) {
	return u.r.o.Evidence.Uses(ctx, u.r.o.Label(u.spec.Secret, version))
}

// Gather implements run.Evidence. A replica that has ended without a goodbye cannot be asked: its last uses are not
// counted, so it counts as one that may have used anything until it stopped accepting tokens.
func (u *uses) Gather(ctx context.Context) (missing []string, err error) {
	answers, err := u.r.o.Poll.Ask(ctx, poll.Question{Rotation: u.name, About: aboutUses}, usesPatience)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		if a.Failure != "" {
			missing = append(missing, a.Replica+" ("+a.Failure+")")
		}
	}
	members, err := u.r.o.Members(ctx)
	if err != nil {
		return nil, err
	}
	for i := range members {
		if m := &members[i]; m.Accepts <= 0 && -m.Accepts < u.spec.Grace {
			missing = append(missing, fmt.Sprintf("%s at %s (it ended %s ago without saying what it had used)",
				m.Host, m.Address, (-m.Accepts).Round(time.Second)))
		}
	}
	return missing, nil
}

// fleets is run.Fleet.
type fleets struct {
	r      *Rotations
	name   string
	stored *run.Stored
}

// Restart implements run.Fleet. The reason stands for the version, so that a second call finds what the first has done.
func (f *fleets) Restart(ctx context.Context, target string) error {
	_, version, err := f.stored.Current(ctx)
	if err != nil {
		return err
	}
	return f.r.o.Restart(ctx, target, "rotation "+f.name+", version "+version)
}
