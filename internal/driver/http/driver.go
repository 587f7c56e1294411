// Package httpdriver is the driver of APIs that are described as data: a definition says which HTTP calls make, list
// and end keys, and what their answers mean. The calls go through the gate to a configured service, which has the
// administrator's credential; a driver knows no scheme of authentication and holds no key of its own.
//
// Invariants: an answer that is not what the definition says is never taken for a success of create; what stands in an
// error is no part of a key's value; bytes, pages, keys and time of each call are bounded.
package httpdriver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// api is a definition with what an operator has set. It keeps nothing between calls.
type api struct {
	def        *Definition
	from       driver.File // that it was read from
	service    string
	parameters map[string]any
	timeout    time.Duration
	now        func() time.Time
	pause      func(ctx context.Context, d time.Duration) error
	do         func(ctx context.Context, service string, req *http.Request) (*http.Response, error)
}

// Capabilities implements driver.Driver.
func (d *api) Capabilities() driver.Capabilities { return d.def.capabilities() }

// Files implements driver.Filed. A definition that is read is kept for as long as the driver is.
func (d *api) Files() []driver.File { return []driver.File{d.from} }

// scope gives the names of a job, beside which more are.
func (d *api) scope(job driver.Job, more map[string]string) scope {
	return func(name string) (any, bool) {
		switch name {
		case "label":
			return job.Label(), true
		case "rotation":
			return job.Rotation, true
		case "run":
			return job.Run, true
		case "old_key":
			return job.OldKey, job.OldKey != ""
		}
		if text, ok := more[name]; ok {
			return text, true
		}
		value, ok := d.parameters[name]
		return value, ok
	}
}

// step bounds a step in time, and names it in its error.
func (d *api) step(ctx context.Context, name string, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("it took longer than %s", d.timeout))
	defer cancel()
	if err := do(ctx); err != nil {
		return fmt.Errorf("calling service %q to %s: %w", d.service, name, err)
	}
	return nil
}

// Create implements driver.Driver.
func (d *api) Create(ctx context.Context, job driver.Job) (made driver.Made, err error) {
	if len(d.def.Create) == 0 {
		made.Value, err = d.def.Pattern.pattern().Generate()
		return made, err
	}
	if label := d.def.Label; label != nil && label.Most > 0 && len(job.Label()) > label.Most {
		return made, fault.WithHint(fmt.Errorf("%w: its labels have at most %d characters, and %s has %d",
			driver.ErrRefused, label.Most, job.Label(), len(job.Label())), "give the rotation a shorter name")
	}
	err = d.step(ctx, "create a key", func(ctx context.Context) error {
		before := d.unlabelled(ctx, job)
		made, err = d.create(ctx, job)
		if err != nil && !driver.Certain(err) {
			err = d.appeared(ctx, job, before, err)
		}
		return err
	})
	if err != nil {
		return driver.Made{}, err
	}
	return made, nil
}

func (d *api) create(ctx context.Context, job driver.Job) (driver.Made, error) {
	in := d.scope(job, nil)
	first := d.def.Create[0]
	a, err := d.send(ctx, first, in, nil)
	if err != nil {
		return driver.Made{}, err
	}
	value, there := first.Value.value(a.doc)
	if _, err := d.judge("create", first, a, job.Current, value); err != nil {
		return driver.Made{}, err
	}
	key, ok := first.Key.key(a.doc)
	var lie string
	switch {
	case a.err != nil:
		lie = a.err.Error()
	case !ok:
		lie = "its answer has no id of a key"
	case !there:
		lie = "its answer has no value of a key"
	case first.Key.Label != "" && key.Label != job.Label():
		lie = "its answer is about a key with another label"
	case key.ID == job.OldKey:
		lie = "its answer has the id of the old key"
	case strings.Contains(key.ID, string(value.Reveal())):
		lie = "its answer has the value where the id should be"
	}
	if lie != "" {
		return driver.Made{}, fmt.Errorf("%w: it answered %d, but %s", driver.ErrUnclear, a.status, lie)
	}
	for _, c := range d.def.Create[1:] {
		a, err := d.send(ctx, c, in, nil)
		if err == nil {
			_, err = d.judge("create", c, a, job.Current, value)
		}
		if err != nil { // the key is there already, whatever this call did
			return driver.Made{}, fmt.Errorf("%w: after the key was made: %s", driver.ErrUnclear, err.Error())
		}
	}
	key.Label = job.Label()
	if d.def.Label == nil {
		key.Label = ""
	}
	return driver.Made{Key: key, Value: value}, nil
}

// unlabelled lists the keys before create where a lost one could not be found by its label.
func (d *api) unlabelled(ctx context.Context, job driver.Job) []driver.Key {
	if d.def.List == nil || d.def.Label != nil {
		return nil
	}
	keys, err := d.keys(ctx, job)
	if err != nil {
		return nil
	}
	return keys
}

