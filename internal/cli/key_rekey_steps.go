package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/changeover"
	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// rekeySteps are the parts of a change that touch keys. It implements changeover.Steps.
type rekeySteps struct {
	env     *env
	state   *app.State
	flags   rekeyFlags
	options database.Options
	store   *target // nil: the keys are in files
	path    string  // of the key in it

	old, fresh secret.Value  // fresh is zero until there is one
	report     *rekey.Report // of the change that this process has made
	undone     *rekey.Undone // of what this process has taken back
	after      rekeyedAfter
}

func (e *env) rekeySteps(ctx context.Context, s *app.State, f rekeyFlags, o database.Options) (*rekeySteps, error) {
	steps := &rekeySteps{env: e, state: s, flags: f, options: o}
	if f.to == "" {
		return steps, nil
	}
	store, path, _ := strings.Cut(f.to, "/")
	if store == "" || path == "" {
		return nil, usage(fmt.Errorf("--to %q names no secret", f.to),
			"want STORE/NAME, for example builtin/n8n/master")
	}
	var err error
	steps.store, err = openTarget(ctx, s, store)
	steps.path = path
	return steps, err
}

// Keys implements changeover.Steps. Each key is in its file, or a version of the secret in the store.
func (s *rekeySteps) Keys(ctx context.Context, at changeover.Stored) error {
	if s.flags.undo != "" {
		return s.keysBack(ctx, at)
	}
	s.old, s.fresh = s.flags.options.Old, s.flags.options.New
	if s.flags.oldFile == "" {
		if err := s.version(ctx, at.Before, &s.old); err != nil {
			return fmt.Errorf("reading the old master key: %w", err)
		}
	}
	if s.flags.newFile == "" && at.Now != "" {
		if err := s.version(ctx, at.Now, &s.fresh); err != nil {
			return fmt.Errorf("reading the new master key: %w", err)
		}
	}
	if s.fresh.IsZero() {
		return nil
	}
	return s.sound()
}

// keysBack reads the keys of the change that is taken back from its backup, which any of them opens: the one that n8n
// got is the old one here. The former may be weak: that may be why it was changed, and a person wants it back.
func (s *rekeySteps) keysBack(ctx context.Context, at changeover.Stored) (err error) {
	keys := []secret.Value{s.flags.options.New, s.flags.options.Old}
	if s.store != nil {
		var held secret.Value
		if err := s.version(ctx, at.Before, &held); err != nil {
			return fmt.Errorf("reading the present master key: %w", err)
		}
		keys = append(keys, held)
	}
	keys = slices.DeleteFunc(keys, secret.Value.IsZero)
	s.fresh, s.old, err = rekey.Masters(s.flags.options.Backup, keys...)
	return err
}

// version reads a version of the key in the store; "" is the current one.
func (s *rekeySteps) version(ctx context.Context, id string, into *secret.Value) error {
	value, _, err := s.store.Get(ctx, s.path, id)
	if err != nil {
		return s.store.named(err)
	}
	key := normal(value.Reveal())
	if key == "" {
		return fmt.Errorf("%s is empty", s.flags.to)
	}
	*into = secret.NewValue([]byte(key))
	return nil
}

// Check implements changeover.Steps.
func (s *rekeySteps) Check(ctx context.Context) error {
	if err := s.checkFiles(); err != nil {
		return err
	}
	if err := s.checkStore(ctx); err != nil {
		return err
	}
	report, err := s.plan(ctx)
	if err != nil {
		return err
	}
	if len(report.Warnings) > 0 {
		return fault.WithHint(fault.WithExit(errors.New(strings.Join(report.Warnings, "; ")), fault.ExitFindings),
			"nothing was changed, and n8n was not stopped; --dry-run shows all of it")
	}
	s.env.note("%d values will be encrypted again, in about %s", report.Changed,
		max(report.Estimated.Round(time.Second), time.Second))
	return nil
}

func (s *rekeySteps) checkStore(ctx context.Context) error {
	if s.store == nil {
		return nil
	}
	if _, err := s.store.writer(); err != nil {
		return err
	}
	_, current, err := s.store.Get(ctx, s.path, "")
	switch {
	case errors.Is(err, secret.ErrNotFound) && s.flags.oldFile != "":
		return nil
	case err != nil:
		return s.store.named(err)
	case current.ID == "" && s.flags.newFile == "" && s.flags.undo == "":
		return fault.WithHint(fmt.Errorf("store %q keeps no versions: the old key would be lost", s.store.name),
			"give the keys as files: --old-key-file, --new-key-file")
	}
	return nil
}

