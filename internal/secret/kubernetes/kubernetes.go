// Package kubernetes is the store for Secrets of a Kubernetes cluster, read and written through its API server.
//
// A path has one of three forms; a missing or empty namespace is the store's own:
//
//	name                    the Secret as a whole, a JSON object of its keys
//	namespace/name          the same in a namespace
//	namespace/name/key      the bytes of one key; /name/key in the store's own namespace
//
// value.go says what stands in the JSON object. Kubernetes keeps no versions: a version is the Secret's
// resourceVersion, only the current one can be read, and it also moves with another key, a label or an annotation. Who
// made the Secret does not matter for reading: a SealedSecret's controller, External Secrets or a person.
//
// Invariant: nothing is read from the environment, apart from the address of the API server when the store runs in a
// pod; the token leaves for no other address; no text that a server has sent is part of an error; client-go logs
// nothing.
package kubernetes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"sallyport/internal/kubeapi"
	"sallyport/internal/secret"
)

// Store reads and writes the Secrets of one cluster. It is a secret.Store, Writer, CheckAndSetter, Lister, Batcher and
// Watcher, and safe for concurrent use.
type Store struct {
	http      *http.Client
	api       rest.Interface  // for whole Secrets
	about     metadata.Getter // for what is not secret about them
	namespace string          // of paths that name none
	timeout   time.Duration

	mu    sync.Mutex
	known map[object]string // what the last Watch has told of; nil while one goes on
}

var (
	_ secret.Store          = (*Store)(nil)
	_ secret.Writer         = (*Store)(nil)
	_ secret.CheckAndSetter = (*Store)(nil)
	_ secret.Lister         = (*Store)(nil)
	_ secret.Batcher        = (*Store)(nil)
	_ secret.Watcher        = (*Store)(nil)
	_ io.Closer             = (*Store)(nil)
)

// Close lets go of idle connections. The store can be used again after it.
func (s *Store) Close() error {
	utilnet.CloseIdleConnectionsFor(s.http.Transport)
	return nil
}

// Namespace is that of paths that name none.
func (s *Store) Namespace() string { return s.namespace }

// Get implements secret.Store. The version is the Secret's resourceVersion, and its time when the Secret was last
// written.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	value, v, err := s.get(ctx, path, version)
	if err != nil {
		return secret.Value{}, secret.Version{}, s.failed(ctx, "reading secret", path, err)
	}
	return value, v, nil
}

func (s *Store) get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	at, err := s.locate(path)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	held, err := s.read(ctx, at.object)
	if err != nil {
		return secret.Value{}, secret.Version{}, at.explain(err)
	}
	return at.pick(held, version)
}

// pick takes what the location names out of a Secret, if the version is the current one.
func (p location) pick(held *corev1.Secret, version string) (secret.Value, secret.Version, error) {
	value, err := p.value(held)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	if version != "" && version != held.ResourceVersion {
		return secret.Value{}, secret.Version{}, errVersionGone
	}
	return secret.NewValue(value), versionOf(held), nil
}

// read asks for one Secret.
func (s *Store) read(ctx context.Context, o object) (*corev1.Secret, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	held := new(corev1.Secret)
	err := s.api.Get().Namespace(o.namespace).Resource(resource).Name(o.name).Do(ctx).Into(held)
	if err == nil && (held.Name != o.name || held.ResourceVersion == "") {
		err = errNotKubernetes
	}
	return held, explain(err, rule{verb: "get", object: o})
}

// bound gives a call its time limit, and keeps client-go from logging what happens in it.
func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(kubeapi.Silent(ctx), s.timeout)
}

// versionOf tells of the current version of a Secret.
func versionOf(held metav1.Object) secret.Version {
	written := held.GetCreationTimestamp().Time
	for _, by := range held.GetManagedFields() {
		if by.Time != nil && by.Time.After(written) {
			written = by.Time.Time
		}
	}
	return secret.Version{ID: held.GetResourceVersion(), Created: written.UTC(), Current: true}
}

// failed names the secret. The end of the caller's own context is told as such.
func (s *Store) failed(ctx context.Context, doing, path string, err error) error {
	if ctx.Err() != nil && !answers(err) {
		err = ctx.Err()
	}
	return fmt.Errorf("%s %q in kubernetes: %w", doing, path, err)
}
