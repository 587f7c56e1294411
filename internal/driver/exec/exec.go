// Package exec is the driver behind a command, for whatever has no driver of its own. The command gets one JSON object
// on stdin and answers with one on stdout; the page of the kind says which. It is not a shell, and no secret is among
// its arguments.
package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/program"
	"sallyport/internal/secret"
)

// Exit codes by which a command says that it has done nothing.
const (
	exitRefused = 3
	exitLimit   = 4
)

// request is what the command reads.
type request struct {
	Action   string            `json:"action"` // create, set, test, undo, list, delete
	Rotation string            `json:"rotation"`
	Run      string            `json:"run"`
	Label    string            `json:"label"`
	Current  string            `json:"current,omitempty"`
	OldKey   string            `json:"old_key,omitempty"`
	Key      string            `json:"key,omitempty"`
	Value    string            `json:"value,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"`
}

// answer is what it writes.
type answer struct {
	Key   driver.Key   `json:"key"`
	Value string       `json:"value"`
	Keys  []driver.Key `json:"keys"`
}

// commanded runs the command for each step. It keeps nothing.
type commanded struct {
	s     *Settings
	on    driver.Host
	files []driver.File // as they were when it was opened
}

// Capabilities implements driver.Driver.
func (d *commanded) Capabilities() driver.Capabilities {
	return driver.Capabilities{
		Lists: d.s.Lists, Deletes: d.s.Deletes, MaxKeys: d.s.MaxKeys, NeedsOld: d.s.NeedsCurrent,
		Late: d.s.Late, Elsewhere: true,
	}
}

// Create implements driver.Driver.
func (d *commanded) Create(ctx context.Context, job driver.Job) (driver.Made, error) {
	if !d.s.Mints {
		value, err := d.s.pattern().Generate()
		return driver.Made{Value: value}, err
	}
	a, err := d.ask(ctx, job, request{Action: "create"})
	if err != nil {
		return driver.Made{}, err
	}
	if a.Value == "" || d.s.Deletes && a.Key.ID == "" {
		return driver.Made{},
			fault.WithHint(errors.New("the command's answer to create has no value, or no key.id to delete it by"),
				`it prints {"key": {"id": "…"}, "value": "…"}`)
	}
	return driver.Made{Key: a.Key, Value: secret.NewValue([]byte(a.Value))}, nil
}

// Set implements driver.Driver.
func (d *commanded) Set(ctx context.Context, job driver.Job, made driver.Made) error {
	if d.s.Mints {
		return nil
	}
	return d.tell(ctx, job, "set", made)
}

// Test implements driver.Driver.
func (d *commanded) Test(ctx context.Context, job driver.Job, made driver.Made) error {
	return d.tell(ctx, job, "test", made)
}

// Undo implements driver.Driver.
func (d *commanded) Undo(ctx context.Context, job driver.Job, made driver.Made) error {
	return d.tell(ctx, job, "undo", made)
}

// Keys implements driver.Driver.
func (d *commanded) Keys(ctx context.Context, job driver.Job) ([]driver.Key, error) {
	a, err := d.ask(ctx, job, request{Action: "list"})
	if err == nil && a.Keys == nil {
		err = fault.WithHint(errors.New("the command's answer to list has no keys"),
			`it prints {"keys": [{"id": "…", "label": "…"}]}, and an empty list where there is none`)
	}
	return a.Keys, err
}

// Delete implements driver.Driver.
func (d *commanded) Delete(ctx context.Context, job driver.Job, id string) error {
	_, err := d.ask(ctx, job, request{Action: "delete", Key: id})
	return err
}

func (d *commanded) tell(ctx context.Context, job driver.Job, action string, made driver.Made) error {
	_, err := d.ask(ctx, job, request{Action: action, Key: made.Key.ID, Value: string(made.Value.Reveal())})
	return err
}

