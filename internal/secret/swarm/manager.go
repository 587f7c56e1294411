package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/dockerapi"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// MaxValue is the size of the largest value that Docker takes, in bytes.
const MaxValue = 500<<10 - 2

// identify is how long Get waits for Docker's word on which version is mounted: the value is there without it.
const identify = 2 * time.Second

// maxConflicts is how often Put tries again when others have put meanwhile.
const maxConflicts = 100

// Manager is a Store that also adds, lists and removes secrets of the swarm. It is safe for concurrent use, also by
// several processes.
type Manager struct {
	*Store
	docker  *client.Client
	timeout time.Duration
	numbers sync.Map // Docker's id of a secret to its version, which never changes
}

// NewManager checks o and contacts nobody.
func NewManager(o Options) (*Manager, error) {
	store, err := New(o)
	if err != nil {
		return nil, err
	}
	docker, err := dockerapi.Dial(o.Host)
	if err != nil {
		return nil, fmt.Errorf("setting up swarm: %w", err)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &Manager{Store: store, docker: docker, timeout: o.Timeout}, nil
}

// Close lets go of the connections.
func (m *Manager) Close() error { return m.docker.Close() }

// Get implements secret.Store: what is mounted, with its version by number as long as Docker tells, or has told, which
// one it is. A version that the swarm has and this container has not mounted is secret.ErrDenied: nobody can read it
// here.
func (m *Manager) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	found, err := m.get(ctx, path, version)
	if err != nil {
		return secret.Value{}, secret.Version{}, m.failed("reading", path, err)
	}
	return found.value, found.version, nil
}

func (m *Manager) get(ctx context.Context, path, version string) (mounted, error) {
	if err := errors.Join(ctx.Err(), checkPath(path)); err != nil {
		return mounted{}, err
	}
	limited, cancel := context.WithTimeout(ctx, min(identify, m.timeout))
	defer cancel()
	all, errDocker := m.versions(limited, path)
	if ctx.Err() != nil {
		return mounted{}, reason(ctx, ctx.Err())
	}
	for _, h := range all {
		m.numbers.Store(h.docker.ID, strconv.Itoa(h.number))
	}
	if found, ok := m.readAs(ctx, path, version); ok {
		found.version.Current = errDocker != nil || len(all) == 0 || all[0].docker.ID == found.id
		return found, nil
	}
	_, err := m.mounted(ctx, path, version)
	if errDocker == nil {
		err = absent(all, version, err)
	}
	return mounted{}, err
}

// readAs reads a version that is mounted, and names it by number.
func (m *Manager) readAs(ctx context.Context, path, version string) (mounted, bool) {
	found, err := m.mounted(ctx, path, "")
	if err == nil {
		if number, ok := m.numbers.Load(found.id); ok {
			found.version.ID = fmt.Sprint(number)
		}
		if version == "" || version == found.version.ID || version == found.id {
			return found, true
		}
	}
	if version == "" {
		return mounted{}, false
	}
	found, err = m.mounted(ctx, path, version)
	return found, err == nil
}

// absent tells a version that is not mounted from one that is not in the swarm.
func absent(all []held, version string, err error) error {
	switch {
	case !errors.Is(err, secret.ErrNotFound) && !errors.Is(err, secret.ErrVersionGone), len(all) == 0:
		return err
	case version != "" && !slices.ContainsFunc(all, func(h held) bool { return strconv.Itoa(h.number) == version }):
		return secret.ErrVersionGone
	}
	name := all[0].docker.Spec.Name
	target := all[0].path
	if number, ok := parseNumber(version); ok {
		name = dockerName(all[0].path, number)
		target = name
	}
	return fault.WithHint(fmt.Errorf("%w: Docker hands out no value, and %s is not mounted here",
		secret.ErrDenied, name),
		fmt.Sprintf("mount it: `docker service update --secret-add source=%s,target=%s%s SERVICE`", name, target,
			mountOptions))
}

// Put implements secret.Writer: it creates the Docker secret NAME_vN. Services go on with the version that they have
// mounted until they are rolled.
func (m *Manager) Put(ctx context.Context, path string, value secret.Value) (secret.Version, error) {
	before, taken := -1, 0 // names that someone else uses for a secret of another kind
	next := func(_, last int) (int, error) {
		if last == before {
			taken++
		}
		before = last
		return last + 1 + taken, nil
	}
	v, err := m.put(ctx, path, value, next)
	for again := 0; errors.Is(err, secret.ErrConflict) && again < maxConflicts; again++ { // others put too
		v, err = m.put(ctx, path, value, next)
	}
	if err != nil {
		return secret.Version{}, m.failed("writing", path, err)
	}
	return v, nil
}

// PutIf implements secret.CheckAndSetter: of several, one creates the next version.
func (m *Manager) PutIf(ctx context.Context, path string, value secret.Value, expected string) (secret.Version, error) {
	v, err := m.put(ctx, path, value, func(newest, last int) (int, error) {
		if number, _ := parseNumber(expected); (expected == "" && newest > 0) ||
			(expected != "" && (newest == 0 || number != newest)) {
			return 0, secret.ErrConflict
		}
		return last + 1, nil
	})
	if err != nil {
		return secret.Version{}, m.failed("writing", path, err)
	}
	return v, nil
}

