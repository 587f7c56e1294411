package awssm

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"sallyport/internal/secret"
)

// List implements secret.Lister. A secret without a current version is left out. An entry's time is that of the
// secret's last change, which may be later than its version's. Names are as the service has them; ARNs are not listed.
func (s *Store) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	entries, err := s.list(ctx, prefix)
	if err != nil {
		return nil, s.failed(ctx, "listing", prefix, err)
	}
	slices.SortFunc(entries, func(a, b secret.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]secret.Entry, error) {
	if err := ctx.Err(); err != nil || !couldStart(prefix) {
		return nil, err
	}
	in := &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(100)}
	if prefix != "" && !strings.HasPrefix(prefix, "!") { // which negates a filter
		in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{prefix}}}
	}
	var entries []secret.Entry
	for {
		var out *secretsmanager.ListSecretsOutput
		err := s.call(ctx, "", func(ctx context.Context, c client) (err error) {
			out, err = c.ListSecrets(ctx, in)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range out.SecretList {
			if e, ok := entry(&out.SecretList[i]); ok && strings.HasPrefix(e.Path, prefix) {
				entries = append(entries, e)
			}
		}
		if aws.ToString(out.NextToken) == "" {
			return entries, nil
		}
		in.NextToken = out.NextToken
	}
}

func entry(listed *types.SecretListEntry) (secret.Entry, bool) {
	if listed.DeletedDate != nil || listed.Name == nil {
		return secret.Entry{}, false
	}
	for id, stages := range listed.SecretVersionsToStages {
		if slices.Contains(stages, stageCurrent) {
			v := secret.Version{
				ID:      id,
				Created: aws.ToTime(cmp.Or(listed.LastChangedDate, listed.CreatedDate)).UTC(), Current: true,
			}
			return secret.Entry{Path: *listed.Name, Version: v}, true
		}
	}
	return secret.Entry{}, false
}

// History implements secret.Lister. The service drops versions without a staging label when there are many.
func (s *Store) History(ctx context.Context, path string) ([]secret.Version, error) {
	var versions []secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, c client) (err error) {
		versions, err = c.versions(ctx, path, true)
		return err
	})
	if err != nil {
		return nil, s.failed(ctx, "listing the versions of", path, err)
	}
	return versions, nil
}

// versions returns the labelled versions of path, or all, newest first.
func (c client) versions(ctx context.Context, path string, all bool) ([]secret.Version, error) {
	in := &secretsmanager.ListSecretVersionIdsInput{
		SecretId: &path, IncludeDeprecated: &all,
		MaxResults: aws.Int32(100),
	}
	var versions []secret.Version
	for {
		out, err := c.ListSecretVersionIds(ctx, in, c.inRegion)
		if err != nil {
			return nil, err
		}
		for i := range out.Versions {
			listed := &out.Versions[i]
			current := slices.Contains(listed.VersionStages, stageCurrent)
			versions = append(versions,
				secret.Version{
					ID:      aws.ToString(listed.VersionId),
					Created: aws.ToTime(listed.CreatedDate).UTC(), Current: current,
				})
		}
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	slices.SortStableFunc(versions, newestFirst)
	return versions, nil
}

// newestFirst puts the current one of two versions of the same moment first.
func newestFirst(a, b secret.Version) int {
	return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(rank(a), rank(b)))
}

func rank(v secret.Version) int {
	if v.Current {
		return 0
	}
	return 1
}
