package azurekv

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"golang.org/x/sync/errgroup"

	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

// listCalls is how many secrets List asks about at once: the service's listing does not say which version is current.
const listCalls = 8

// known is what a listing tells of a version.
type known struct {
	secret.Version
	enabled bool
}

// List implements secret.Lister. A name with the signs that encode writes is shown as the path they stand for.
func (s *Store) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	entries, err := s.list(ctx, prefix)
	if err != nil {
		return nil, s.failed(ctx, "listing", prefix, err)
	}
	return entries, nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]secret.Entry, error) {
	names, err := s.names(ctx, prefix)
	if err != nil {
		return nil, err
	}
	found := make([]*secret.Entry, len(names))
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(listCalls)
	for i, name := range names {
		group.Go(guard.Func("listing secrets", func() (err error) {
			found[i], err = s.entry(together, name)
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var entries []secret.Entry
	for _, e := range found {
		if e != nil {
			entries = append(entries, *e)
		}
	}
	slices.SortFunc(entries, func(a, b secret.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}

// names returns the names of the vault's secrets whose path begins with prefix.
func (s *Store) names(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	for pager := s.client.NewListSecretPropertiesPager(nil); pager.More(); {
		page, err := within(ctx, s.limit, pager.NextPage)
		if err != nil {
			return nil, err
		}
		for _, listed := range page.Value {
			if listed == nil {
				return nil, errHalf
			}
			name, _, err := parseID(listed.ID)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(decode(name), prefix) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// entry is the line of a secret, or nil when it has gone meanwhile.
func (s *Store) entry(ctx context.Context, name string) (*secret.Entry, error) {
	versions, err := within(ctx, s.limit, func(ctx context.Context) ([]known, error) { return s.versions(ctx, name) })
	switch {
	case isStatus(err, 404), err == nil && len(versions) == 0:
		return nil, nil //nolint:nilnil // said above
	case err != nil:
		return nil, err
	}
	return &secret.Entry{Path: decode(name), Version: versions[0].Version}, nil
}

// History implements secret.Lister. Disabled versions, which cannot be read, are left out.
func (s *Store) History(ctx context.Context, path string) ([]secret.Version, error) {
	var history []secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, name string) error {
		versions, err := s.versions(ctx, name)
		if err == nil && len(versions) == 0 {
			err = secret.ErrNotFound
		}
		for _, v := range versions {
			if v.enabled {
				history = append(history, v.Version)
			}
		}
		return err
	})
	if err != nil {
		return nil, s.failed(ctx, "listing the versions of", path, err)
	}
	return history, nil
}

// versions returns all versions, newest first, the first of which is the current one. The service counts in seconds:
// among several of the newest second, the current one is asked for.
func (s *Store) versions(ctx context.Context, name string) ([]known, error) {
	var versions []known
	for pager := s.client.NewListSecretPropertiesVersionsPager(name, nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, listed := range page.Value {
			v, err := tell(listed)
			if err != nil {
				return nil, err
			}
			versions = append(versions, v)
		}
	}
	slices.SortStableFunc(versions, func(a, b known) int { return b.Created.Compare(a.Created) })
	if len(versions) == 0 {
		return nil, nil
	}
	if len(versions) > 1 && versions[0].Created.Equal(versions[1].Created) {
		s.settle(ctx, name, versions)
	}
	versions[0].Current = true
	return versions, nil
}

// settle puts the current version first, where this identity may read it.
func (s *Store) settle(ctx context.Context, name string, versions []known) {
	id, err := s.current(ctx, name)
	if err != nil || id == "" {
		return
	}
	slices.SortStableFunc(versions, func(a, b known) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(other(a.ID, id), other(b.ID, id)))
	})
}

// within calls do with a time limit of its own: a listing is many calls.
func within[T any](ctx context.Context, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

func other(a, b string) int {
	if a == b {
		return 0
	}
	return 1
}

func tell(listed *azsecrets.SecretProperties) (known, error) {
	if listed == nil {
		return known{}, errHalf
	}
	id, err := parseVersion(listed.ID)
	if err != nil {
		return known{}, err
	}
	a := listed.Attributes
	return known{
		Version: secret.Version{ID: id, Created: created(a)},
		enabled: a == nil || a.Enabled == nil || *a.Enabled,
	}, nil
}
