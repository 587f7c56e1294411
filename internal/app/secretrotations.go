package app

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/held"
	"sallyport/internal/boundary/inside"
	"sallyport/internal/config"
	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/notify"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/poll"
	"sallyport/internal/rotation/run"
	"sallyport/internal/rotation/secrets"
	"sallyport/internal/secret"
)

// keyPoll is the purpose of the key that authenticates what replicas ask each other.
const keyPoll = "rotation-poll"

// SecretRotations are the rotations of secrets of this gate, from Start on.
func (a *App) SecretRotations() *secrets.Rotations { return a.secrets }

func (a *App) newSecretRotations() *secrets.Rotations {
	now := a.o.now
	if now == nil {
		now = time.Now
	}
	asking := &poll.Poll{DB: a.state.DB, Key: a.pollKey, Now: time.Now, Wake: func() { a.secrets.Hear() }}
	return secrets.New(secrets.Options{
		Config: a.config.Load, Journal: a.state.secretRuns().By(now), Poll: asking, Evidence: a.uses,
		Members: a.state.DB.Members,
		Replica: a.follower.Self.ID, Owner: a.follower.Self.Host + "/" + a.follower.Self.ID, Environ: os.Environ(),
		Store: a.state.stores.Store,
		Resolve: func(ctx context.Context, ref secret.Ref) (secret.Value, error) {
			value, _, err := a.state.Resolve(ctx, ref)
			return value, err
		},
		Changed: a.storeChanged, Refresh: a.refreshSecrets, Held: a.heldVersion,
		Label: func(ref secret.Ref, version string) string {
			return assemble.Label(ref, secret.Version{ID: version})
		},
		Do: a.callFor, Try: a.tryFor, Restart: a.restartFleet, Record: a.audit.Admin,
		Panicked: a.broke, Log: a.log, Now: now, Notify: a.notices,
		Permit: func(p *plan.Plan, starter *approval.Person) run.Permit {
			return a.state.planApprovals().Permit(approval.Request{Plan: p, Starter: starter})
		},
		Approved: func(ctx context.Context, p *plan.Plan) []string {
			names, err := a.state.planApprovals().Of(ctx, p)
			if err != nil {
				a.log.WarnContext(ctx, "reading who has approved", "rotation", p.Does.Rotation, "error", err)
			}
			return names
		},
	})
}

// newNotices delivers notices of rotations to the webhooks of the configuration.
func (a *App) newNotices(ctx context.Context) *notify.Sender {
	memory := new(held.Memory)
	return notify.Start(ctx, notify.Options{
		Hooks: a.hooks, Own: func() *egress.Own { return &a.listeners.own }, Log: a.log,
		Clean: func(text string) string { return memory.Cut(a.pipeline.Services(), text, time.Now(), true) },
		Broke: func(why *fault.Panic) { a.broke("notices of rotations", why) }, Ended: a.told.count,
	})
}

// noticesEnd is how long a gate that stops still tries to deliver notices.
const noticesEnd = 3 * time.Second

func (a *App) closeNotices(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, noticesEnd)
	defer cancel()
	if err := a.notices.Close(ctx); err != nil {
		a.log.WarnContext(ctx, "stopping before all notices of rotations were delivered", "error", err)
	}
	return nil
}

// hooks are the webhooks of the rotation that a notice is about.
func (a *App) hooks(n run.Notice) (list []notify.Hook) {
	r := a.config.Load().Rotations[n.Rotation]
	if r == nil {
		return nil
	}
	for _, ref := range r.Notify {
		list = append(list, notify.Hook{
			Name: ref.String(), AllowPrivate: r.NotifyPrivate,
			URL: func(ctx context.Context) (secret.Value, error) {
				value, _, err := a.state.Resolve(ctx, ref)
				return value, err
			},
		})
	}
	return list
}

// closeRotations lets runs under way put on record where they stand.
func (a *App) closeRotations(ctx context.Context) error {
	if !a.within(ctx, 2, a.secrets.Close) {
		a.log.WarnContext(ctx, "stopping without waiting for a rotation; it goes on at the next start")
	}
	return nil
}

// storeChanged tells the other replicas that a store has another version, and reads it here.
func (a *App) storeChanged(ctx context.Context, store string) error {
	topic := topicStore + store
	if a.isBuiltin(store) {
		topic = topicSecrets
	}
	err := a.state.DB.Notify(ctx, topic)
	a.follower.Hurry()
	return errors.Join(err, a.refreshSecrets(ctx, store))
}

func (a *App) isBuiltin(store string) bool {
	return slices.Contains(a.state.stores.builtins(), store)
}