// ask runs the command once.
func (d *commanded) ask(ctx context.Context, job driver.Job, r request) (a answer, err error) {
	r.Rotation, r.Run, r.Label, r.OldKey, r.Current = job.Rotation, job.Run, job.Label(), job.OldKey,
		string(job.Current.Reveal())
	known := []string{r.Current, r.Value}
	for name, ref := range d.s.Refs {
		value, err := d.on.Secret(ctx, ref)
		if err != nil {
			return a, fmt.Errorf("reading the secret %s of the command: %w", name, err)
		}
		if r.Secrets == nil {
			r.Secrets = make(map[string]string)
		}
		r.Secrets[name] = string(value.Reveal())
		known = append(known, r.Secrets[name])
	}
	for _, value := range known {
		if !utf8.ValidString(value) {
			return a, fmt.Errorf("%w: a value is not UTF-8, and JSON would hand another one to the command",
				driver.ErrRefused)
		}
	}
	input, err := json.Marshal(r)
	if err != nil {
		return a, errors.New("writing the command's input")
	}
	if err := d.same(); err != nil {
		return a, fmt.Errorf("running %s for %s: %w", program.Clean(d.s.Command[0]), r.Action, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.s.Timeout, fmt.Errorf("it took longer than %s", d.s.Timeout))
	defer cancel()
	if err := d.s.others(); err != nil {
		return a, fmt.Errorf("running %s for %s: %w: %w", program.Clean(d.s.Command[0]), r.Action,
			driver.ErrRefused, err)
	}
	ended := program.Command{Argv: d.s.Command, Env: d.environ(), Input: input}.Run(ctx)
	if r.Action == "create" {
		ended.Said = driver.Unkeyed(driver.Redact(ended.Said, known...)) // it may be about a key that nobody knows yet
	}
	if err := d.judge(ctx, ended, known); err != nil {
		return a, fmt.Errorf("running %s for %s: %w", program.Clean(d.s.Command[0]), r.Action, err)
	}
	if r.Action != "create" && r.Action != "list" {
		return a, nil // whatever it prints
	}
	if !utf8.Valid(ended.Stdout) || json.Unmarshal(ended.Stdout, &a) != nil || !a.wellFormed() {
		return answer{},
			fault.WithHint(fmt.Errorf("running %s for %s: %w: its answer is not the JSON object of this action",
				program.Clean(d.s.Command[0]), r.Action, driver.ErrUnclear),
				"the page of the driver exec has the protocol; what it printed is not shown, since it may be a secret")
	}
	return a, nil
}

// maxName bounds the id and the label of a key, which stand in the journal and are printed.
const maxName = 256

// wellFormed tells whether the names of all keys can be printed.
func (a *answer) wellFormed() bool {
	for _, key := range append(slices.Clone(a.Keys), a.Key) {
		for _, name := range []string{key.ID, key.Label} {
			if len(name) > maxName || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
				return false
			}
		}
	}
	return true
}

// judge says what an end of the command means. What it said is shown without the secrets that it was given.
func (d *commanded) judge(ctx context.Context, ended program.Ended, known []string) error {
	var made answer
	said := "it printed something that is no answer, so its words are not shown: they may have the new key"
	switch {
	case len(bytes.TrimSpace(ended.Stdout)) == 0:
		said = driver.Redact(ended.Said, known...)
	case json.Unmarshal(ended.Stdout, &made) == nil:
		said = driver.Redact(ended.Said, append(known, made.Value)...)
	}
	switch {
	case ended.Err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", driver.ErrUnclear, context.Cause(ctx))
	case ended.Err != nil:
		return fmt.Errorf("%w: %w", driver.ErrUnclear, ended.Err)
	case ended.Exit == 0:
		return nil
	case ended.Exit == exitRefused:
		return fmt.Errorf("%w: %s", driver.ErrRefused, said)
	case ended.Exit == exitLimit:
		return fmt.Errorf("%w: %s", driver.ErrLimit, said)
	}
	return fmt.Errorf("%w: exit code %d: %s", driver.ErrUnclear, ended.Exit, said)
}

// environ is PATH, HOME, and what the settings pass.
func (d *commanded) environ() []string {
	kept := []string{} // nil is this process's own environment
	for _, entry := range d.on.Environ {
		name, _, _ := strings.Cut(entry, "=")
		if name == "PATH" || name == "HOME" || slices.Contains(d.s.Pass, name) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// DefaultTimeout is when a command is killed if the settings do not say.
const DefaultTimeout = time.Minute
