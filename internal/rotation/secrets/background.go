package secrets

import (
	"context"
	"errors"
	"maps"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/poll"
	"sallyport/internal/rotation/run"
	"sallyport/internal/schedule"
	"sallyport/internal/secret"
)

const (
	tick = 5 * time.Second
	// lookEvery is how often a run that waits for consumers is looked at.
	lookEvery = time.Minute
	// retryFirst and retryLongest bound how soon what failed is tried again; it doubles.
	retryFirst   = 30 * time.Second
	retryLongest = time.Hour
	// atOnce is how many runs are worked on at one time.
	atOnce = 4
)

// Hear tells that a replica asks something.
func (r *Rotations) Hear() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// Wake has the runs looked at now.
func (r *Rotations) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run begins what is due and goes on with what is unfinished, until ctx ends.
func (r *Rotations) Run(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	r.look(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.stop.Done():
			return
		case <-ticker.C:
		case <-r.wake:
		}
		r.look(ctx)
	}
}

// Answer answers what replicas are asked, until ctx ends.
func (r *Rotations) Answer(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		list, err := r.o.Poll.Open(ctx, r.o.Replica)
		if err != nil && ctx.Err() == nil {
			r.o.Log.WarnContext(ctx, "looking for what rotations ask", "error", err)
		}
		var answering guard.Group
		for _, q := range list {
			answering.Go("answering what a rotation asks", func() { r.reply(ctx, q) })
		}
		answering.Wait()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-r.asked:
		}
	}
}

func (r *Rotations) reply(ctx context.Context, q poll.Question) {
	var failure string
	err := guard.Try("answering what a rotation asks", func() error {
		failure = r.answer(ctx, q)
		return nil
	})
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		r.o.Panicked("rotation", why)
		failure = "Sallyport failed there: " + why.Error()
	}
	if ctx.Err() != nil {
		return // it is stopping, and what failed says nothing about the value
	}
	if err := r.o.Poll.Answer(ctx, q, r.o.Replica, failure); err != nil && ctx.Err() == nil {
		r.o.Log.WarnContext(ctx, "answering what a rotation asks", "rotation", q.Rotation, "error", err)
	}
}

// look begins and resumes what it is time for.
func (r *Rotations) look(ctx context.Context) {
	all, err := r.o.Journal.List(ctx)
	if err != nil {
		return // the database is away, which is told elsewhere
	}
	c, now := r.o.Config(), r.o.Now()
	byName := make(map[string][]run.Entry)
	for i := range all {
		byName[all[i].Name] = append(byName[all[i].Name], all[i])
	}
	names := r.wanted(c, byName)
	for _, name := range names {
		r.forget(name, byName[name], c.Rotations[name])
	}
	r.remember(c, byName)
	for _, name := range names {
		do := r.due(ctx, c, name, byName[name], now)
		if do == nil || !r.room(name) {
			continue
		}
		r.running.Go("rotating a secret", func() { r.attempt(ctx, name, do) })
	}
}

// forget drops what failed here, if it is done since: by another replica, or because a person asked for it. What waits
// for approval is not failing any more either when its schedule is gone.
func (r *Rotations) forget(name string, runs []run.Entry, spec *config.Rotation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, there := r.failed[name]
	if !there {
		return
	}
	done := false
	if len(runs) > 0 {
		e := &runs[len(runs)-1]
		done = e.Updated.After(before.at) && e.State != run.StateRolledBack && (e.Ended() || e.LastError == "")
	}
	if done || before.approval && (spec == nil || spec.Schedule == nil || spec.Approve == 0) {
		delete(r.failed, name)
	}
}

// wanted are the rotations of the configuration, and those that were in it and have a run that is unfinished.
func (r *Rotations) wanted(c *config.Config, byName map[string][]run.Entry) []string {
	names := c.RotationNames()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.known, c.Rotations)
	for name := range r.known {
		if c.Rotations[name] == nil && unfinished(byName[name]) != nil {
			names = append(names, name)
		}
	}
	return names
}

// room tells whether another run may be worked on now.
func (r *Rotations) room(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy[name] == nil && len(r.busy) < atOnce && r.stop.Err() == nil
}

func unfinished(runs []run.Entry) *run.Entry {
	for i := range runs {
		if !runs[i].Ended() {
			return &runs[i]
		}
	}
	return nil
}

type attempt func(ctx context.Context) (run.Entry, error)

// due is what it is time for with a rotation, or nil.
func (r *Rotations) due(ctx context.Context, c *config.Config, name string, runs []run.Entry, now time.Time) attempt {
	r.mu.Lock()
	before := r.failed[name]
	r.mu.Unlock()
	if now.Before(before.next) {
		return nil
	}
	if e := unfinished(runs); e != nil {
		if !r.ripe(e, now) {
			return nil
		}
		return func(ctx context.Context) (run.Entry, error) { return r.Resume(ctx, name, nil) }
	}
	spec := c.Rotations[name]
	if spec == nil || spec.Schedule == nil || !r.scheduled(ctx, name, spec, runs, now) {
		return nil
	}
	return func(ctx context.Context) (run.Entry, error) {
		return r.Rotate(ctx, name, run.Request{Actor: "schedule"}, nil)
	}
}