// plan tells what the change would do. That n8n is at work is not in its way: it will be stopped.
func (s *rekeySteps) plan(ctx context.Context) (report rekey.Report, err error) {
	o := s.flags.options
	o.Old, o.New, o.Active = s.old, s.fresh, true
	if o.New.IsZero() {
		o.New = masterkey.Generate() // it is only counted with
	}
	bar := newProgress(s.env.Err)
	o.Progress = bar.show
	err = s.with(ctx, false, func(db *database.DB) error {
		report, err = rekey.Plan(ctx, db, o)
		return err
	})
	bar.end()
	return report, err
}

func (s *rekeySteps) with(ctx context.Context, write bool, do func(*database.DB) error) error {
	o := s.options
	o.Write = write
	db, err := database.Open(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// Under implements changeover.Steps. The rows of deployment_key decide where there are any: n8n reads nothing without
// them.
func (s *rekeySteps) Under(ctx context.Context) (u changeover.Under, err error) {
	err = s.with(ctx, false, func(db *database.DB) error {
		for _, of := range []struct {
			key   secret.Value
			under *bool
		}{{s.old, &u.Old}, {s.fresh, &u.New}} {
			if of.key.IsZero() {
				continue
			}
			v, err := survey.Check(ctx, db, of.key)
			if err != nil {
				return err
			}
			*of.under = v.Result == survey.Match || v.Result == survey.Unproven ||
				v.Proof == survey.ProofRows && v.Keys == v.KeysOpen
		}
		return nil
	})
	return u, err
}

// Store implements changeover.Steps.
func (s *rekeySteps) Store(ctx context.Context, at *changeover.Stored, save func() error) error {
	w, err := s.store.writer()
	if err != nil {
		return err
	}
	value, current, err := s.store.Get(ctx, s.path, "")
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return s.store.named(err)
	}
	if at.Before == "" {
		at.Before = current.ID
		if err := save(); err != nil {
			return err
		}
	}
	is := secret.NewValue([]byte(normal(value.Reveal())))
	switch {
	case !s.fresh.IsZero() && is.Equal(s.fresh): // it was put there before the record could say so
		at.Now = current.ID
		return save()
	case current.ID != at.Before && s.flags.newFile == "" && s.flags.undo == "": // as this one, which was made here
		s.fresh, at.Now = is, current.ID
		return errors.Join(s.sound(), save())
	case current.ID != at.Before:
		return fault.WithHint(fmt.Errorf("%s was changed meanwhile by someone else: it is at version %s", s.flags.to,
			current.ID), "see what it is; nothing was changed")
	}
	return s.put(ctx, w, at, save)
}

func (s *rekeySteps) put(ctx context.Context, w secret.Writer, at *changeover.Stored, save func() error) error {
	fresh := s.fresh
	if fresh.IsZero() {
		fresh = masterkey.Generate()
	}
	if err := s.store.record(ctx, "key.rekey", s.path); err != nil {
		return err
	}
	put := func() (secret.Version, error) { return w.Put(ctx, s.path, fresh) }
	if guarded, ok := s.store.Store.(secret.CheckAndSetter); ok {
		put = func() (secret.Version, error) { return guarded.PutIf(ctx, s.path, fresh, at.Before) }
	}
	version, err := put()
	if err != nil {
		return s.store.named(err)
	}
	s.fresh, at.Now = fresh, version.ID
	return errors.Join(save(), s.store.changed(ctx))
}

// Unstore implements changeover.Steps.
func (s *rekeySteps) Unstore(ctx context.Context, at changeover.Stored) error {
	value, _, err := s.store.Get(ctx, s.path, "")
	if err != nil {
		return s.store.named(err)
	}
	if secret.NewValue([]byte(normal(value.Reveal()))).Equal(s.old) {
		return nil
	}
	if at.Before == "" {
		s.env.note("%s stays: there was none before; `sallyport secret delete` removes it", s.flags.to)
		return nil
	}
	w, err := s.store.writer()
	if err != nil {
		return err
	}
	if err := s.store.record(ctx, "key.rekey", s.path); err != nil {
		return err
	}
	_, err = w.Rollback(ctx, s.path, at.Before)
	return errors.Join(err, s.store.changed(ctx))
}

// Change implements changeover.Steps. What n8n did before it stood still is no sign of one at work.
func (s *rekeySteps) Change(ctx context.Context, still time.Time, backup string) error {
	o := s.flags.options
	o.Old, o.New, o.Backup = s.old, s.fresh, backup
	o.Quiet = max(time.Since(still), time.Nanosecond)
	bar := newProgress(s.env.Err)
	o.Progress = bar.show
	err := s.with(ctx, true, func(db *database.DB) error {
		if s.flags.undo != "" {
			o.Old, o.New = s.fresh, s.old // as the change had them
			undone, err := rekey.Undo(ctx, db, o)
			if err == nil {
				s.undone = &undone
			}
			return err
		}
		report, err := rekey.Run(ctx, db, o)
		if err == nil {
			s.report = &report
		}
		return err
	})
	bar.end()
	return err
}
