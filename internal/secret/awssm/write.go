package awssm

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"sallyport/internal/fault"
	"sallyport/internal/pause"
	"sallyport/internal/secret"
)

// stageOurs holds a version that is not current yet, while PutIf looks whether it may be.
const stageOurs = "SALLYPORT"

// Put implements secret.Writer. It makes the secret when there is none, and restores one that is in its recovery
// window: its versions from before are then readable again. A value has at most 65536 bytes.
func (s *Store) Put(ctx context.Context, path string, value secret.Value) (secret.Version, error) {
	var v secret.Version
	err := s.write(ctx, path, value, func(ctx context.Context, c client, token string) (err error) {
		v, err = c.put(ctx, path, value, token)
		return err
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "writing", path, err)
	}
	return v, nil
}

// write checks value and gives do the token that makes all tries of one call one version.
func (s *Store) write(ctx context.Context, path string, value secret.Value,
	do func(context.Context, client, string) error,
) error {
	if value.IsZero() {
		return errors.New("an empty value cannot be told from none")
	}
	token := newToken()
	return s.operate(ctx, path, func(ctx context.Context, c client) error { return do(ctx, c, token) })
}

// put adds a version to what there is, makes the secret, or restores it, whichever the service lets pass: others may do
// the same meanwhile, and a deletion takes its time.
func (c client) put(ctx context.Context, path string, value secret.Value, token string) (secret.Version, error) {
	for try := 0; ; try++ {
		id, err := c.add(ctx, path, value, token)
		switch {
		case err == nil:
			return c.describe(ctx, path, id), nil
		case isCode(err, "ResourceNotFoundException") && !isARN(path):
			if id, err = c.create(ctx, path, value, token); err == nil {
				return c.describe(ctx, path, id), nil
			}
			if !isCode(err, "ResourceExistsException") && !isDeleted(err) {
				return secret.Version{}, err
			}
		case isDeleted(err):
			_, err = c.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &path}, c.inRegion)
			if err != nil && !isDeleted(err) && !isCode(err, "ResourceNotFoundException", "InvalidRequestException") {
				return secret.Version{}, err
			}
		default:
			return secret.Version{}, err
		}
		if err := pause.For(ctx, backoff(50*time.Millisecond, try)); err != nil {
			return secret.Version{}, err
		}
	}
}

func (c client) add(ctx context.Context, path string, value secret.Value, token string,
	stages ...string,
) (string, error) {
	in := &secretsmanager.PutSecretValueInput{SecretId: &path, ClientRequestToken: &token, VersionStages: stages}
	in.SecretString, in.SecretBinary = split(value)
	out, err := c.PutSecretValue(ctx, in, c.inRegion)
	if err != nil {
		return "", err
	}
	return whole(out.VersionId)
}

func (c client) create(ctx context.Context, path string, value secret.Value, token string) (string, error) {
	in := &secretsmanager.CreateSecretInput{Name: &path, ClientRequestToken: &token}
	in.SecretString, in.SecretBinary = split(value)
	out, err := c.CreateSecret(ctx, in, c.inRegion)
	if err != nil {
		return "", err
	}
	return whole(out.VersionId)
}

func whole(id *string) (string, error) {
	if aws.ToString(id) == "" {
		return "", errHalf
	}
	return *id, nil
}

// split is the value as text where it is text, which the console and everybody's tools show, and as bytes otherwise.
func split(value secret.Value) (text *string, binary []byte) {
	b := value.Reveal()
	odd := strings.ContainsFunc(string(b), func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
	})
	if odd || !utf8.Valid(b) {
		return nil, b
	}
	return aws.String(string(b)), nil
}

// describe says when the current version id was made. The version stands whether or not that can be learned, so an
// identity that may not list versions is told this moment.
func (c client) describe(ctx context.Context, path, id string) secret.Version {
	v := secret.Version{ID: id, Created: time.Now().UTC(), Current: true}
	versions, err := c.versions(ctx, path, false)
	if err != nil {
		return v
	}
	for _, known := range versions {
		if known.ID == id {
			v.Created = known.Created
		}
	}
	return v
}

