// Package exec is the store behind a command: any tool that prints a secret (op read, vals get, pass show, gopass, bw).
//
// A path is put into the command's arguments where they say {path}; what the command prints is the value, without one
// line break at its end. It is a secret.Store and nothing beside. It is not a shell: each argument reaches the command
// as it is, and the path never adds an argument.
//
// Invariant: a command gets a minimal environment, is killed with all that it has started when its time or its output
// runs out, and nothing that it prints gets into an error but the first line of stderr, shortened and without the
// secrets known.
package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// What is used where Options do not say.
const (
	DefaultTimeout    = 10 * time.Second
	DefaultConcurrent = 4
	MaxValue          = 1 << 20 // bytes that a command may print, beside a line break
)

// Placeholder stands for the path in an argument.
const Placeholder = "{path}"

// only is the one version that there is.
const only = "1"

// Options say which command, and how it is run.
type Options struct {
	Command    []string      // the program and its arguments; at least one argument has {path}
	Timeout    time.Duration // when it is killed; 0 is DefaultTimeout
	Concurrent int           // how many run at once; 0 is DefaultConcurrent

	// Pass names variables of Environ that the command gets beside PATH and HOME, such as OP_SERVICE_ACCOUNT_TOKEN. A
	// name that ends in '*' stands for all that begin so.
	Pass    []string
	Environ []string // NAME=VALUE each, as os.Environ returns them

	NotFound []int // exit codes that mean: no such secret
	Denied   []int // exit codes that mean: no access
}

// Store runs the command for each Get. It is safe for concurrent use.
type Store struct {
	options Options
	environ []string
	known   []secret.Value // what the command is handed, for scrubbing
	places  chan struct{}
}

// New checks o. The program is looked up when it is run.
func New(o Options) (*Store, error) {
	switch {
	case len(o.Command) == 0 || o.Command[0] == "":
		return nil, fault.WithHint(errors.New("setting up exec: there is no command"),
			`set command: [op, read, "op://prod/{path}"]`)
	case strings.Contains(o.Command[0], Placeholder):
		return nil, fault.WithHint(errors.New("setting up exec: {path} stands for the program itself"),
			"name the program; {path} goes into its arguments")
	case !slices.ContainsFunc(o.Command[1:], func(arg string) bool { return strings.Contains(arg, Placeholder) }):
		return nil, fault.WithHint(errors.New("setting up exec: no argument has {path}"),
			`write it as [op, read, "op://prod/{path}"]`)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Concurrent <= 0 {
		o.Concurrent = DefaultConcurrent
	}
	s := &Store{options: o, places: make(chan struct{}, o.Concurrent)}
	s.environ, s.known = o.environment()
	return s, nil
}

// environment picks what the command gets, and returns apart what of it may be secret.
func (o *Options) environment() (environ []string, known []secret.Value) {
	for _, entry := range o.Environ {
		name, value, _ := strings.Cut(entry, "=")
		passed := matches(o.Pass, name)
		if passed || name == "PATH" || name == "HOME" {
			environ = append(environ, entry)
		}
		if passed {
			known = append(known, secret.NewValue([]byte(value)))
		}
	}
	return environ, known
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, many := strings.CutSuffix(pattern, "*")
		return pattern == name || (many && strings.HasPrefix(name, prefix))
	})
}

// Get implements secret.Store. There is one version, "1", made when the command was run: what it was before is not
// known.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	value, err := s.get(ctx, path)
	if err == nil && version != "" && version != only {
		err = fault.WithHint(secret.ErrVersionGone,
			"a command is asked for the secret as it is; leave `?version=` out, or put it into the path if the tool "+
				"understands it")
	}
	if err != nil {
		return secret.Value{}, secret.Version{}, fmt.Errorf("reading secret %q with %s: %w", path,
			s.options.Command[0], err)
	}
	return value, secret.Version{ID: only, Created: time.Now().UTC(), Current: true}, nil
}

func (s *Store) get(ctx context.Context, path string) (secret.Value, error) {
	args, err := s.arguments(path)
	if err != nil {
		return secret.Value{}, err
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return secret.Value{}, ended(ctx)
	}
	r := s.run(ctx, args)
	if err := s.judge(ctx, r); err != nil {
		return secret.Value{}, err
	}
	return secret.NewValue(trimNewline(r.stdout)), nil
}

// arguments puts the path in its places. A path that could be taken for an option of the command is refused.
func (s *Store) arguments(path string) ([]string, error) {
	bad := strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
	for segment := range strings.SplitSeq(path, "/") {
		bad = bad || segment == ".."
	}
	if bad || path == "" || len(path) > 4096 {
		return nil, fault.WithHint(fmt.Errorf("%w: this cannot be a path", secret.ErrNotFound),
			"write it without control characters and '..' segments")
	}
	var args []string
	for _, arg := range s.options.Command[1:] {
		if strings.HasPrefix(arg, Placeholder) && strings.HasPrefix(path, "-") {
			return nil, fault.WithHint(fmt.Errorf("%w: the command would take the path for an option",
				secret.ErrNotFound), "put something before {path} in the command, such as ./{path}")
		}
		args = append(args, strings.ReplaceAll(arg, Placeholder, path))
	}
	return args, nil
}

// ended says why the caller's time is over: a cancelled call is no fault of the store.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Canceled
	}
	return unavailable("there was no time left for the command",
		"commands run one after another, `timeout` each; see why they are slow")
}

func unavailable(what, hint string) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: %s", secret.ErrUnavailable, what), hint), fault.ExitStore)
}
