package gcpsm

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"

	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

const (
	listCalls = 8 // secrets whose versions List asks about at once
	pageSize  = 250
)

// version is what a listing tells of a version.
type version struct {
	secret.Version
	number    int64
	enabled   bool
	destroyed bool // or waiting to be
}

func anyAlive(held []version) bool {
	return slices.ContainsFunc(held, func(v version) bool { return !v.destroyed })
}

// List implements secret.Lister, for the secrets of the configured project. An id with the signs that encode writes is
// shown as the path they stand for.
func (s *Store) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	entries, err := s.list(ctx, prefix)
	if err != nil {
		return nil, s.failed(ctx, "listing", prefix, err)
	}
	return entries, nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]secret.Entry, error) {
	if s.options.Project == "" {
		return nil, refusal{errNoProject()}
	}
	ids, err := s.ids(ctx, prefix)
	if err != nil {
		return nil, err
	}
	found := make([]*secret.Entry, len(ids))
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(listCalls)
	for i, id := range ids {
		group.Go(guard.Func("listing secrets", func() (err error) {
			found[i], err = s.entry(together, resource{parent: s.parent, id: id})
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

// ids returns the ids of the project's secrets whose path begins with prefix.
func (s *Store) ids(ctx context.Context, prefix string) ([]string, error) {
	var ids []string
	for token, more := "", true; more; {
		var page []*secretmanagerpb.Secret
		err := s.page(ctx, "ListSecrets", func(ctx context.Context, c *secretmanager.Client) (err error) {
			list := c.ListSecrets(ctx, &secretmanagerpb.ListSecretsRequest{Parent: s.parent})
			token, err = iterator.NewPager(list, pageSize, token).NextPage(&page)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, listed := range page {
			_, id, ok := strings.Cut(listed.GetName(), "/secrets/")
			if !ok || id == "" {
				return nil, errHalf
			}
			if strings.HasPrefix(decode(id), prefix) {
				ids = append(ids, id)
			}
		}
		more = token != ""
	}
	return ids, nil
}

// page calls the service within a time limit of its own: a listing is many calls.
func (s *Store) page(ctx context.Context, method string, do func(context.Context, *secretmanager.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	return s.call(ctx, method, do)
}

// entry is the line of a secret, or nil when it holds nothing.
func (s *Store) entry(ctx context.Context, r resource) (*secret.Entry, error) {
	held, err := s.versions(ctx, r)
	switch {
	case isCode(err, codes.NotFound), err == nil && !anyAlive(held):
		return nil, nil //nolint:nilnil // said above
	case err != nil:
		return nil, err
	}
	return &secret.Entry{Path: decode(r.id), Version: held[0].Version}, nil
}

// History implements secret.Lister. Versions that are disabled or destroyed, which cannot be read, are left out.
func (s *Store) History(ctx context.Context, path string) ([]secret.Version, error) {
	var history []secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, r resource) error {
		held, err := s.versions(ctx, r)
		if err == nil && !anyAlive(held) {
			err = secret.ErrNotFound
		}
		for _, v := range held {
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

// versions returns all versions, newest first, the first of which is the current one.
func (s *Store) versions(ctx context.Context, r resource) ([]version, error) {
	var held []version
	for token, more := "", true; more; {
		var page []*secretmanagerpb.SecretVersion
		err := s.page(ctx, "ListSecretVersions", func(ctx context.Context, c *secretmanager.Client) (err error) {
			list := c.ListSecretVersions(ctx, &secretmanagerpb.ListSecretVersionsRequest{Parent: r.name()})
			token, err = iterator.NewPager(list, pageSize, token).NextPage(&page)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, listed := range page {
			v, err := tell(listed)
			if err != nil {
				return nil, err
			}
			held = append(held, v)
		}
		more = token != ""
	}
	slices.SortFunc(held, func(a, b version) int { return cmp.Compare(b.number, a.number) })
	if len(held) > 0 {
		held[0].Current = true
	}
	return held, nil
}

func tell(listed *secretmanagerpb.SecretVersion) (version, error) {
	id, ok := numberOf(listed.GetName())
	number, err := strconv.ParseInt(id, 10, 64)
	if !ok || err != nil {
		return version{}, errHalf
	}
	v := version{Version: secret.Version{ID: id}, number: number}
	if listed.GetCreateTime() != nil {
		v.Created = listed.GetCreateTime().AsTime()
	}
	v.enabled = listed.GetState() == secretmanagerpb.SecretVersion_ENABLED
	v.destroyed = listed.GetState() == secretmanagerpb.SecretVersion_DESTROYED ||
		listed.GetScheduledDestroyTime() != nil
	return v, nil
}