// PutIf implements secret.CheckAndSetter. The new version is added under a label of its own, and AWSCURRENT is moved to
// it from the expected version: the service refuses that when AWSCURRENT is elsewhere. What was refused keeps no label,
// and the service drops such versions in time.
func (s *Store) PutIf(ctx context.Context, path string, value secret.Value, expected string) (secret.Version, error) {
	var v secret.Version
	err := s.write(ctx, path, value, func(ctx context.Context, c client, token string) (err error) {
		v, err = c.putIf(ctx, path, value, expected, token)
		return err
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "writing", path, err)
	}
	return v, nil
}

func (c client) putIf(ctx context.Context, path string, value secret.Value, expected,
	token string,
) (secret.Version, error) {
	if expected == "" {
		id, err := c.create(ctx, path, value, token)
		if isCode(err, "ResourceExistsException") || isDeleted(err) {
			err = secret.ErrConflict
		}
		if err != nil {
			return secret.Version{}, err
		}
		return c.describe(ctx, path, id), nil
	}
	id, err := c.add(ctx, path, value, token, stageOurs)
	if isCode(err, "ResourceNotFoundException") || isDeleted(err) {
		err = fmt.Errorf("%w: %w", secret.ErrConflict, secret.ErrNotFound)
	}
	if err != nil {
		return secret.Version{}, err
	}
	_, err = c.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &path, VersionStage: aws.String(stageCurrent), MoveToVersionId: &id, RemoveFromVersionId: &expected,
	}, c.inRegion)
	c.unlabel(ctx, path, id)
	if isCode(err, "InvalidParameterException", "ResourceNotFoundException", "InvalidRequestException",
		"ValidationException") {
		err = secret.ErrConflict
	}
	if err != nil {
		return secret.Version{}, err
	}
	return c.describe(ctx, path, id), nil
}

// unlabel takes our label away again; where that fails, the next PutIf moves it.
func (c client) unlabel(ctx context.Context, path, id string) {
	_, _ = c.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &path, VersionStage: aws.String(stageOurs), RemoveFromVersionId: &id,
	}, c.inRegion)
}

// Rollback implements secret.Writer: the old value becomes a version of its own, AWSCURRENT moves to it, and
// AWSPREVIOUS to the one it replaces, so that what was rolled back can be looked at.
func (s *Store) Rollback(ctx context.Context, path, version string) (secret.Version, error) {
	var v secret.Version
	token := newToken()
	err := s.operate(ctx, path, func(ctx context.Context, c client) error {
		value, _, err := c.get(ctx, path, version)
		if err != nil {
			return err
		}
		id, err := c.add(ctx, path, value, token)
		if err != nil {
			return err
		}
		v = c.describe(ctx, path, id)
		return nil
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "rolling back", path, err)
	}
	return v, nil
}

// Delete implements secret.Writer: the secret goes into its recovery window, or is gone for good, as the Options say.
func (s *Store) Delete(ctx context.Context, path string) error {
	err := s.operate(ctx, path, func(ctx context.Context, c client) error { return s.remove(ctx, c, path) })
	if err != nil {
		return s.failed(ctx, "deleting", path, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, c client, path string) error {
	out, err := c.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &path}, c.inRegion)
	if err == nil && out.DeletedDate != nil {
		err = secret.ErrNotFound
	}
	if err != nil {
		return err
	}
	in := &secretsmanager.DeleteSecretInput{SecretId: &path}
	if s.options.DeleteNow {
		in.ForceDeleteWithoutRecovery = aws.Bool(true) // which answers with success also where there is no such secret
	} else if s.options.RecoveryDays > 0 {
		in.RecoveryWindowInDays = aws.Int64(int64(s.options.RecoveryDays))
	}
	_, err = c.DeleteSecret(ctx, in, c.inRegion)
	switch {
	case isDeleted(err):
		return secret.ErrNotFound
	case isCode(err, "InvalidRequestException"):
		return fault.WithHint(errors.New("the service does not let it go"),
			"remove its replicas, or delete it with the AWS service that manages it")
	}
	return err
}

// newToken is a ClientRequestToken, which becomes the VersionId: a version 4 UUID.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
