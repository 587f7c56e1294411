// Package env is the store of secrets that the process was started with, as environment variables.
//
// A path is a variable's name, without the prefix that the store is set up with. The values are taken when the store is
// made and never change. It is a secret.Store and nothing beside: a listing would tell of everything in the
// environment. It does not remove variables from the process's environment: /proc shows what a process was started with
// whatever it does later.
//
// Invariant: what was not in the environment at the start is never returned, and a variable without the prefix neither.
package env

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// only is the one version that there is.
const only = "1"

// Options say which variables.
type Options struct {
	Prefix  string   // what variables begin with; paths leave it out. "" is every variable
	Environ []string // NAME=VALUE each, as os.Environ returns them
}

// Store holds the values of the variables. It is safe for concurrent use.
type Store struct {
	prefix string
	values map[string]secret.Value // by the variable's whole name
	taken  time.Time
}

// New takes the values. Of a name that is there twice the first counts, as it does for os.Getenv.
func New(o Options) (*Store, error) {
	if strings.ContainsAny(o.Prefix, "=\x00") {
		return nil, fault.WithHint(fmt.Errorf("setting up env: no variable begins with %q", o.Prefix),
			"set `prefix` to letters, digits and '_', such as N8N_")
	}
	s := &Store{prefix: o.Prefix, values: make(map[string]secret.Value), taken: time.Now().UTC()}
	for _, entry := range o.Environ {
		name, value, ok := strings.Cut(entry, "=")
		if _, twice := s.values[name]; ok && !twice && strings.HasPrefix(name, o.Prefix) {
			s.values[name] = secret.NewValue([]byte(value))
		}
	}
	return s, nil
}

// Get implements secret.Store. The one version is "1", made when the process started.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	value, err := s.get(ctx, path, version)
	if err != nil {
		return secret.Value{}, secret.Version{}, fmt.Errorf("reading secret %q from the environment: %w", path, err)
	}
	return secret.NewValue(value.Reveal()), secret.Version{ID: only, Created: s.taken, Current: true}, nil
}

func (s *Store) get(ctx context.Context, path, version string) (secret.Value, error) {
	name := s.prefix + path
	value, ok := s.values[name]
	switch {
	case ctx.Err() != nil:
		return secret.Value{}, ctx.Err()
	case path == "":
		return secret.Value{}, fault.WithHint(secret.ErrNotFound, "write ref+env://NAME")
	case !ok:
		return secret.Value{}, fault.WithHint(fmt.Errorf("%w: the variable %s was not set at the start",
			secret.ErrNotFound, name), "set it for this process, and start it again: "+s.meant(path, name))
	case value.IsZero():
		return secret.Value{}, fault.WithHint(fmt.Errorf("%w: the variable %s was empty at the start",
			secret.ErrNotFound, name), "give it a value for this process, and start it again")
	case version != "" && version != only:
		return secret.Value{}, fault.WithHint(secret.ErrVersionGone,
			"a variable has one version; leave `?version=` out of the reference")
	}
	return value, nil
}

// meant points at the usual slip: the prefix written in the path too.
func (s *Store) meant(path, name string) string {
	if _, ok := s.values[path]; ok && s.prefix != "" {
		return fmt.Sprintf("there is %s, so leave the prefix %s out of the path", path, s.prefix)
	}
	return "`environment` of the Compose service, `Environment=` of the systemd unit, or " + name +
		"=… before the command"
}