// refreshSecrets reads a store's secrets again. When it returns, the next request uses them.
func (a *App) refreshSecrets(ctx context.Context, store string) error {
	if a.isBuiltin(store) {
		return a.refresh(ctx, topicSecrets)
	}
	return a.refreshStore(ctx, store)
}

func (a *App) heldVersion(ref secret.Ref) (version string, ok bool) {
	res, _ := a.state.stores.resolver.Held(ref)
	return res.Version.ID, res.Err == nil
}

func (a *App) caller(by secrets.Caller) *inside.Caller {
	return &inside.Caller{
		Services: a.pipeline.Services(), Audit: a.uses, Log: a.log, Now: time.Now,
		Label: "rotation", Workflow: "rotation " + by.Rotation, Execution: by.Run, Node: by.Doing,
	}
}

// callFor makes a driver's call.
func (a *App) callFor(ctx context.Context, by secrets.Caller, name string, req *http.Request) (*http.Response, error) {
	resp, err := a.caller(by).Do(ctx, name, req)
	if own, ok := errors.AsType[*inside.Error](err); ok {
		err = fault.WithHint(errors.Join(err, unlessSent(own.Sent)), own.Hint())
	}
	return resp, err
}

// unlessSent is what a driver is told of a call that did not leave the gate, or may have.
func unlessSent(sent bool) error {
	if sent {
		return driver.ErrUnclear
	}
	return driver.ErrRefused
}

// tryFor calls a service with a value in the place of a secret. Its use is on record as that of a pending version.
func (a *App) tryFor(ctx context.Context, by secrets.Caller, name string, what secrets.Tried, req *http.Request,
) (*http.Response, error) {
	c := a.config.Load().Services[name]
	if c == nil {
		return nil, errors.New("this replica's configuration has no service " + name)
	}
	ref, stored := what.Ref, run.Stored{Ref: what.Ref}
	held := func(one secret.Ref) (secret.Result, error) {
		if !config.SameSecret(one, ref) || one.Version != "" {
			return a.state.stores.resolver.Held(one)
		}
		var res secret.Result
		if one.Field == "" && ref.Field != "" {
			res, _ = a.state.stores.resolver.Held(one)
		}
		res.Value, res.Err = stored.Within(res.Value, what.Value, one.Field)
		res.Version = secret.Version{ID: "pending-" + by.Run}
		return res, nil
	}
	t := inside.Trial{
		Name: name, Service: c, Held: held, Own: &a.listeners.own,
		Mint: func(ctx context.Context, name string) error {
			return a.audit.Admin(ctx, &audit.Event{Actor: "gate", Action: "token.mint", Subject: name + " for a test"})
		},
	}
	caller := a.caller(by)
	caller.Audit = a.audit // a test is no use of a version
	return t.Do(ctx, caller, req)
}

func (a *App) restartFleet(ctx context.Context, name, reason string) error {
	f, err := OpenFleet(ctx, a.config.Load(), name)
	if err != nil {
		return err
	}
	return errors.Join(f.Restart(ctx, reason), f.Close())
}

// collectRotations tells how rotations of secrets stand.
func (a *App) collectRotations(emit func(monitor.Gauge)) {
	if a.secrets == nil {
		return
	}
	for _, s := range a.secrets.Shown() {
		emit(monitor.Gauge{
			Desc: monitor.SecretRotationFailing, Value: truth(s.Failure != ""), Labels: []string{s.Name},
		})
		if !s.Success.IsZero() {
			emit(monitor.Gauge{
				Desc: monitor.SecretRotationLast, Value: float64(s.Success.UnixMilli()) / 1000,
				Labels: []string{s.Name},
			})
		}
		if !s.Due.IsZero() {
			emit(monitor.Gauge{
				Desc: monitor.SecretRotationDue, Value: float64(s.Due.UnixMilli()) / 1000, Labels: []string{s.Name},
			})
		}
		emit(monitor.Gauge{Desc: monitor.SecretRotationState, Value: 1, Labels: []string{s.Name, s.State()}})
		waiting := 0
		if s.Run != nil && !s.Run.Ended() {
			waiting = s.Run.Needed()
			emit(monitor.Gauge{
				Desc: monitor.SecretRotationBegan, Value: float64(s.Run.Started.UnixMilli()) / 1000,
				Labels: []string{s.Name},
			})
		}
		emit(monitor.Gauge{
			Desc: monitor.SecretRotationConsumers, Value: float64(waiting), Labels: []string{s.Name},
		})
	}
	a.told.collect(emit)
	a.secrets.Ended(func(name string, state run.State, count int) {
		emit(monitor.Gauge{
			Desc: monitor.SecretRotationRuns, Value: float64(count), Labels: []string{name, string(state)},
		})
	})
}