// appeared adds to an unclear error which keys have come to be meanwhile, where no label says so.
func (d *api) appeared(ctx context.Context, job driver.Job, before []driver.Key, cause error) error {
	if d.def.List == nil || d.def.Label != nil {
		return cause
	}
	const briefly = 20 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), briefly)
	defer cancel()
	after, err := d.keys(ctx, job)
	if err != nil {
		return fault.WithHint(cause, "look whether the provider has a key that was made just now, and delete it: "+
			"its keys have no label by which the next run would find it")
	}
	var ids []string
	for _, key := range after {
		if !slices.ContainsFunc(before, func(b driver.Key) bool { return b.ID == key.ID }) {
			ids = append(ids, key.ID)
		}
	}
	if len(ids) == 0 {
		return cause
	}
	return fault.WithHint(fmt.Errorf("%w; since the call began the provider has %s more", cause,
		strings.Join(ids, ", ")), "delete that key if nobody else has made it: its value is lost")
}

// Set implements driver.Driver.
func (d *api) Set(ctx context.Context, job driver.Job, made driver.Made) error {
	return d.accept(ctx, job, "set the new value", d.def.Set, made.Value)
}

// Undo implements driver.Driver.
func (d *api) Undo(ctx context.Context, job driver.Job, _ driver.Made) error {
	calls := d.def.Undo
	if len(calls) == 0 {
		calls = d.def.Set
	}
	if len(calls) > 0 && job.Current.IsZero() {
		return nil // there is no value to go back to
	}
	return d.accept(ctx, job, "set the old value again", calls, job.Current)
}

func (d *api) accept(ctx context.Context, job driver.Job, name string, calls Calls, value secret.Value) error {
	if len(calls) == 0 {
		return nil
	}
	in := d.scope(job, map[string]string{
		"value": string(value.Reveal()), "current": string(job.Current.Reveal()),
	})
	return d.step(ctx, name, func(ctx context.Context) error {
		for i, c := range calls {
			a, err := d.send(ctx, c, in, nil)
			if err == nil {
				_, err = d.judge("set", c, a, value, job.Current)
			}
			if err != nil && i > 0 && driver.Certain(err) {
				err = fmt.Errorf("%w: after a call that was taken: %s", driver.ErrUnclear, err.Error())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Test implements driver.Driver.
func (d *api) Test(ctx context.Context, job driver.Job, made driver.Made) error {
	if len(d.def.Test) > 0 {
		in := d.scope(job, map[string]string{"key": made.Key.ID})
		return d.step(ctx, "test the key", func(ctx context.Context) error {
			for _, c := range d.def.Test {
				if err := d.test(ctx, c, in, made.Value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if d.def.List == nil || made.Key.ID == "" {
		return nil
	}
	return d.step(ctx, "test the key", func(ctx context.Context) error {
		there, err := d.has(ctx, job, made.Key.ID)
		if err == nil && !there {
			err = fmt.Errorf("the key %s is not in its list", made.Key.ID)
		}
		return err
	})
}

// again is how long a call waits before it is repeated.
const again = time.Second

func (d *api) test(ctx context.Context, c *Call, in scope, value secret.Value) error {
	for waited := time.Duration(0); ; waited += again {
		a, err := d.send(ctx, c, in, nil)
		if err == nil {
			_, err = d.judge("test", c, a, value)
		}
		if c.Until == nil {
			return err
		}
		if err == nil && allHold(c.Until.All, a.status, a.doc) {
			return nil
		}
		if waited >= c.Until.Wait {
			return errors.Join(errors.New("the provider does not say that the key is ready"), err)
		}
		if d.pause(ctx, again) != nil {
			return context.Cause(ctx)
		}
	}
}

// Delete implements driver.Driver.
func (d *api) Delete(ctx context.Context, job driver.Job, id string) error {
	if id == "" || !printable(id) {
		return fmt.Errorf("deleting a key: %w: its id is none", driver.ErrRefused)
	}
	in := d.scope(job, map[string]string{"key": id})
	return d.step(ctx, "delete key "+id, func(ctx context.Context) error {
		for i, c := range d.def.Delete {
			a, err := d.send(ctx, c, in, nil)
			if err != nil {
				return err
			}
			is, err := d.judge("delete", c, a, job.Current)
			if err != nil && i > 0 && driver.Certain(err) {
				err = fmt.Errorf("%w: after a call that was taken: %s", driver.ErrUnclear, err.Error())
			}
			if err != nil {
				return err
			}
			if is == gone {
				return nil
			}
		}
		d.settle(ctx, job, id)
		return nil
	})
}

// settle waits until the list shows no more that was deleted, as long as the definition says. The rotation looks again.
func (d *api) settle(ctx context.Context, job driver.Job, id string) {
	if d.def.List == nil {
		return
	}
	for waited := time.Duration(0); waited < d.def.Settle; waited += again {
		if there, err := d.has(ctx, job, id); err != nil || !there || d.pause(ctx, again) != nil {
			return
		}
	}
}

func (d *api) has(ctx context.Context, job driver.Job, id string) (bool, error) {
	keys, err := d.keys(ctx, job)
	return slices.ContainsFunc(keys, func(key driver.Key) bool { return key.ID == id }), err
}

// Keys implements driver.Driver.
func (d *api) Keys(ctx context.Context, job driver.Job) (keys []driver.Key, err error) {
	if d.def.List == nil {
		return nil, errors.New("listing the provider's keys: its API has no list")
	}
	err = d.step(ctx, "list its keys", func(ctx context.Context) error {
		keys, err = d.keys(ctx, job)
		return err
	})
	return keys, err
}
