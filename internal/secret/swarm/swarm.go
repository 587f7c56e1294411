// Package swarm is the store of a Docker Swarm: secrets that Docker mounts into the containers of a service.
//
// Docker hands out no secret's value. A value is read where Docker mounted it, in /run/secrets of this very container,
// so a container reads the secrets of its own service and no others. Docker's secrets are immutable and their names
// unique: a secret here is a family of Docker secrets, NAME_v1, NAME_v2, …, held together by the labels sallyport.name
// and sallyport.version. What a service has mounted does not change while its containers run; Roll replaces them.
//
// So there are two stores: Store reads what is mounted and needs nothing but the folder. Manager is a Store that also
// speaks with a Docker engine that is a manager of the swarm: it adds versions, lists and removes them, and rolls
// services. What it can't do is read a version that is not mounted here: see secret.ErrDenied at Manager.Get and
// Manager.Rollback.
//
// Invariant: a value goes to Docker in a secret's creation and nowhere else; no error carries what Docker answers.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// DefaultDir is where Docker mounts secrets on Linux.
const DefaultDir = "/run/secrets"

// DefaultTimeout bounds each call of the Docker API's.
const DefaultTimeout = 10 * time.Second

// Options say where secrets are mounted and where Docker is.
type Options struct {
	Dir string // where secrets are mounted; "" is DefaultDir
	// the Docker API, for a Manager: unix:///var/run/docker.sock, or http:, https: or tcp://HOST:PORT
	Host    string
	Timeout time.Duration // of each call but Roll; 0 is DefaultTimeout
}

// Store reads the secrets that are mounted. It is safe for concurrent use.
type Store struct {
	dir string
}

// New checks o, and ignores its Host.
func New(o Options) (*Store, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("setting up swarm: %w", err)
	}
	return &Store{dir: dir}, nil
}

// Get implements secret.Store. The path is the file's name below the folder: the target under which the service has the
// secret. Its version is Docker's id of the secret, or the time of the file where the folder is not of Docker's making.
// Version N is read where a service has NAME_vN mounted too, beside the current one.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	m, err := s.mounted(ctx, path, version)
	if err != nil {
		return secret.Value{}, secret.Version{}, s.failed("reading", path, err)
	}
	return m.value, m.version, nil
}

// mounted reads a version of path: the one behind its own name, or one that is mounted by its full name.
func (s *Store) mounted(ctx context.Context, path, version string) (mounted, error) {
	if err := errors.Join(ctx.Err(), checkPath(path)); err != nil {
		return mounted{}, err
	}
	current, err := s.read(path)
	if version == "" || version == current.version.ID {
		return current, err
	}
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return mounted{}, err
	}
	number, ok := parseNumber(version)
	if !ok {
		return mounted{}, none(err)
	}
	beside, errBeside := s.read(dockerName(path, number))
	if errBeside != nil {
		return mounted{}, none(err)
	}
	beside.version.Current = beside.id != "" && beside.id == current.id
	beside.version.ID = version
	return beside, nil
}

// none is the answer to a version that is not mounted, given the reading of the current one.
func none(current error) error {
	if current != nil {
		return current
	}
	return fault.WithHint(secret.ErrVersionGone,
		"only what the service mounts can be read; mount the version too: `docker service update --secret-add "+
			"source=NAME_vN,target=NAME_vN"+mountOptions+" SERVICE`")
}

// failed names the secret.
func (s *Store) failed(doing, path string, err error) error {
	return fmt.Errorf("%s secret %q of the swarm: %w", doing, path, err)
}

// checkPath refuses what cannot be the target of a secret. Unlike a Docker secret's name it may have slashes.
func checkPath(path string) error {
	bad := path == "" || len(path) > 200 || strings.ContainsFunc(path, func(r rune) bool {
		return r < '!' || r > '~' || strings.ContainsRune(`"'\`, r)
	})
	for segment := range strings.SplitSeq(path, "/") {
		bad = bad || segment == "" || segment == "." || segment == ".."
	}
	if bad {
		return fault.WithHint(fmt.Errorf("%w: this cannot be a name here", secret.ErrNotFound),
			"a secret is named as its file below the folder: up to 200 printable characters, no '..'")
	}
	return nil
}

func unavailable(what, hint string) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: %s", secret.ErrUnavailable, what), hint), fault.ExitStore)
}
