package azurekv

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"sallyport/internal/pause"
	"sallyport/internal/secret"
)

// Put implements secret.Writer. Tags and content type stay as they are on the current version. A secret that is deleted
// and still recoverable is recovered, its versions disabled, and the new one added. A value has at most 25 KB as the
// vault holds it; what is not text is held in base64.
func (s *Store) Put(ctx context.Context, path string, value secret.Value) (secret.Version, error) {
	var v secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, name string) (err error) {
		if value.IsZero() {
			return refusal{errors.New("an empty value cannot be told from none")}
		}
		v, err = s.put(ctx, name, value)
		return err
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "writing", path, err)
	}
	return v, nil
}

func (s *Store) put(ctx context.Context, name string, value secret.Value) (secret.Version, error) {
	in, err := s.parameters(ctx, name, value)
	if err != nil {
		return secret.Version{}, err
	}
	for wait := s.delay; ; wait = min(2*wait, 2*time.Second) {
		out, err := s.client.SetSecret(ctx, name, in, nil)
		switch {
		case err == nil:
			return made(&out.Secret)
		case !isStatus(err, http.StatusConflict):
			return secret.Version{}, err
		}
		if !isInner(err, "ObjectIsBeingDeleted", "ObjectIsBeingRecovered") {
			if err := s.revive(ctx, name, err); err != nil {
				return secret.Version{}, err
			}
			continue
		}
		if err := pause.For(ctx, wait); err != nil {
			return secret.Version{}, err
		}
	}
}

func made(out *azsecrets.Secret) (secret.Version, error) {
	id, err := parseVersion(out.ID)
	if err != nil {
		return secret.Version{}, err
	}
	return secret.Version{ID: id, Created: created(out.Attributes), Current: true}, nil
}

// parameters are the value as the vault holds it, with what is kept of the current version. Who may write and not read
// keeps nothing.
func (s *Store) parameters(ctx context.Context, name string,
	value secret.Value,
) (azsecrets.SetSecretParameters, error) {
	in := azsecrets.SetSecretParameters{Tags: make(map[string]*string)}
	current, err := s.client.GetSecret(ctx, name, "", nil)
	switch {
	case err == nil:
		in.ContentType = current.ContentType
		maps.Copy(in.Tags, current.Tags)
	case !isStatus(err, http.StatusNotFound) && !isStatus(err, http.StatusForbidden):
		return in, err
	}
	delete(in.Tags, tagEncoding)
	if b := value.Reveal(); isText(b) {
		in.Value = new(string(b))
	} else {
		in.Value, in.Tags[tagEncoding] = new(base64.StdEncoding.EncodeToString(b)), new("base64")
	}
	return in, nil
}

func isText(b []byte) bool {
	odd := strings.ContainsFunc(string(b), func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
	})
	return !odd && utf8.Valid(b)
}

// revive recovers a deleted secret and disables what it held, before a new version is added: what was deleted stays
// unread. conflict is why it was called, and what it returns where there is nothing to recover.
func (s *Store) revive(ctx context.Context, name string, conflict error) error {
	_, err := s.client.RecoverDeletedSecret(ctx, name, nil)
	switch {
	case isStatus(err, http.StatusNotFound):
		return conflict
	case err != nil && !isStatus(err, http.StatusConflict): // someone else is at it
		return err
	}
	for wait := s.delay; ; wait = min(2*wait, 2*time.Second) {
		done, err := s.disableAll(ctx, name)
		if done || err != nil {
			return err
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
	}
}

// disableAll tells whether the secret is back and all its versions are disabled.
func (s *Store) disableAll(ctx context.Context, name string) (bool, error) {
	versions, err := s.versions(ctx, name)
	if err != nil {
		return false, whileRecovering(err)
	}
	for _, v := range versions {
		if !v.enabled {
			continue
		}
		in := azsecrets.UpdateSecretPropertiesParameters{
			SecretAttributes: &azsecrets.SecretAttributes{Enabled: new(false)},
		}
		if _, err := s.client.UpdateSecretProperties(ctx, name, v.ID, in, nil); err != nil {
			return false, whileRecovering(err)
		}
	}
	return len(versions) > 0, nil
}

// whileRecovering passes over what the service answers until a secret is back.
func whileRecovering(err error) error {
	if isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusConflict) {
		return nil
	}
	return err
}

// Rollback implements secret.Writer.
func (s *Store) Rollback(ctx context.Context, path, version string) (secret.Version, error) {
	var v secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, name string) error {
		value, _, err := s.get(ctx, name, version)
		if err != nil {
			return err
		}
		v, err = s.put(ctx, name, value)
		return err
	})
	if err != nil {
		return secret.Version{}, s.failed(ctx, "rolling back", path, err)
	}
	return v, nil
}

// Delete implements secret.Writer. The vault keeps the secret, unread, for as long as it is set to, unless
// Options.Purge.
func (s *Store) Delete(ctx context.Context, path string) error {
	err := s.operate(ctx, path, s.remove)
	if err != nil {
		return s.failed(ctx, "deleting", path, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, name string) error {
	_, err := s.client.DeleteSecret(ctx, name, nil)
	switch {
	case isInner(err, "ObjectIsBeingDeleted", "ObjectIsDeletedButRecoverable"):
		return secret.ErrNotFound
	case err != nil || !s.purge:
		return err
	}
	for wait := s.delay; ; wait = min(2*wait, 2*time.Second) {
		_, err := s.client.PurgeDeletedSecret(ctx, name, nil)
		if err == nil || !isStatus(err, http.StatusNotFound) && !isStatus(err, http.StatusConflict) {
			return err
		}
		if err := pause.For(ctx, wait); err != nil { // the deletion is not through yet
			return err
		}
	}
}
