package kubernetes

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

const (
	// manager is who has written a field, in the Secret's managedFields.
	manager = "sallyport"

	// attempts is how often a change is made again when another process has changed the Secret meanwhile.
	attempts = 20
)

// Put implements secret.Writer. A Secret that is there keeps its labels, annotations and type; a key leaves the others
// alone.
func (s *Store) Put(ctx context.Context, path string, value secret.Value) (secret.Version, error) {
	for attempt := 1; ; attempt++ {
		v, err := s.change(ctx, path, value, nil)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, secret.ErrConflict) || attempt == attempts || ctx.Err() != nil {
			return secret.Version{}, s.failed(ctx, "writing secret", path, err)
		}
	}
}

// PutIf implements secret.CheckAndSetter. The expected version is the Secret's, for a key too; with "", the key must
// not exist.
func (s *Store) PutIf(ctx context.Context, path string, value secret.Value, expected string) (secret.Version, error) {
	v, err := s.change(ctx, path, value, &expected)
	if err != nil {
		return secret.Version{}, s.failed(ctx, "writing secret", path, err)
	}
	return v, nil
}

// change reads the Secret, writes value into it and stores it, unless it is another by then.
func (s *Store) change(ctx context.Context, path string, value secret.Value, expected *string) (secret.Version, error) {
	at, err := s.locate(path)
	if err != nil {
		return secret.Version{}, err
	}
	held, err := s.read(ctx, at.object)
	isNew := errors.Is(err, secret.ErrNotFound)
	if err != nil && !isNew {
		return secret.Version{}, at.explain(err)
	}
	if isNew {
		held = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: at.name, Namespace: at.namespace},
			Type:       corev1.SecretTypeOpaque,
		}
	}
	if err := errors.Join(at.expect(held, isNew, expected), mutable(held)); err != nil {
		return secret.Version{}, err
	}
	if err := at.put(held, value.Reveal()); err != nil {
		return secret.Version{}, err
	}
	return s.store(ctx, at.object, held, isNew)
}

// expect compares the current version with what PutIf was told; Put has told nothing.
func (p location) expect(held *corev1.Secret, isNew bool, expected *string) error {
	if expected == nil {
		return nil
	}
	current := held.ResourceVersion
	if _, has := held.Data[p.key]; isNew || (p.key != "" && !has) {
		current = ""
	}
	if current != *expected {
		return secret.ErrConflict
	}
	return nil
}

// mutable tells why a Secret cannot be changed from here.
func mutable(held *corev1.Secret) error {
	if held.Immutable != nil && *held.Immutable {
		return errImmutable
	}
	if owner := metav1.GetControllerOf(held); owner != nil {
		return fault.WithHint(fmt.Errorf("%s %q makes this Secret, and would undo the change", owner.Kind,
			owner.Name), "change it there")
	}
	return nil
}

func (s *Store) store(ctx context.Context, o object, held *corev1.Secret, isNew bool) (secret.Version, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	r := rule{verb: "update", object: o}
	req := s.api.Put().Namespace(o.namespace).Resource(resource).Name(o.name)
	if isNew {
		r.verb = "create"
		req = s.api.Post().Namespace(o.namespace).Resource(resource)
	}
	stored := new(corev1.Secret)
	err := req.Param("fieldManager", manager).Body(held).Do(ctx).Into(stored)
	if err == nil && stored.ResourceVersion == "" {
		err = errNotKubernetes
	}
	err = explain(err, r)
	if errors.Is(err, secret.ErrNotFound) && !isNew {
		err = secret.ErrConflict // deleted since it was read
	}
	return versionOf(stored), err
}

// Rollback implements secret.Writer: it cannot be done, since Kubernetes keeps no older version.
func (s *Store) Rollback(ctx context.Context, path, _ string) (secret.Version, error) {
	_, _, err := s.get(ctx, path, "")
	if err == nil {
		err = errNoRollback
	}
	return secret.Version{}, s.failed(ctx, "rolling back secret", path, err)
}

// Delete implements secret.Writer. Of a key, the Secret stays, even if it was the last.
func (s *Store) Delete(ctx context.Context, path string) error {
	for attempt := 1; ; attempt++ {
		err := s.remove(ctx, path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, secret.ErrConflict) || attempt == attempts || ctx.Err() != nil {
			return s.failed(ctx, "deleting secret", path, err)
		}
	}
}

func (s *Store) remove(ctx context.Context, path string) error {
	at, err := s.locate(path)
	if err != nil {
		return err
	}
	held, err := s.read(ctx, at.object)
	if err != nil {
		return at.explain(err)
	}
	if at.key == "" {
		return s.removeWhole(ctx, at.object, held)
	}
	if _, has := held.Data[at.key]; !has {
		return secret.ErrNotFound
	}
	if err := mutable(held); err != nil {
		return err
	}
	delete(held.Data, at.key)
	_, err = s.store(ctx, at.object, held, false)
	return err
}

func (s *Store) removeWhole(ctx context.Context, o object, held *corev1.Secret) error {
	if err := mutable(held); err != nil && !errors.Is(err, errImmutable) { // what is immutable can be deleted
		return err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	opts := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &held.UID}}
	err := s.api.Delete().Namespace(o.namespace).Resource(resource).Name(o.name).Body(opts).Do(ctx).Error()
	return explain(err, rule{verb: "delete", object: o})
}