// ripe tells whether an unfinished run is to be gone on with. Whether its process is at work the journal knows. What
// stood before this process began is gone on with at once.
func (r *Rotations) ripe(e *run.Entry, now time.Time) bool {
	switch {
	case e.State == run.StateStuck:
		return false
	case e.State == run.StateWaiting:
		return now.Sub(e.Looked) >= lookEvery || e.Looked.After(now)
	case e.Owner == "" && e.LastError != "" && !e.Updated.Before(r.started):
		return now.Sub(e.Updated) >= backoff(e.Tries) || e.Updated.After(now)
	}
	return true
}

func backoff(times int) time.Duration {
	return min(retryFirst<<min(max(times-1, 0), 10), retryLongest)
}

// scheduled tells whether the next run of a rotation is due. Runs that were rolled back do not count as runs, but each
// delays the next attempt.
func (r *Rotations) scheduled(ctx context.Context, name string, spec *config.Rotation, runs []run.Entry,
	now time.Time,
) bool {
	s, err := schedule.Parse(spec.Schedule.Text())
	if err != nil {
		return false // the configuration has been checked
	}
	var last time.Time
	failures, since := 0, time.Time{}
	for _, e := range runs {
		if e.State == run.StateRolledBack {
			failures, since = failures+1, e.Updated
			continue
		}
		last, failures = e.Started, 0
	}
	if failures > 0 && now.Sub(since) < backoff(failures+4) && !since.After(now) {
		return false
	}
	if last.IsZero() {
		last = r.first(ctx, name, spec)
	}
	next := s.Next(name, last, now)
	return !next.IsZero() && !next.After(now)
}

// first is what the first run of a schedule is counted from, as it was read a while ago.
type first struct {
	ref      secret.Ref
	from, at time.Time
}

// firstFor is how long a store is not asked again for that.
const firstFor = 5 * time.Minute

// first is what the first run of a schedule is counted from: the time at which the secret got its value. A cron
// expression is counted from this start: it names times, and not an age.
func (r *Rotations) first(ctx context.Context, name string, spec *config.Rotation) time.Time {
	r.mu.Lock()
	known, now := r.firsts[name], r.o.Now()
	r.mu.Unlock()
	if known.ref == spec.Secret && now.Sub(known.at) < firstFor && !known.at.After(now) {
		return known.from
	}
	known = first{spec.Secret, r.readFirst(ctx, spec), now}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.firsts[name] = known
	return known.from
}

func (r *Rotations) readFirst(ctx context.Context, spec *config.Rotation) time.Time {
	if spec.Schedule.Cron != "" {
		return r.started
	}
	store, err := r.o.Store(ctx, spec.Secret.Store)
	if err != nil {
		return r.started
	}
	_, version, err := store.Get(ctx, spec.Secret.Path, "")
	if err != nil || version.Created.IsZero() {
		return r.started
	}
	return version.Created
}

// attempt does what is due, and notes how it went.
func (r *Rotations) attempt(ctx context.Context, name string, do attempt) {
	err := guard.Try("rotating a secret", func() error {
		_, err := do(ctx)
		return err
	})
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		r.o.Panicked("rotation", why)
	}
	r.mu.Lock()
	before := r.failed[name]
	delete(r.failed, name)
	quiet := err == nil || errors.Is(err, run.ErrRunning) || errors.Is(err, run.ErrTaken) || errors.Is(err, ErrBusy) ||
		errors.Is(err, errAborting) || r.stop.Err() != nil
	if !quiet {
		times := before.times + 1
		now := r.o.Now()
		r.failed[name] = failure{
			err.Error(), errors.Is(err, approval.ErrNeeded), times, now, now.Add(backoff(times)),
		}
	}
	r.mu.Unlock()
	switch {
	case quiet || err.Error() == before.text:
	case errors.Is(err, approval.ErrNeeded):
		r.tellApproval(ctx, name, err)
		r.o.Log.WarnContext(ctx, "a rotation that is due waits for approval", "rotation", name, "error", err,
			"hint", fault.HintOf(err))
	default:
		r.o.Log.ErrorContext(ctx, "a rotation does not go on; it is tried again", "rotation", name, "error", err,
			"hint", fault.HintOf(err))
	}
}

// tellApproval tells that a run which is due waits until people have approved of its plan.
func (r *Rotations) tellApproval(ctx context.Context, name string, err error) {
	if r.o.Notify == nil {
		return
	}
	r.o.Notify.Notify(ctx, run.Notice{
		Kind: run.NoticeApproval, Rotation: name, Text: err.Error(), Hint: fault.HintOf(err),
		Alert: run.NoticeApproval.Alerts(),
	})
}

// Again has what failed tried now, and not after its pause: what was missing may be there.
func (r *Rotations) Again(name string) {
	r.mu.Lock()
	one := r.failed[name]
	one.next = time.Time{}
	r.failed[name] = one
	r.mu.Unlock()
	r.Wake()
}