// put creates the version that next chooses, given the numbers of the newest version and of the last one ever, or 0.
func (m *Manager) put(ctx context.Context, path string, value secret.Value,
	next func(newest, last int) (int, error),
) (secret.Version, error) {
	if err := check(path, value); err != nil {
		return secret.Version{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	all, err := m.known(ctx, path)
	if err != nil {
		return secret.Version{}, err
	}
	newest, last := 0, 0
	if len(all) > 0 {
		last = all[0].number
	}
	if i := slices.IndexFunc(all, func(h held) bool { return !h.gone }); i >= 0 {
		newest = all[i].number
	}
	number, err := next(newest, last)
	if err != nil {
		return secret.Version{}, err
	}
	id, err := m.create(ctx, path, number, api.SecretSpec{Data: onDisk(value)})
	if err != nil {
		return secret.Version{}, err
	}
	found, err := m.docker.SecretInspect(ctx, id, client.SecretInspectOptions{})
	if err != nil {
		return secret.Version{}, reason(ctx, err)
	}
	m.numbers.Store(id, strconv.Itoa(number))
	for _, h := range all {
		if h.gone { // the new version has its number to go on from
			_, _ = m.docker.SecretRemove(ctx, h.docker.ID, client.SecretRemoveOptions{})
		}
	}
	return held{number: number, docker: found.Secret}.describe(true), nil
}

// create makes a version and returns Docker's id of it.
func (m *Manager) create(ctx context.Context, path string, number int, spec api.SecretSpec) (id string, err error) {
	spec.Name = dockerName(path, number)
	if spec.Labels == nil {
		spec.Labels = make(map[string]string)
	}
	spec.Labels[labelName], spec.Labels[labelVersion] = path, strconv.Itoa(number)
	created, err := m.docker.SecretCreate(ctx, client.SecretCreateOptions{Spec: spec})
	if err != nil {
		return "", reason(ctx, err)
	}
	return created.ID, nil
}

// onDisk is a value as it is mounted: the reading takes one line break from the end, so a value that has one gets
// another.
func onDisk(value secret.Value) []byte {
	raw := slices.Clone(value.Reveal())
	if raw[len(raw)-1] == '\n' {
		raw = append(raw, '\n')
	}
	return raw
}

func check(path string, value secret.Value) error {
	switch {
	case value.IsZero():
		return fault.WithHint(errors.New("the value is empty"), "`sallyport secret delete` removes a secret")
	case value.Len() > MaxValue:
		return fault.WithHint(fmt.Errorf("the value has %d bytes, and Docker takes %d", value.Len(), MaxValue),
			"keep large values in another store")
	}
	return checkPath(path)
}

// Rollback implements secret.Writer as far as Docker lets it: the old value has to be mounted here, else
// secret.ErrDenied. To have a service use an older version, Roll needs no value.
func (m *Manager) Rollback(ctx context.Context, path, version string) (secret.Version, error) {
	old, err := m.get(ctx, path, version)
	if err != nil {
		if errors.Is(err, secret.ErrDenied) {
			err = fault.WithHint(err,
				"roll the services back to that version instead, which needs no value: `docker service update "+
					"--secret-rm … --secret-add source=NAME_vN,target=NAME"+mountOptions+" SERVICE`; or put the old "+
					"value again")
		}
		return secret.Version{}, m.failed("rolling back", path, err)
	}
	v, err := m.Put(ctx, path, old.value)
	if err != nil {
		return secret.Version{}, m.failed("rolling back", path, err)
	}
	return v, nil
}

// List implements secret.Lister: the secrets that a Manager made, whether they are mounted or not.
func (m *Manager) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	all, err := m.versions(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("listing secrets of the swarm: %w", err)
	}
	var entries []secret.Entry
	for i, h := range all {
		if strings.HasPrefix(h.path, prefix) && (i == 0 || all[i-1].path != h.path) {
			entries = append(entries, secret.Entry{Path: h.path, Version: h.describe(true)})
		}
	}
	return entries, nil
}

// History implements secret.Lister.
func (m *Manager) History(ctx context.Context, path string) ([]secret.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	all, err := m.family(ctx, path)
	if err != nil {
		return nil, m.failed("reading the history of", path, err)
	}
	var list []secret.Version
	for i, h := range all {
		list = append(list, h.describe(i == 0))
	}
	return list, nil
}

// Named returns what Docker calls a version, as Docker says: NAME_vN, for `docker secret inspect` and for stack files.
// secret.ErrVersionGone when there is none.
func (m *Manager) Named(ctx context.Context, path, version string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	all, err := m.family(ctx, path)
	if err != nil {
		return "", m.failed("looking up", path, err)
	}
	for _, h := range all {
		if strconv.Itoa(h.number) == version {
			return h.docker.Spec.Name, nil
		}
	}
	return "", m.failed("looking up", path, secret.ErrVersionGone)
}

// family is versions of a secret that must be there.
func (m *Manager) family(ctx context.Context, path string) ([]held, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	all, err := m.versions(ctx, path)
	if err == nil && len(all) == 0 {
		err = secret.ErrNotFound
	}
	return all, err
}
