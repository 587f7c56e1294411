package gcpsm

import (
	"context"
	"errors"
	"strings"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"

	"sallyport/internal/secret"
)

// Put implements secret.Writer. It makes the secret when there is none, replicated automatically, or in the location of
// a regional endpoint. A value has at most 65536 bytes.
func (s *Store) Put(ctx context.Context, path string, value secret.Value) (secret.Version, error) {
	var v secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, r resource) (err error) {
		if value.IsZero() {
			return refusal{errors.New("an empty value cannot be told from none")}
		}
		v, err = s.put(ctx, r, value)
		return err
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "writing", path, err)
	}
	return v, nil
}

// put adds a version, to a secret made for it if need be; another process may make it at the same time.
func (s *Store) put(ctx context.Context, r resource, value secret.Value) (secret.Version, error) {
	v, err := s.add(ctx, r, value)
	if !isCode(err, codes.NotFound) {
		return v, err
	}
	if err := s.create(ctx, r); err != nil && !isCode(err, codes.AlreadyExists) {
		return secret.Version{}, err
	}
	return s.add(ctx, r, value)
}

func (s *Store) add(ctx context.Context, r resource, value secret.Value) (secret.Version, error) {
	data := value.Reveal()
	in := &secretmanagerpb.AddSecretVersionRequest{
		Parent:  r.name(),
		Payload: &secretmanagerpb.SecretPayload{Data: data, DataCrc32C: new(checksum(data))},
	}
	var out *secretmanagerpb.SecretVersion
	err := s.call(ctx, "AddSecretVersion", func(ctx context.Context, c *secretmanager.Client) (err error) {
		out, err = c.AddSecretVersion(ctx, in)
		return err
	})
	if err != nil {
		return secret.Version{}, err
	}
	v, err := tell(out)
	v.Current = true
	return v.Version, err
}

func (s *Store) create(ctx context.Context, r resource) error {
	in := &secretmanagerpb.CreateSecretRequest{Parent: r.parent, SecretId: r.id, Secret: &secretmanagerpb.Secret{}}
	if !strings.Contains(r.parent, "/locations/") {
		in.Secret.Replication = &secretmanagerpb.Replication{
			Replication: &secretmanagerpb.Replication_Automatic_{Automatic: &secretmanagerpb.Replication_Automatic{}},
		}
	}
	return s.call(ctx, "CreateSecret", func(ctx context.Context, c *secretmanager.Client) error {
		_, err := c.CreateSecret(ctx, in)
		return err
	})
}

// Rollback implements secret.Writer.
func (s *Store) Rollback(ctx context.Context, path, version string) (secret.Version, error) {
	var v secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, r resource) error {
		value, _, err := s.get(ctx, r, version)
		if err != nil {
			return err
		}
		v, err = s.add(ctx, r, value)
		return err
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "rolling back", path, err)
	}
	return v, nil
}

// Delete implements secret.Writer: every version is destroyed, the newest first. The empty secret stays, with what
// others have tied to it (access, labels, replication), so that numbers go on upward: a secret that is deleted and made
// again would count from 1, and a pinned version would be another value. Where the secret delays destruction, the
// service keeps the versions, disabled, for that long.
func (s *Store) Delete(ctx context.Context, path string) error {
	err := s.operate(ctx, path, s.remove)
	if err != nil {
		return s.failed(ctx, "deleting", path, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, r resource) error {
	held, err := s.versions(ctx, r)
	if err != nil {
		return err
	}
	if !anyAlive(held) {
		return secret.ErrNotFound
	}
	for _, v := range held {
		if v.destroyed {
			continue
		}
		err := s.call(ctx, "DestroySecretVersion", func(ctx context.Context, c *secretmanager.Client) error {
			_, err := c.DestroySecretVersion(ctx,
				&secretmanagerpb.DestroySecretVersionRequest{Name: r.name() + "/versions/" + v.ID})
			return err
		})
		if err != nil && !isCode(err, codes.FailedPrecondition) { // another process has destroyed it
			return err
		}
	}
	return nil
}
